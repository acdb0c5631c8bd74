"""Run a tenant-day until there is a receipt: its own, that of its submitted job, or that of the run before."""

import time

from daily_batch.catalog.register import register_published
from daily_batch.domain.receipt import Receipt, receipt_key
from daily_batch.domain.request import Request
from daily_batch.errors import RetryableError, TerminalError
from daily_batch.ledger import Entry
from daily_batch.orchestration.day_run import DayResult
from daily_batch.orchestration.dispatch import Dispatch
from daily_batch.pipeline.discover.discover import open_storage
from daily_batch.pipeline.publish.receipts import read_receipt
from daily_batch.pipeline.runners.base import Progress

POLL_SECONDS = 2.0


def run_and_wait(
    dispatch: Dispatch,
    request: Request,
    *,
    progress: Progress,
    if_changed: bool = False,
    take_over: bool = False,
) -> tuple[DayResult, Receipt]:
    """Run or submit one tenant-day, wait for its receipt, and register the tables that this process published.

    Args:
        if_changed: See `Dispatch.run`, as for its errors.
        take_over: See `Dispatch.run`.

    Raises:
        BatchError: The run or its job failed.
    """
    result = dispatch.run(request, progress=progress, if_changed=if_changed, take_over=take_over)
    receipt = wait_for_receipt(dispatch, request, result, progress)
    if result.receipt:
        register_published(request, dispatch.settings, result.receipt)
    return result, receipt


def wait_for_receipt(dispatch: Dispatch, request: Request, result: DayResult, progress: Progress) -> Receipt:
    """Return a day's receipt: of this run, of its submitted job once that has ended, or of the run since which the day
    has not changed.

    Raises:
        RetryableError: the run left no receipt.
        TerminalError: its job failed such that a retry cannot help.
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
        error_class = TerminalError if found and found.entry.retryable is False else RetryableError
        raise error_class(
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
