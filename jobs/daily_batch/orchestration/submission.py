"""Submit a tenant-day as a Spark job under its lease, so that a lost response never leads to a second job."""

from dataclasses import asdict
from datetime import timedelta
from functools import partial

from daily_batch.domain.request import Request
from daily_batch.errors import BatchError, RetryableError, UsageError
from daily_batch.ledger import Entry, Lease, Ledger
from daily_batch.orchestration.routing.route import Route
from daily_batch.orchestration.spark_jobs import JobSize, SparkJob, Submitter
from daily_batch.settings import Settings
from daily_batch.telemetry import StepLog

# For the wait in a service's own queue, and for what a job may exceed its timeout by, before another run takes the day.
JOB_GRACE = timedelta(hours=12)


def submit_job(
    request: Request,
    lease: Lease,
    route: Route,
    *,
    settings: Settings,
    ledger: Ledger,
    submitter: Submitter | None,
    steps: StepLog,
) -> str:
    """Submit the day and return the job's id. The ledger records the request first, so that it can be repeated.

    Raises:
        RetryableError: The service is down or throttles; the lease is released, so the next run may submit at once.
        TerminalError: The service refuses the job; the ledger records the failure.
    """
    if submitter is None:
        raise UsageError("no Spark service is set", next_step="set MAKOTO_SPARK")
    job = SparkJob(
        request=request,
        run_id=lease.run_id,
        token=lease.token,
        size=route.size,
        settings=settings.for_job(tenant=request.tenant),
    )
    size = asdict(route.size)
    hand_over = partial(ledger.hand_over, lease, reason=route.reason, job_token=job.job_token, **size)
    with steps.timed("submit", service=submitter.name, reason=route.reason, **size) as facts:
        hand_over()
        try:
            job_id = submitter.submit(job)
        except RetryableError:
            hand_over(duration=timedelta(0), refused=True)
            raise
        except BatchError as error:
            ledger.fail(lease, error.advice, retryable=False)
            raise
        facts["job_id"] = job_id
        hand_over(job_id=job_id, duration=_job_lease(settings))
    return job_id


def route_again(entry: Entry) -> Route:
    """Return the route of a job whose submission was not answered."""
    default = JobSize()
    size = JobSize(executors=entry.executors or default.executors, disk_gb=entry.disk_gb or default.disk_gb)
    return Route(target="job", reason=str(entry.handed_over), size=size)


def _job_lease(settings: Settings) -> timedelta:
    """Return how long a job's lease lasts: until its service has ended the job for certain."""
    return timedelta(minutes=settings.job_wait_minutes + settings.job_timeout_minutes) + JOB_GRACE
