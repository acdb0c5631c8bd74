"""Wait for a submitted job to end, and explain its failure."""

import time
from contextlib import suppress

from daily_batch.errors import BatchError, RetryableError, TerminalError
from daily_batch.orchestration.spark_jobs.base import ENDED_STATES, JobStatus, Submitter
from daily_batch.orchestration.spark_jobs.failure_cause import find_cause
from daily_batch.pipeline.runners.base import Progress

POLL_SECONDS = 2.0
# How long a service may take to deliver a job's log, and to end a job that was cancelled.
LOG_SECONDS, CANCEL_SECONDS = 60.0, 60.0


def wait_for_job(submitter: Submitter, job_id: str, *, seconds: float, progress: Progress) -> JobStatus:
    """Wait until the job has ended and return its status. On a timeout or an interrupt, cancel the job.

    Raises:
        RetryableError: The job did not end in time, or the wait was interrupted.
    """
    started = time.monotonic()
    status = JobStatus(state="WAITING")
    try:
        while time.monotonic() - started < seconds:
            status = submitter.get_status(job_id)
            if status.state in ENDED_STATES:
                return status
            state = "waits for workers" if status.state == "WAITING" else "is running"
            progress(f"job {job_id[:20]} {state}", round(time.monotonic() - started), 0, "s")
            time.sleep(POLL_SECONDS)
    except BaseException as error:
        _cancel(submitter, job_id)
        if isinstance(error, KeyboardInterrupt):
            what, step = f"stopped; job {job_id} was cancelled", "run the same command again"
            raise RetryableError(what, next_step=step) from None
        raise
    _cancel(submitter, job_id)
    activity = "was still waiting for workers" if status.state == "WAITING" else "was still running"
    what = f"job {job_id} of {submitter.name} {activity} after {seconds / 60:.0f} minutes, and was cancelled"
    raise RetryableError(
        f"{what}. {status.detail}".rstrip(". "), next_step="look at the service, or wait longer: --wait-minutes"
    )


def explain_job_failure(submitter: Submitter, job_id: str, status: JobStatus) -> BatchError:
    """Return the error of a failed job, with its cause as far as the log or the service names it."""
    failed = f"job {job_id} of {submitter.name} failed"
    started = time.monotonic()
    cause = None
    while cause is None and time.monotonic() - started < LOG_SECONDS:
        try:
            cause = find_cause(submitter.read_log(job_id))
        except BatchError:
            break
        if cause is None:
            time.sleep(POLL_SECONDS)
    if cause is not None:
        return TerminalError(f"{failed}: {cause.what}", next_step=cause.next_step)
    error_class = RetryableError if status.retryable else TerminalError
    detail, _, step = status.detail.partition("Next step: ")
    reason = detail.strip().rstrip(".") or f"it is {status.state}, and its log names no known cause"
    return error_class(f"{failed}: {reason}", next_step=step.rstrip(".") or "look at the job's log")


def _cancel(submitter: Submitter, job_id: str) -> None:
    """Cancel the job and wait for its end: it could write to folders that are then deleted."""
    with suppress(BatchError, KeyboardInterrupt):
        submitter.cancel(job_id)
        started = time.monotonic()
        while submitter.get_status(job_id).state not in ENDED_STATES and time.monotonic() - started < CANCEL_SECONDS:
            time.sleep(POLL_SECONDS)
