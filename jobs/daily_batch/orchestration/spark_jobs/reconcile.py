"""How a submitted day ended, from the truth: its receipt, which is written last, and what the job's service says."""

from collections.abc import Callable
from datetime import datetime, timedelta

from obstore.store import ObjectStore

from daily_batch.domain.receipt import receipt_key
from daily_batch.ledger import Entry, Ledger
from daily_batch.orchestration.routing import load_prices
from daily_batch.orchestration.routing.billing import price_job
from daily_batch.orchestration.spark_jobs.base import ENDED, JobStatus, Submitter
from daily_batch.pipeline.publish.receipts import read_receipt

# Told of a day that a settlement has ended, and when its job had, where that is known.
Ended = Callable[[Entry, datetime | None], None]


def nobody(entry: Entry, job_ended: datetime | None) -> None:
    """Hear nothing."""


def reconcile(
    entry: Entry,
    *,
    ledger: Ledger,
    submitter: Submitter,
    output: ObjectStore,
    output_path: str,
    patience: timedelta = timedelta.max,
    ended: Ended = nobody,
) -> Entry:
    """End a submitted day whose job has ended; any other entry is returned as it is.

    Args:
        output: the store of the output root.
        output_path: where the tenant's tables are, for the ledger.
        patience: how long a job may wait for workers before it is cancelled, to be asked for again.

    Raises:
        Retryable: the service, the store or the ledger does not answer.
        LeaseHeld: another run took the day meanwhile.
    """
    if entry.status != "SUBMITTED" or entry.job_id is None:
        return entry
    report = submitter.look(entry.job_id)
    if report.state in ENDED:
        _end(entry, report, ledger=ledger, submitter=submitter, output=output, output_path=output_path)
        settled = ledger.find(entry.tenant, entry.day) or entry
        ended(settled, report.ended_at)
        return settled
    if report.waiting_since is not None and ledger.clock() - report.waiting_since > patience:
        minutes = round(patience.total_seconds() / 60)
        why = f"job {entry.job_id} was cancelled, for it had waited {minutes} minutes for workers"
        # First the word, then the deed: whoever settles the day next must know whose deed it was.
        ledger.record(entry.lease, error=f"{why}. {report.detail}".rstrip())
        submitter.cancel(entry.job_id)
    else:
        return entry
    return ledger.find(entry.tenant, entry.day) or entry


def _end(
    entry: Entry, report: JobStatus, *, ledger: Ledger, submitter: Submitter, output: ObjectStore, output_path: str
) -> None:
    key = receipt_key(entry.tenant, entry.day, str(entry.run_id))
    receipt, bill = read_receipt(output, key), price_job(report.billed, load_prices())
    if receipt is not None:
        ledger.complete(entry.lease, receipt, receipt_key=key, output_path=output_path, bill=bill)
    elif entry.error:  # it was cancelled here, and its entry says why
        ledger.fail(entry.lease, entry.error, retryable=True, bill=bill)
    else:
        what = f"job {entry.job_id} of {submitter.name} ended as {report.state} and left no receipt"
        told = f"{what}. {report.detail}" if report.detail else what
        ledger.fail(entry.lease, told, retryable=report.retryable, bill=bill)
