"""Days are run: one, a range, or the rejects of one again."""

from typing import TYPE_CHECKING, Annotated

import typer

from daily_batch.cli.options import (
    AllowShrink,
    AllTenants,
    AsJson,
    Day,
    Debug,
    Discovery,
    Format,
    Input,
    Layout,
    LedgerOption,
    Output,
    ReceiptFile,
    RunnerOption,
    ShowConfig,
    Tenant,
    as_flags,
    who_allows,
)

if TYPE_CHECKING:
    from daily_batch.pipeline.runners.base import Runner

app = typer.Typer()


@app.command(
    epilog="Example: makoto-batch run --tenant acme --date 2025-08-12 --input samples --output out --json. "
    "With --allow-shrink where the day is meant to lose rows."
)
def run(
    tenant: Tenant = None,
    date: Day = None,
    input: Input = None,  # noqa: A002 - the flag's name
    output: Output = None,
    runner: RunnerOption = None,
    layout: Layout = None,
    format: Format = None,  # noqa: A002 - the flag's name
    discovery: Discovery = None,
    ledger: LedgerOption = None,
    all_tenants: AllTenants = False,
    look_back: Annotated[int, typer.Option(min=0, max=366, help="Also run so many days before, if they changed.")] = 0,
    if_changed: Annotated[bool, typer.Option("--if-changed", help="Do nothing if no object changed.")] = False,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Take the lease of a run that is known to be dead.")
    ] = False,
    allow_shrink: AllowShrink = False,
    receipt: ReceiptFile = None,
    json: AsJson = False,
    show_config: ShowConfig = False,
    debug: Debug = False,
) -> None:
    """Turn one business day of messages into tables, and print the receipt."""
    from daily_batch.commands.run import RunOptions, run_command

    options = RunOptions(
        all_tenants=all_tenants,
        if_changed=if_changed,
        look_back=look_back,
        take_over=take_over,
        allow_shrink=who_allows(allow_shrink),
        as_json=json,
        receipt_file=receipt,
        show_config=show_config,
        debug=debug,
    )
    flags = as_flags(tenant=tenant, date=date, input=input, output=output, layout=layout, format=format)
    flags |= as_flags(runner=runner, discovery=discovery, ledger=ledger)
    raise typer.Exit(run_command(flags, options, spark=_start_spark))


@app.command(epilog="Example: makoto-batch plan --tenant acme --date 2025-08-12 --input samples --output out --strays")
def plan(
    tenant: Tenant = None,
    date: Day = None,
    input: Input = None,  # noqa: A002 - the flag's name
    output: Output = None,
    runner: RunnerOption = None,
    layout: Layout = None,
    discovery: Discovery = None,
    ledger: LedgerOption = None,
    verify_discovery: Annotated[
        bool, typer.Option("--verify-discovery", help="Name the rooms that the metadata store does not know.")
    ] = False,
    cost: Annotated[bool, typer.Option("--cost", help="Also what it takes and costs in each cloud.")] = False,
    strays: Annotated[
        bool,
        typer.Option("--strays", help="Count the tenant's objects that lie where no run looks; status tells of them."),
    ] = False,
    json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Show what a day holds, which runner would take it, why, and at what cost; write no table."""
    from daily_batch.commands.plan import plan_command

    flags = as_flags(tenant=tenant, date=date, input=input, output=output, layout=layout)
    flags |= as_flags(runner=runner, discovery=discovery, ledger=ledger)
    raise typer.Exit(plan_command(flags, compare=verify_discovery, cost=cost, strays=strays, as_json=json, debug=debug))


@app.command(
    epilog="Example: makoto-batch backfill --tenant acme --from 2025-08-01 --to 2025-08-12 --input samples --output out"
)
def backfill(
    first: Annotated[str, typer.Option("--from", help="First day, yyyy-mm-dd.")],
    last: Annotated[str, typer.Option("--to", help="Last day, yyyy-mm-dd.")],
    tenant: Tenant = None,
    input: Input = None,  # noqa: A002 - the flag's name
    output: Output = None,
    runner: RunnerOption = None,
    layout: Layout = None,
    format: Format = None,  # noqa: A002 - the flag's name
    discovery: Discovery = None,
    ledger: LedgerOption = None,
    all_tenants: AllTenants = False,
    parallel: Annotated[int, typer.Option(min=1, max=64, help="Days at work at once.")] = 1,
    force: Annotated[bool, typer.Option("--force", help="Run days again that did not change.")] = False,
    allow_shrink: AllowShrink = False,
    json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Run every day of a range that changed or never ran; stopped and started again, it goes on."""
    from daily_batch.commands.backfill import BackfillOptions, backfill_command

    options = BackfillOptions(
        first=first,
        last=last,
        all_tenants=all_tenants,
        parallel=parallel,
        force=force,
        allow_shrink=who_allows(allow_shrink),
        as_json=json,
        debug=debug,
    )
    flags = as_flags(tenant=tenant, input=input, output=output, layout=layout, format=format)
    flags |= as_flags(runner=runner, discovery=discovery, ledger=ledger)
    raise typer.Exit(backfill_command(flags, options, spark=_start_spark))


@app.command(
    epilog="Example: makoto-batch replay --tenant acme --date 2025-08-12 --input samples --output out --dry-run"
)
def replay(
    tenant: Tenant = None,
    date: Day = None,
    input: Input = None,  # noqa: A002 - the flag's name
    output: Output = None,
    layout: Layout = None,
    format: Format = None,  # noqa: A002 - the flag's name
    ledger: LedgerOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Try the rejects, and run nothing.")] = False,
    allow_shrink: AllowShrink = False,
    json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Try a day's rejects by the rules of now, and run the day again if some are accepted."""
    from daily_batch.commands.replay import replay_command

    flags = as_flags(tenant=tenant, date=date, input=input, output=output, layout=layout, format=format, ledger=ledger)
    who = who_allows(allow_shrink)
    raise typer.Exit(
        replay_command(flags, spark=_start_spark, allow_shrink=who, dry_run=dry_run, as_json=json, debug=debug)
    )


def _start_spark() -> "Runner":
    from daily_batch.pipeline.runners.spark import start_local

    return start_local()
