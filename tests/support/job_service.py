"""Test doubles for a dispatch: a clock that tests set, and a service that runs Spark jobs."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from daily_batch.domain.receipt import Receipt
from daily_batch.entrypoints.submitted_job import fence
from daily_batch.errors import RetryableError, TerminalError
from daily_batch.orchestration.spark_jobs import JobState, JobStatus, SparkJob
from daily_batch.pipeline.process_day import process_day
from daily_batch.pipeline.runners.local import LocalRunner
from daily_batch.settings import Settings
from tests.support.day_runs import silent


@dataclass
class Clock:
    """A clock that tests set."""

    now: datetime = datetime(2025, 8, 12, 17, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Service:
    """A fake service for Spark jobs that identifies jobs by token, as EMR Serverless and Databricks do.

    `lost_answers` is the number of responses to drop, `refuses` makes it refuse jobs, and `end` is the jobs' state.
    """

    lost_answers: int = 0
    refuses: bool = False
    end: JobState = "RUNNING"
    retryable: bool = True
    waiting_since: datetime | None = None
    billed: dict[str, float] = field(default_factory=dict)
    ended_at: datetime | None = None
    jobs: dict[str, SparkJob] = field(default_factory=dict)
    last: SparkJob | None = None
    cancelled: list[str] = field(default_factory=list)
    submissions: int = 0
    name: str = "service"

    def check_code(self) -> None:
        """Find the code."""

    def submit(self, job: SparkJob) -> str:
        self.submissions += 1
        self.last = job
        if self.refuses:
            raise TerminalError("the service refuses the job", next_step="ask for a larger quota")
        self.jobs.setdefault(job.job_token, job)
        if self.lost_answers:
            self.lost_answers -= 1
            raise RetryableError("the service did not answer", next_step="run the day again")
        return f"job-{job.job_token[:8]}"

    def get_status(self, job_id: str) -> JobStatus:
        return JobStatus(
            state=self.end,
            retryable=self.retryable,
            waiting_since=self.waiting_since,
            billed=self.billed,
            ended_at=self.ended_at,
        )

    def read_log(self, job_id: str) -> str:
        """Return nothing, as for an identity that may not read the log."""
        return ""

    def cancel(self, job_id: str) -> None:
        self.cancelled.append(job_id)

    def publish_last(self, settings: Settings, *, now: datetime) -> Receipt:
        """Run the last submitted job with the local runner."""
        assert self.last is not None
        return run_job(self.last, settings, now=now)


def run_job(job: SparkJob, settings: Settings, *, now: datetime) -> Receipt:
    """Run a submitted job with the local runner."""
    return process_day(
        job.request,
        settings,
        LocalRunner(),
        fence(job.request, settings, job.token),
        run_id=job.run_id,
        now=now,
        progress=silent,
    )
