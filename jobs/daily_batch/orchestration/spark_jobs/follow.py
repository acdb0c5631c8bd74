"""A submitted job to its end, as a person waits for it; and what was missing, where it failed."""

import time
from contextlib import suppress

from daily_batch.errors import BatchError, RetryableError, TerminalError
from daily_batch.orchestration.spark_jobs.base import ENDED, JobStatus, Submitter
from daily_batch.orchestration.spark_jobs.failure_cause import find_cause
from daily_batch.pipeline.runners.base import Progress

POLL_SECONDS = 2.0
# A service may take so long to write down what a job said, or to end one that was cancelled.
LOG_SECONDS, CANCEL_SECONDS = 60.0, 60.0


def follow(submitter: Submitter, job_id: str, *, seconds: float, progress: Progress) -> JobStatus:
    """How the job ended; one that takes longer than a person waits, or is interrupted, is cancelled.

    Raises:
        Retryable: it had not ended by then.
    """
    begun = time.monotonic()
    report = JobStatus(state="WAITING")
    try:
        while time.monotonic() - begun < seconds:
            report = submitter.look(job_id)
            if report.state in ENDED:
                return report
            state = "waits for workers" if report.state == "WAITING" else "is at work"
            progress(f"job {job_id[:20]} {state}", round(time.monotonic() - begun), 0, "s")
            time.sleep(POLL_SECONDS)
    except BaseException as error:
        _cancel(submitter, job_id)
        if isinstance(error, KeyboardInterrupt):
            what, step = f"stopped; job {job_id} was cancelled", "run the same command again"
            raise RetryableError(what, next_step=step) from None
        raise
    _cancel(submitter, job_id)
    doing = "was still waiting for workers" if report.state == "WAITING" else "was still at work"
    what = f"job {job_id} of {submitter.name} {doing} after {seconds / 60:.0f} minutes, and was cancelled"
    raise RetryableError(
        f"{what}. {report.detail}".rstrip(". "), next_step="look at the service, or wait longer: --wait-minutes"
    )


def explain_end(submitter: Submitter, job_id: str, report: JobStatus) -> BatchError:
    """The error of a job that ended without success: what was missing, as far as it or its service said."""
    ended = f"job {job_id} of {submitter.name} failed"
    begun = time.monotonic()
    cause = None
    while cause is None and time.monotonic() - begun < LOG_SECONDS:
        try:
            cause = find_cause(submitter.read_log(job_id))
        except BatchError:
            break
        if cause is None:
            time.sleep(POLL_SECONDS)
    if cause is not None:
        return TerminalError(f"{ended}: {cause.what}", next_step=cause.next_step)
    kind = RetryableError if report.retryable else TerminalError
    told, _, step = report.detail.partition("Next step: ")
    why = told.strip().rstrip(".") or f"it is {report.state}, and its log says nothing that is known here"
    return kind(f"{ended}: {why}", next_step=step.rstrip(".") or "look at the job's log")


def _cancel(submitter: Submitter, job_id: str) -> None:
    """End the job, and give it the time to end: it would write on below what is being removed."""
    with suppress(BatchError, KeyboardInterrupt):
        submitter.cancel(job_id)
        begun = time.monotonic()
        while submitter.look(job_id).state not in ENDED and time.monotonic() - begun < CANCEL_SECONDS:
            time.sleep(POLL_SECONDS)
