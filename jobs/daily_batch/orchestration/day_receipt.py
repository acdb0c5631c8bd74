"""The receipt of a tenant-day that was dispatched: wait for the one of a submitted job, or read the latest one."""

import time

from daily_batch.domain.receipt import Receipt, receipt_key
from daily_batch.domain.request import Request
from daily_batch.errors import RetryableError
from daily_batch.orchestration.dispatch import Answer, Dispatch
from daily_batch.pipeline.discover.discover import open_storage
from daily_batch.pipeline.publish.receipts import read_receipt
from daily_batch.pipeline.runners.base import Progress

POLL_SECONDS = 2.0


def wait_for_receipt(dispatch: Dispatch, request: Request, answer: Answer, progress: Progress) -> Receipt:
    """Return the receipt of a submitted job once it has ended, or of the run since which a day has not changed.

    Raises:
        RetryableError: the run left no receipt.
    """
    entry = dispatch.look(request)
    started = time.monotonic()
    while answer.kind == "submitted" and entry and entry.run_id == answer.run_id and entry.status == "SUBMITTED":
        progress(f"job {str(answer.job_id)[:16]} is at work", round(time.monotonic() - started), 0, "s")
        time.sleep(POLL_SECONDS)
        entry = dispatch.look(request)
    if answer.kind == "unchanged":
        progress(f"unchanged since run {answer.run_id}", 0, 0, "")
    output = open_storage(request, dispatch.settings).open_output()
    receipt = read_receipt(output, receipt_key(request.tenant, request.day, answer.run_id))
    if receipt is None:
        what = entry.error if entry and entry.error else f"run {answer.run_id} left no receipt"
        day = request.day.isoformat()
        raise RetryableError(
            what, next_step="look at the job's log, then run the day again", tenant=request.tenant, day=day
        )
    return receipt


def read_latest_receipt(dispatch: Dispatch, request: Request) -> Receipt | None:
    """Return the receipt that the ledger names for the day; None where it names none, or the receipt is gone."""
    entry = dispatch.look(request)
    output = open_storage(request, dispatch.settings).open_output()
    return read_receipt(output, entry.receipt) if entry and entry.receipt else None
