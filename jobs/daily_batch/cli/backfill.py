"""`makoto-batch backfill`: run the days of a range that changed or never ran; a stopped backfill can be resumed."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from daily_batch.cli.options import (
    AllowShrinkOption,
    AllTenantsOption,
    ConfOption,
    DebugOption,
    DiscoveryOption,
    EnvOption,
    FormatOption,
    InputOption,
    JsonOption,
    LayoutOption,
    LedgerOption,
    OutputOption,
    RunnerOption,
    TenantOption,
    as_flags,
    examples,
    find_approver,
    read_environment,
)
from daily_batch.cli.output import console, exit_on_error, print_json, print_table
from daily_batch.domain.calendar import days_between, parse_day
from daily_batch.errors import BatchError, LeaseHeldError, describe_error

if TYPE_CHECKING:
    from daily_batch.domain.request import Request
    from daily_batch.orchestration.dispatch import Dispatch
    from daily_batch.pipeline.runners.base import Progress

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

app = typer.Typer()


@app.command(
    rich_help_panel="Run",
    epilog=examples(
        "makoto-batch backfill --tenant acme --from 2025-08-11 --to 2025-08-13 --input samples --output out",
    ),
)
def backfill(
    first: Annotated[str, typer.Option("--from", help="First day, yyyy-mm-dd.")],
    last: Annotated[str, typer.Option("--to", help="Last day, yyyy-mm-dd.")],
    tenant: TenantOption = None,
    input: InputOption = None,  # noqa: A002 - the flag's name
    output: OutputOption = None,
    runner: RunnerOption = None,
    layout: LayoutOption = None,
    format: FormatOption = None,  # noqa: A002 - the flag's name
    discovery: DiscoveryOption = None,
    ledger: LedgerOption = None,
    all_tenants: AllTenantsOption = False,
    parallel: Annotated[int, typer.Option(min=1, max=64, help="How many days to run at once.")] = 1,
    force: Annotated[bool, typer.Option("--force", help="Also run days that have not changed.")] = False,
    allow_shrink: AllowShrinkOption = False,
    conf: ConfOption = None,
    env: EnvOption = None,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Run every day of a range that changed or never ran; run the same command again to resume."""
    from daily_batch.cli.tenants import choose_tenants
    from daily_batch.orchestration.bootstrap import make_dispatch, start_spark
    from daily_batch.orchestration.day_status import state_label
    from daily_batch.orchestration.requests import build_requests
    from daily_batch.settings import load_settings

    flags = as_flags(tenant=tenant, date=last, input=input, output=output, layout=layout, format=format)
    flags |= as_flags(runner=runner, discovery=discovery, ledger=ledger)
    with exit_on_error(debug=debug, json_output=json):
        settings = choose_tenants(
            load_settings(flags=flags, environ=read_environment(conf, env)), all_tenants=all_tenants
        )
        days = list(days_between(parse_day(first), parse_day(last), max_days=settings.max_range_days))
        requests = [
            replace(request, day=day)
            for request in build_requests(settings, datetime.now(UTC), allow_shrink=find_approver(allow_shrink))
            for day in days
        ]
        dispatch = make_dispatch(settings, requests[0].output, spark=start_spark, parallel=parallel)
        rows = _run_all(requests, dispatch, parallel=parallel, force=force)
        if json:
            print_json({"days": rows})
        else:
            print_table(
                COLUMNS, [{**row, "outcome": state_label(str(row["outcome"]))} for row in rows], wrapped="error"
            )
            for row in filter(lambda each: each["note"], rows):
                console().print(f"{row['tenant']} {row['date']}: {row['note']}", markup=False, soft_wrap=True)
        raise typer.Exit(max((int(str(row["status"])) for row in rows), default=0))


def _run_all(
    requests: "Sequence[Request]", dispatch: "Dispatch", *, parallel: int, force: bool
) -> list[dict[str, object]]:
    """Run the days, `parallel` at once, and return a row for each."""
    from daily_batch.cli.progress import show_progress

    rows = []
    with show_progress() as open_progress, ThreadPoolExecutor(parallel) as pool:
        overall = open_progress("backfill")
        try:
            for row in pool.map(lambda request: _run_one(request, dispatch, open_progress, force=force), requests):
                rows.append(row)
                overall("days", len(rows), len(requests), "days")
        except KeyboardInterrupt:
            # Running days finish by themselves; no other day starts.
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return rows


def _run_one(
    request: "Request", dispatch: "Dispatch", open_progress: "Callable[[str], Progress]", *, force: bool
) -> dict[str, object]:
    from daily_batch.domain.quality import describe_warnings
    from daily_batch.orchestration.day_receipt import run_and_wait
    from daily_batch.orchestration.day_status import describe_published

    progress = open_progress(f"tenant={request.tenant} day={request.day}")
    row: dict[str, object] = {"tenant": request.tenant, "date": request.day.isoformat()}
    try:
        result, receipt = run_and_wait(dispatch, request, progress=progress, if_changed=not force)
    except Exception as error:
        empty = {"messages": None, "rejected": None, "unreadable": None, "run_id": None}
        return {
            **row,
            "outcome": "HELD" if isinstance(error, LeaseHeldError) else "FAILED",
            **empty,
            "note": "",
            "error": describe_error(error),
            "status": error.exit_code if isinstance(error, BatchError) else 1,
        }
    objects = receipt.objects
    return {
        **row,
        "outcome": "UNCHANGED" if result.kind == "unchanged" else receipt.status,
        "messages": receipt.records.written,
        "rejected": receipt.records.rejected,
        "unreadable": objects.unreadable,
        "run_id": result.run_id,
        "note": describe_published(objects.unreadable, objects.in_manifest, describe_warnings(receipt.quality)),
        "error": None,
        "status": 0,
    }
