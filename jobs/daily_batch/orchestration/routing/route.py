"""Choose where a tenant-day runs: in this process, on this process's Spark, or as a job of a Spark service."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from daily_batch.domain.run import RunnerChoice
from daily_batch.ledger import Entry
from daily_batch.orchestration.spark_jobs import JobSize
from daily_batch.pipeline.discover.manifest import Manifest

# The size of a job for a day that could not be listed.
UNLISTED = JobSize(executors=3, disk_gb=100)
# One run that was killed before it had listed the day may be an accident; two are not.
MAX_KILLED_LISTINGS = 2
KILLED_HERE = "an earlier run in a function's own process was killed before it ended"
TOO_MANY_TO_LIST = f"{MAX_KILLED_LISTINGS} runs in a function's own process were killed before they had listed the day"


@dataclass(frozen=True, kw_only=True)
class Route:
    """Where a day runs and why. `reason` is empty for the local runner; `size` is that of a job."""

    target: Literal["local", "spark", "job"]
    reason: str = ""
    size: JobSize = UNLISTED

    @property
    def is_job(self) -> bool:
        """Whether a Spark service runs the day."""
        return self.target == "job"


@dataclass(frozen=True, kw_only=True)
class Router:
    """Decide by the setting `runner`, by what happened to earlier runs, and by the day's volume.

    `reason_for_spark` returns why a manifest is too large for this process, or None; `job_size` sizes its job;
    `has_service` says that Spark runs as a job of a service and not in this process.
    """

    runner: RunnerChoice = "auto"
    has_service: bool = False
    reason_for_spark: Callable[[Manifest], str | None] = field(default=lambda manifest: None)
    job_size: Callable[[Manifest], JobSize] = field(default=lambda manifest: JobSize())

    def decide_unlisted(self, entry: Entry | None) -> Route | None:
        """Return the route that is known before the day is listed; None if it depends on the day's volume.

        Args:
            entry: The day's ledger entry before this run.
        """
        if self.runner == "spark":
            return self._to_spark("that runner was requested")
        if self.runner == "local" or entry is None:
            return None
        # A function that runs out of memory or time is killed and cannot report it.
        if entry.status == "RUNNING" and self.has_service:
            if entry.runner == "local":
                return self._to_spark(KILLED_HERE)
            if entry.runner is None and entry.attempts >= MAX_KILLED_LISTINGS:
                return self._to_spark(TOO_MANY_TO_LIST)
        return self._to_spark(entry.handed_over) if entry.handed_over else None

    def decide(self, manifest: Manifest, known: Route | None) -> Route:
        """Return the route of a listed day; `known` is what `decide_unlisted` returned."""
        if known is not None:
            return replace(known, size=self.job_size(manifest))
        reason = self.reason_for_spark(manifest) if self.runner == "auto" else None
        return self._to_spark(reason, self.job_size(manifest)) if reason else Route(target="local")

    def escalate(self, reason: str, size: JobSize) -> Route | None:
        """Return the route of a day that the local runner handed over; None if only the local runner is allowed."""
        return None if self.runner == "local" else self._to_spark(reason, size)

    def _to_spark(self, reason: str, size: JobSize = UNLISTED) -> Route:
        return Route(target="job" if self.has_service else "spark", reason=reason, size=size)
