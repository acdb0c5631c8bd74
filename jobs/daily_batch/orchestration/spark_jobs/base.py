"""Define a Spark job for one tenant-day, and the interface of the services that run such jobs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Literal, Protocol

from daily_batch.domain.request import Request

# LOST: the service does not know the job, or its process disappeared without an exit status.
JobState = Literal["WAITING", "RUNNING", "SUCCEEDED", "FAILED", "LOST"]
ENDED_STATES = ("SUCCEEDED", "FAILED", "LOST")
# Exit statuses of a job (README) after which a retry cannot help: usage error, terminal error, lease lost.
FINAL_EXIT_CODES = (2, 3, 4)
# The length of the log's end that is read: a job reports its error at its end.
MAX_LOG_CHARACTERS = 200_000
# Not a setting, but passed with the settings: who allows the day to lose rows.
ALLOW_SHRINK = "allow_shrink"


@dataclass(frozen=True, kw_only=True)
class JobStatus:
    """The status of a job.

    Attributes:
        state: The job's state.
        detail: The reason and the next step, without message content.
        retryable: Another job may succeed.
        waiting_since: When the job started to wait for workers, which it should not do for long; None while it is in a
            queue.
        billed: What a job that has ended used, in the units of `billing.price_job`, if the service reports it.
        ended_at: When the job ended, by its service.
    """

    state: JobState
    detail: str = ""
    retryable: bool = True
    waiting_since: datetime | None = None
    billed: Mapping[str, float] = field(default_factory=dict)
    ended_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class JobSize:
    """The number of executors beside the driver, and the disk of each in GB."""

    executors: int = 1
    disk_gb: int = 20


@dataclass(frozen=True, kw_only=True)
class SparkJob:
    """A Spark job for one tenant-day, under the lease's fencing token.

    `settings` are the submitter's settings that the job cannot know, by name, as `Settings.for_job` returns them.
    """

    request: Request
    run_id: str
    token: int
    size: JobSize = field(default_factory=JobSize)
    settings: Mapping[str, object] = field(default_factory=dict)

    @property
    def job_token(self) -> str:
        """The idempotency token of the request: 64 hexadecimal digits, from tenant, day and attempt."""
        attempt = (self.request.tenant, self.request.day.isoformat(), self.run_id, str(self.token))
        return sha256("\n".join(attempt).encode()).hexdigest()

    def parameters(self) -> dict[str, str]:
        """Return the job's parameters by name."""
        request = self.request
        # In the settings, so that jobs of deployments without this parameter accept it.
        settings = {**self.settings, **({ALLOW_SHRINK: request.allow_shrink} if request.allow_shrink else {})}
        return {
            "tenant": request.tenant,
            "date": request.day.isoformat(),
            "input": str(request.input),
            "output": str(request.output),
            "layout": request.layout,
            "format": request.table_format,
            "run_id": self.run_id,
            "token": str(self.token),
            "settings": json.dumps(settings, sort_keys=True, separators=(",", ":")) if settings else "",
        }

    def arguments(self) -> list[str]:
        """Return the parameters as arguments of jobs/daily_messages.py."""
        flags = {f"--{name.replace('_', '-')}": value for name, value in self.parameters().items() if value}
        return [word for flag in flags.items() for word in flag]


class Submitter(Protocol):
    """A service that runs Spark jobs."""

    @property
    def name(self) -> str:
        """The service's name in the ledger and in messages."""

    def check_code(self) -> None:
        """Check that the jobs' code is deployed, as far as this identity may read it.

        Raises:
            RetryableError: The service is down or throttles.
            TerminalError: The code is missing, or built for another platform.
        """

    def submit(self, job: SparkJob) -> str:
        """Submit the job and return its id. Idempotent: the same `job_token` returns the same job.

        Raises:
            RetryableError: The service is down, throttles or is full. The response may be lost, so submit again.
            TerminalError: The service rejects the job.
        """

    def get_status(self, job_id: str) -> JobStatus:
        """Return the job's status.

        Raises:
            RetryableError: The service is down or throttles.
        """

    def read_log(self, job_id: str) -> str:
        """Return the service's message on a job that has ended, and the end of its log if this identity may read it.

        Both may quote message content: `failure_cause.find_cause` extracts only what is known to be safe.
        """

    def cancel(self, job_id: str) -> None:
        """Request that the job ends. A job that has ended does not change.

        Raises:
            RetryableError: The service is down or throttles.
        """
