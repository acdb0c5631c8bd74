"""The receipt of a tenant-day that was dispatched: wait for the one of a submitted job, or read the latest one."""

import time

from daily_batch.domain.receipt import Receipt, receipt_key
from daily_batch.domain.request import Request
from daily_batch.errors import RetryableError
from daily_batch.ledger import Entry
from daily_batch.orchestration.day_run import DayResult
from daily_batch.orchestration.dispatch import Dispatch
from daily_batch.pipeline.discover.discover import open_storage
from daily_batch.pipeline.publish.receipts import read_receipt
from daily_batch.pipeline.runners.base import Progress

POLL_SECONDS = 2.0


def wait_for_receipt(dispatch: Dispatch, request: Request, result: DayResult, progress: Progress) -> Receipt:
    """Return a day's receipt: of this run, of its submitted job once that has ended, or of the run since which the day
    has not changed.

    Raises:
        RetryableError: the run left no receipt.
    """
    if result.receipt:
        return result.receipt
    found = dispatch.reconcile(request)
    started = time.monotonic()
    while result.kind == "submitted" and found and _is_submitted(found.entry, result.run_id):
        progress(f"job {str(result.job_id)[:16]} is running", round(time.monotonic() - started), 0, "s")
        time.sleep(POLL_SECONDS)
        found = dispatch.reconcile(request)
    if result.kind == "unchanged":
        progress(f"unchanged since run {result.run_id}", 0, 0, "")
    output = open_storage(request, dispatch.settings).open_output()
    settled = found.receipt if found and found.entry.run_id == result.run_id else None
    receipt = settled or read_receipt(output, receipt_key(request.tenant, request.day, result.run_id))
    if receipt is None:
        what = found.entry.error if found and found.entry.error else f"run {result.run_id} left no receipt"
        day = request.day.isoformat()
        raise RetryableError(
            what, next_step="look at the job's log, then run the day again", tenant=request.tenant, day=day
        )
    return receipt


def read_latest_receipt(dispatch: Dispatch, request: Request) -> Receipt | None:
    """Return the receipt that the ledger names for the day; None where it names none, or the receipt is gone."""
    found = dispatch.reconcile(request)
    output = open_storage(request, dispatch.settings).open_output()
    return read_receipt(output, found.entry.receipt) if found and found.entry.receipt else None


def _is_submitted(entry: Entry, run_id: str) -> bool:
    return entry.run_id == run_id and entry.status == "SUBMITTED"
