"""A Spark job for one tenant-day, and what every service that runs such jobs gives."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Literal, Protocol

from daily_batch.request import Request

# WAITING and RUNNING go on; LOST is a job that its service does not know, or whose process is gone without a word.
JobState = Literal["WAITING", "RUNNING", "SUCCEEDED", "FAILED", "LOST"]
ENDED = ("SUCCEEDED", "FAILED", "LOST")


@dataclass(frozen=True, kw_only=True)
class SparkJob:
    """What Spark is asked to do: one tenant-day, under the lease's token."""

    request: Request
    run_id: str
    token: int

    @property
    def job_token(self) -> str:
        """By what a service knows a repeated request: 64 hexadecimal digits of what is asked for, and the attempt."""
        return sha256("\n".join(self.arguments()).encode()).hexdigest()

    def arguments(self) -> list[str]:
        """The arguments of jobs/daily_messages.py."""
        request = self.request
        return [
            *("--tenant", request.tenant, "--date", request.day.isoformat()),
            *("--input", str(request.input), "--output", str(request.output)),
            *("--layout", request.layout, "--format", request.table_format),
            *("--run-id", self.run_id, "--token", str(self.token)),
        ]


class Submitter(Protocol):
    """A service that runs Spark jobs."""

    @property
    def name(self) -> str:
        """What the ledger and messages call it."""

    def submit(self, job: SparkJob) -> str:
        """Ask for the job and return its id; asked again with the same `job_token`, it is the same job.

        Raises:
            Retryable: the service is down, throttles or lacks capacity; the answer may be lost, so ask again.
            Terminal: it refuses the job.
        """

    def look(self, job_id: str) -> JobState:
        """How far the job is.

        Raises:
            Retryable: the service is down or throttles.
        """
