"""`makoto-batch run`: one day of each tenant, and the days before it that have changed."""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from daily_batch.cli.options import (
    AllowShrinkOption,
    AllTenantsOption,
    ConfOption,
    DateOption,
    DebugOption,
    DiscoveryOption,
    EnvOption,
    FormatOption,
    InputOption,
    JsonOption,
    LayoutOption,
    LedgerOption,
    OutputOption,
    ReceiptOption,
    RunnerOption,
    ShowConfigOption,
    TenantOption,
    as_flags,
    examples,
    find_approver,
    read_environment,
)
from daily_batch.cli.output import (
    exit_on_error,
    print_plain,
    print_settings,
    render_receipt,
    report_failure,
    write_receipts,
)

if TYPE_CHECKING:
    from daily_batch.domain.request import Request
    from daily_batch.pipeline.runners.base import Runner

app = typer.Typer()


@app.command(
    rich_help_panel="Run",
    epilog=examples(
        "makoto-batch run --tenant acme --date 2025-08-12 --input samples --output out",
        "makoto-batch run --tenant acme,globex --date 2025-08-12 --input samples --output out --look-back 3 --json",
    ),
)
def run(
    tenant: TenantOption = None,
    date: DateOption = None,
    input: InputOption = None,  # noqa: A002 - the flag's name
    output: OutputOption = None,
    runner: RunnerOption = None,
    layout: LayoutOption = None,
    format: FormatOption = None,  # noqa: A002 - the flag's name
    discovery: DiscoveryOption = None,
    ledger: LedgerOption = None,
    all_tenants: AllTenantsOption = False,
    look_back: Annotated[
        int, typer.Option(min=0, max=366, help="Also run this many days before the date, if they changed.")
    ] = 0,
    if_changed: Annotated[bool, typer.Option("--if-changed", help="Do nothing if no object has changed.")] = False,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Take the lease of a run that is known to be dead.")
    ] = False,
    allow_shrink: AllowShrinkOption = False,
    conf: ConfOption = None,
    env: EnvOption = None,
    receipt: ReceiptOption = None,
    json: JsonOption = False,
    show_config: ShowConfigOption = False,
    debug: DebugOption = False,
) -> None:
    """Turn one business day of messages into tables, and print the receipt."""
    from daily_batch.orchestration.bootstrap import start_spark

    flags = as_flags(tenant=tenant, date=date, input=input, output=output, layout=layout, format=format)
    flags |= as_flags(runner=runner, discovery=discovery, ledger=ledger)
    with exit_on_error(debug=debug, json_output=json):
        status = run_days(
            flags,
            read_environment(conf, env),
            spark=start_spark,
            all_tenants=all_tenants,
            if_changed=if_changed,
            look_back=look_back,
            take_over=take_over,
            allow_shrink=find_approver(allow_shrink),
            json_output=json,
            receipt_file=receipt,
            show_config=show_config,
            debug=debug,
        )
        raise typer.Exit(status)


def run_days(
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    *,
    spark: "Callable[[], Runner]",
    all_tenants: bool = False,
    if_changed: bool = False,
    look_back: int = 0,
    take_over: bool = False,
    allow_shrink: str = "",
    json_output: bool = False,
    receipt_file: Path | None = None,
    show_config: bool = False,
    debug: bool = False,
) -> int:
    """Run one day of every tenant in the settings, print the receipts, and return the highest exit status.

    A day that fails is reported, and does not stop the next one.

    Args:
        flags: settings by name, as `load_settings` takes them.
        environ: environment variables.
        spark: makes the Spark runner of this process.
        look_back: this many days before the day are run too, if they changed or were never completed.
        allow_shrink: who allows a day to lose published rows; empty if nobody does.

    Raises:
        UsageError: a setting is wrong; nothing was read or written.
    """
    from daily_batch.cli.tenants import choose_tenants
    from daily_batch.orchestration.requests import build_requests
    from daily_batch.pipeline.runners.databricks_serverless import fit_compute
    from daily_batch.pipeline.runners.starting import StartingRunner
    from daily_batch.settings import load_settings

    settings = load_settings(flags=flags, environ=environ)
    if show_config:
        print_settings(settings)
        return 0
    settings = choose_tenants(settings, all_tenants=all_tenants)
    settings = fit_compute(settings, environ)
    requests = build_requests(settings, datetime.now(UTC), allow_shrink=allow_shrink)
    starting: Runner | None = None
    if settings.runner == "spark" and settings.spark == "here" and not if_changed:
        starting = StartingRunner(spark)

    # Half a second of imports, while Spark starts.
    from daily_batch.cli.progress import show_progress
    from daily_batch.domain.receipt import loss_warning
    from daily_batch.orchestration.bootstrap import make_dispatch
    from daily_batch.orchestration.day_receipt import run_and_wait

    dispatch = make_dispatch(settings, requests[0].output, spark=(lambda: starting) if starting else spark)
    receipts = []
    status = 0
    with show_progress() as open_progress:
        for request, only_if_changed in _list_days(requests, look_back=look_back, if_changed=if_changed):
            try:
                progress = open_progress(f"tenant={request.tenant} day={request.day}")
                _, receipt = run_and_wait(
                    dispatch, request, progress=progress, if_changed=only_if_changed, take_over=take_over
                )
            except (Exception, KeyboardInterrupt) as error:
                status = max(status, report_failure(error, debug=debug, json_output=json_output))
                if isinstance(error, KeyboardInterrupt):
                    break
                continue
            receipts.append(receipt)
            if not json_output:
                print_plain(render_receipt(receipt))
            elif loss := loss_warning(receipt):
                print(f"WARNING: tenant={receipt.tenant} day={receipt.date}: {loss}", file=sys.stderr)
    write_receipts(receipts, json_output=json_output, receipt_file=receipt_file)
    return status


def _list_days(
    requests: "tuple[Request, ...]", *, look_back: int, if_changed: bool
) -> "Iterator[tuple[Request, bool]]":
    """Yield each request, and whether it runs only if changed. Earlier days come last: they are less urgent."""
    for request in requests:
        yield request, if_changed
    for request in requests:
        for days in range(1, look_back + 1):
            yield replace(request, day=request.day - timedelta(days=days)), True
