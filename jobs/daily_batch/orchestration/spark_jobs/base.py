"""A Spark job for one tenant-day, and what every service that runs such jobs gives."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Literal, Protocol

from daily_batch.domain.request import Request

# WAITING and RUNNING go on; LOST is a job that its service does not know, or whose process is gone without a word.
JobState = Literal["WAITING", "RUNNING", "SUCCEEDED", "FAILED", "LOST"]
ENDED = ("SUCCEEDED", "FAILED", "LOST")
# Exit statuses of a job (README) after which another attempt cannot help: misuse, terminal, lease lost.
FOR_GOOD = (2, 3, 4)
# Of the end of a log: what a job lacks, it says last.
LOG_CHARACTERS = 200_000
# What a job is told under this name is no setting: who allows that its day loses rows.
ALLOW_SHRINK = "allow_shrink"


@dataclass(frozen=True, kw_only=True)
class JobStatus:
    """How far a job is. `detail` says why, without message content; `retryable`: another job may succeed.

    `waiting_since` is when it began to wait for workers, which it should not do for long; a place in a queue is no such
    wait. `billed` is what a job that has ended used, in units that `billing.price_job` knows, as far as it is told;
    `ended_at` is when it ended, by its service.
    """

    state: JobState
    detail: str = ""
    retryable: bool = True
    waiting_since: datetime | None = None
    billed: Mapping[str, float] = field(default_factory=dict)
    ended_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class JobSize:
    """Workers beside the driver, and the disk of each in GB."""

    executors: int = 1
    disk_gb: int = 20


@dataclass(frozen=True, kw_only=True)
class SparkJob:
    """What Spark is asked to do: one tenant-day, under the lease's token.

    `settings` are those of the submitter that the job cannot know: by name, as `Settings.for_job` gives them.
    """

    request: Request
    run_id: str
    token: int
    size: JobSize = field(default_factory=JobSize)
    settings: Mapping[str, object] = field(default_factory=dict)

    @property
    def job_token(self) -> str:
        """By what a service knows a repeated request: 64 hexadecimal digits of tenant, day and attempt."""
        attempt = (self.request.tenant, self.request.day.isoformat(), self.run_id, str(self.token))
        return sha256("\n".join(attempt).encode()).hexdigest()

    def parameters(self) -> dict[str, str]:
        """What the job is told, by name."""
        request = self.request
        # Beside the settings, so that a job of any deployment takes it.
        told = {**self.settings, **({ALLOW_SHRINK: request.allow_shrink} if request.allow_shrink else {})}
        settings = json.dumps(told, sort_keys=True, separators=(",", ":")) if told else ""
        return {
            "tenant": request.tenant,
            "date": request.day.isoformat(),
            "input": str(request.input),
            "output": str(request.output),
            "layout": request.layout,
            "format": request.table_format,
            "run_id": self.run_id,
            "token": str(self.token),
            "settings": settings,
        }

    def arguments(self) -> list[str]:
        """The same as arguments of jobs/daily_messages.py."""
        flags = {f"--{name.replace('_', '-')}": value for name, value in self.parameters().items() if value}
        return [word for flag in flags.items() for word in flag]


class Submitter(Protocol):
    """A service that runs Spark jobs."""

    @property
    def name(self) -> str:
        """What the ledger and messages call it."""

    def check_code(self) -> None:
        """Look whether what jobs are made of is there, as far as this identity may.

        Raises:
            Retryable: the service is down or throttles.
            Terminal: it is missing, or made for another machine.
        """

    def submit(self, job: SparkJob) -> str:
        """Ask for the job and return its id; asked again with the same `job_token`, it is the same job.

        Raises:
            Retryable: the service is down, throttles or lacks capacity; the answer may be lost, so ask again.
            Terminal: it refuses the job.
        """

    def look(self, job_id: str) -> JobStatus:
        """How far the job is.

        Raises:
            Retryable: the service is down or throttles.
        """

    def read_log(self, job_id: str) -> str:
        """Its service's last words on a job that has ended, and the end of its log as far as this identity may read it.

        Both may quote anything: `cause.find_cause` takes from them what is known.
        """

    def cancel(self, job_id: str) -> None:
        """Ask that the job ends; one that has ended stays as it is.

        Raises:
            Retryable: the service is down or throttles.
        """
