"""Reconcile a submitted day with the truth: its receipt, which is written last, and what the job's service reports."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from obstore.store import ObjectStore

from daily_batch.domain.receipt import Receipt, receipt_key
from daily_batch.ledger import Entry, Ledger
from daily_batch.orchestration.new_fields import complete_day
from daily_batch.orchestration.routing import load_prices
from daily_batch.orchestration.routing.billing import price_job
from daily_batch.orchestration.spark_jobs.base import ENDED_STATES, JobStatus, Submitter
from daily_batch.pipeline.publish.receipts import read_receipt


@dataclass(frozen=True, kw_only=True)
class Reconciled:
    """A day's ledger entry after reconciliation.

    `has_ended` says that this reconciliation found the job's end; then `receipt` is what the job left, if anything, and
    `ended_at` when it ended, if its service reports that.
    """

    entry: Entry
    has_ended: bool = False
    receipt: Receipt | None = None
    ended_at: datetime | None = None


def reconcile(
    entry: Entry,
    *,
    ledger: Ledger,
    submitter: Submitter,
    output: ObjectStore,
    output_path: str,
    max_wait: timedelta = timedelta.max,
) -> Reconciled:
    """Complete or fail a submitted day whose job has ended; leave any other entry as it is.

    Args:
        entry: The day's entry.
        ledger: The ledger.
        submitter: The service that runs the job.
        output: The store of the output root.
        output_path: Where the tenant's tables are, for the ledger.
        max_wait: How long a job may wait for workers before it is cancelled, to be submitted again.

    Raises:
        RetryableError: The service, the store or the ledger does not answer.
        LeaseHeldError: Another run acquired the day meanwhile.
    """
    if entry.status != "SUBMITTED" or entry.job_id is None:
        return Reconciled(entry=entry)
    status = submitter.get_status(entry.job_id)
    if status.state in ENDED_STATES:
        receipt = _record_end(entry, status, ledger=ledger, submitter=submitter, output=output, output_path=output_path)
        ended = ledger.find(entry.tenant, entry.day) or entry
        return Reconciled(entry=ended, has_ended=True, receipt=receipt, ended_at=status.ended_at)
    if status.waiting_since is None or ledger.clock() - status.waiting_since <= max_wait:
        return Reconciled(entry=entry)
    minutes = round(max_wait.total_seconds() / 60)
    reason = f"job {entry.job_id} was cancelled after it had waited {minutes} minutes for workers"
    # Record the reason before cancelling: the next reconciliation must find it.
    ledger.record(entry.lease, error=f"{reason}. {status.detail}".rstrip())
    submitter.cancel(entry.job_id)
    return Reconciled(entry=ledger.find(entry.tenant, entry.day) or entry)


def _record_end(
    entry: Entry, status: JobStatus, *, ledger: Ledger, submitter: Submitter, output: ObjectStore, output_path: str
) -> Receipt | None:
    key = receipt_key(entry.tenant, entry.day, str(entry.run_id))
    receipt, bill = read_receipt(output, key), price_job(status.billed, load_prices())
    if receipt is not None:
        complete_day(ledger, entry.lease, receipt, receipt_key=key, output_path=output_path, bill=bill)
    elif entry.error:  # cancelled here; the entry says why
        ledger.fail(entry.lease, entry.error, retryable=True, bill=bill)
    else:
        what = f"job {entry.job_id} of {submitter.name} ended as {status.state} and left no receipt"
        error = f"{what}. {status.detail}" if status.detail else what
        ledger.fail(entry.lease, error, retryable=status.retryable, bill=bill)
    return receipt
