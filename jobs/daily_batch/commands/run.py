"""`makoto-batch run` and the Spark job: each tenant's day, and the days before it that have changed."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from daily_batch.catalog.register import register_published
from daily_batch.cli.console import show_progress
from daily_batch.cli.output import console, hand_over_receipts, report_failure, show_settings
from daily_batch.cli.quiet import quiet_libraries
from daily_batch.cli.receipts import render
from daily_batch.cli.tenants import choose_tenants
from daily_batch.domain.receipt import Receipt, loss_warning, receipt_key
from daily_batch.domain.request import Request
from daily_batch.errors import RetryableError
from daily_batch.ledger import Entry
from daily_batch.orchestration.bootstrap import make_dispatch
from daily_batch.orchestration.day_run import DayResult
from daily_batch.orchestration.dispatch import Dispatch
from daily_batch.orchestration.requests import build_requests
from daily_batch.pipeline.discover.discover import open_storage
from daily_batch.pipeline.publish.receipts import read_receipt
from daily_batch.pipeline.runners.base import Progress, Runner
from daily_batch.pipeline.runners.databricks_serverless import fit_compute
from daily_batch.settings import load_settings

POLL_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What a person may ask of a run.

    `allow_shrink` is who allows that a day loses rows that are published; empty: nobody.
    `look_back` days before the day are run too if they changed since they were completed, or never were.
    """

    all_tenants: bool = False
    if_changed: bool = False
    look_back: int = 0
    take_over: bool = False
    allow_shrink: str = ""
    as_json: bool = False
    receipt_file: Path | None = None
    show_config: bool = False
    debug: bool = False


def run_command(flags: Mapping[str, object], options: RunOptions, *, spark: Callable[[], Runner]) -> int:
    """Run every tenant of the settings for one day and return the exit status of DESIGN's interface.

    A day that fails never keeps the next one from running; the highest status is returned.
    """
    quiet_libraries()
    now = datetime.now(UTC)
    try:
        settings = load_settings(flags=flags, environ=os.environ)
        if options.show_config:
            show_settings(settings)
            return 0
        settings = choose_tenants(settings, all_tenants=options.all_tenants)
        settings = fit_compute(settings, os.environ)
        requests = build_requests(settings, now, allow_shrink=options.allow_shrink)
        dispatch = make_dispatch(settings, requests[0].output, spark=spark)
    except Exception as error:
        return report_failure(error, debug=options.debug)
    receipts: list[Receipt] = []
    status = 0
    with show_progress() as open_progress:
        for request, if_changed in _days(requests, options):
            try:
                progress = open_progress(f"tenant={request.tenant} day={request.day}")
                answer = dispatch.run(request, progress=progress, if_changed=if_changed, take_over=options.take_over)
                receipt = answer.receipt or wait_for_receipt(dispatch, request, answer, progress)
            except (Exception, KeyboardInterrupt) as error:
                status = max(status, report_failure(error, debug=options.debug))
                if isinstance(error, KeyboardInterrupt):
                    break
                continue
            receipts.append(receipt)
            if answer.receipt:
                register_published(request, settings, answer.receipt)
            if not options.as_json:
                console().print(render(receipt))
            elif lost := loss_warning(receipt):
                print(f"WARNING: tenant={receipt.tenant} day={receipt.date}: {lost}", file=sys.stderr)
    hand_over_receipts(receipts, as_json=options.as_json, receipt_file=options.receipt_file)
    return status


def wait_for_receipt(dispatch: Dispatch, request: Request, answer: DayResult, progress: Progress) -> Receipt:
    """The receipt of a submitted job, once it has ended, or of the run since which a day did not change.

    Raises:
        Retryable: there is none.
    """
    found = dispatch.reconcile(request)
    started = time.monotonic()
    while answer.kind == "submitted" and found and _is_submitted(found.entry, answer.run_id):
        progress(f"job {str(answer.job_id)[:16]} at work", round(time.monotonic() - started), 0, "s")
        time.sleep(POLL_SECONDS)
        found = dispatch.reconcile(request)
    if answer.kind == "unchanged":
        progress(f"unchanged since run {answer.run_id}", 0, 0, "")
    output = open_storage(request, dispatch.settings).open_output()
    settled = found.receipt if found and found.entry.run_id == answer.run_id else None
    receipt = settled or read_receipt(output, receipt_key(request.tenant, request.day, answer.run_id))
    if receipt is None:
        what = found.entry.error if found and found.entry.error else f"run {answer.run_id} left no receipt"
        day = request.day.isoformat()
        raise RetryableError(
            what, next_step="look at the job's log, then run the day again", tenant=request.tenant, day=day
        )
    return receipt


def _is_submitted(entry: Entry, run_id: str) -> bool:
    return entry.run_id == run_id and entry.status == "SUBMITTED"


def _days(requests: tuple[Request, ...], options: RunOptions) -> Iterator[tuple[Request, bool]]:
    """Each request, and whether it is run only if it changed; the days before come last, they are less urgent."""
    for request in requests:
        yield request, options.if_changed
    for request in requests:
        for days in range(1, options.look_back + 1):
            yield replace(request, day=request.day - timedelta(days=days)), True
