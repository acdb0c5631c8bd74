"""`makoto-batch backfill`: a range of days, each run if it changed or never was; it stops and goes on where it was."""

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from daily_batch.cli.console import News, show_progress
from daily_batch.cli.output import guarded, print_json, print_rows
from daily_batch.cli.tenants import choose_tenants
from daily_batch.commands.run import wait_for_receipt
from daily_batch.domain.calendar import days_between, parse_day
from daily_batch.domain.request import Request
from daily_batch.errors import BatchError, describe_error
from daily_batch.orchestration.bootstrap import make_dispatch
from daily_batch.orchestration.day_status import state_label
from daily_batch.orchestration.dispatch import Dispatch
from daily_batch.orchestration.requests import build_requests
from daily_batch.pipeline.runners.base import Runner
from daily_batch.settings import load_settings

COLUMNS = {
    "tenant": "tenant",
    "date": "date",
    "outcome": "outcome",
    "messages": "messages",
    "rejected": "rejected",
    "unreadable": "unreadable",
    "run_id": "run",
    "error": "error",
}


@dataclass(frozen=True, kw_only=True)
class BackfillOptions:
    """Which days, how many at once, whether to run those too that did not change, and who allows that they shrink."""

    first: str
    last: str
    all_tenants: bool = False
    parallel: int = 1
    force: bool = False
    allow_shrink: str = ""
    as_json: bool = False
    debug: bool = False


def backfill_command(flags: Mapping[str, object], options: BackfillOptions, *, spark: Callable[[], Runner]) -> int:
    """Run every tenant's days of the range and return the highest exit status."""

    def backfill() -> int:
        settings = load_settings(flags={**flags, "date": options.last}, environ=os.environ)
        settings = choose_tenants(settings, all_tenants=options.all_tenants)
        days = list(days_between(parse_day(options.first), parse_day(options.last), max_days=settings.max_range_days))
        requests = [
            replace(request, day=day)
            for request in build_requests(settings, datetime.now(UTC), allow_shrink=options.allow_shrink)
            for day in days
        ]
        dispatch = make_dispatch(settings, requests[0].output, spark=spark, parallel=options.parallel)
        rows = _run_all(requests, dispatch, options)
        if options.as_json:
            print_json({"days": rows})
        else:
            print_rows(COLUMNS, rows, folded="error")
        return max((int(str(row["status"])) for row in rows), default=0)

    return guarded(backfill, debug=options.debug)


def _run_all(requests: list[Request], dispatch: Dispatch, options: BackfillOptions) -> list[dict[str, object]]:
    rows = []
    with show_progress() as open_progress, ThreadPoolExecutor(options.parallel) as pool:
        overall = open_progress("backfill")
        try:
            for row in pool.map(lambda request: _run_one(request, dispatch, options, open_progress), requests):
                rows.append(row)
                overall("days", len(rows), len(requests), "days")
        except KeyboardInterrupt:
            # Days that are at work end by themselves; none is begun.
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return rows


def _run_one(
    request: Request, dispatch: Dispatch, options: BackfillOptions, open_progress: Callable[[str], News]
) -> dict[str, object]:
    progress = open_progress(f"tenant={request.tenant} day={request.day}")
    row: dict[str, object] = {"tenant": request.tenant, "date": request.day.isoformat()}
    try:
        answer = dispatch.run(request, progress=progress, if_changed=not options.force)
        receipt = answer.receipt or wait_for_receipt(dispatch, request, answer, progress)
    except Exception as error:
        status = error.exit_code if isinstance(error, BatchError) else 1
        outcome = "held" if status == 4 else "failed"
        empty = {"messages": None, "rejected": None, "unreadable": None, "run_id": None}
        return {**row, "outcome": outcome, **empty, "error": describe_error(error), "status": status}
    return {
        **row,
        "outcome": "unchanged" if answer.kind == "unchanged" else state_label(receipt.status),
        "messages": receipt.records.written,
        "rejected": receipt.records.rejected,
        "unreadable": receipt.objects.unreadable,
        "run_id": answer.run_id,
        "error": None,
        "status": 0,
    }
