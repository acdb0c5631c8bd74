"""Reconcile the ledger with a submitted job: its receipt, which is written last, and its service say how it ended."""

from collections.abc import Callable
from datetime import datetime, timedelta

from obstore.store import ObjectStore

from daily_batch.domain.bill import price_job
from daily_batch.domain.receipt import receipt_key
from daily_batch.ledger import Entry, Ledger
from daily_batch.orchestration.routing import load_prices
from daily_batch.orchestration.spark_jobs.base import ENDED_STATES, JobStatus, Submitter
from daily_batch.pipeline.publish.receipts import read_receipt

# Called with the entry of a day whose job has ended, and the time at which the job ended, if it is known.
OnEnded = Callable[[Entry, datetime | None], None]


def ignore_ended(entry: Entry, job_ended: datetime | None) -> None:
    """Do nothing."""


def reconcile(
    entry: Entry,
    *,
    ledger: Ledger,
    submitter: Submitter,
    output: ObjectStore,
    output_path: str,
    max_wait: timedelta = timedelta.max,
    on_ended: OnEnded = ignore_ended,
) -> Entry:
    """Record the end of a submitted job in the ledger, and return the day's entry; it is unchanged otherwise.

    Args:
        entry: the day's entry.
        ledger: the ledger.
        submitter: the service that runs the job.
        output: the store of the output root.
        output_path: where the tenant's tables are, for the ledger.
        max_wait: how long a job may wait for workers before it is cancelled, to be submitted again.
        on_ended: called with the day's new entry if the job has ended.

    Raises:
        RetryableError: the service, the store or the ledger does not respond.
        LeaseHeldError: another run took the day meanwhile.
    """
    if entry.status != "SUBMITTED" or entry.job_id is None:
        return entry
    status = submitter.get_status(entry.job_id)
    if status.state in ENDED_STATES:
        _record_end(entry, status, ledger=ledger, submitter=submitter, output=output, output_path=output_path)
        updated = ledger.find(entry.tenant, entry.day) or entry
        on_ended(updated, status.ended_at)
        return updated
    if status.waiting_since is not None and ledger.clock() - status.waiting_since > max_wait:
        minutes = round(max_wait.total_seconds() / 60)
        what = f"job {entry.job_id} was cancelled after it had waited {minutes} minutes for workers"
        # Record the reason before cancelling: the next reconciliation must know that the job was cancelled here.
        ledger.note(entry.lease, error=f"{what}. {status.detail}".rstrip())
        submitter.cancel(entry.job_id)
    else:
        return entry
    return ledger.find(entry.tenant, entry.day) or entry


def _record_end(
    entry: Entry, status: JobStatus, *, ledger: Ledger, submitter: Submitter, output: ObjectStore, output_path: str
) -> None:
    key = receipt_key(entry.tenant, entry.day, str(entry.run_id))
    receipt, bill = read_receipt(output, key), price_job(status.billed, load_prices())
    if receipt is not None:
        ledger.complete(entry.lease, receipt, receipt_key=key, output_path=output_path, bill=bill)
    elif entry.error:  # cancelled by `reconcile`, which recorded the reason
        ledger.fail(entry.lease, entry.error, retryable=True, bill=bill)
    else:
        what = f"job {entry.job_id} of {submitter.name} ended as {status.state} and left no receipt"
        error = f"{what}. {status.detail}" if status.detail else what
        ledger.fail(entry.lease, error, retryable=status.retryable, bill=bill)
