"""Tables are kept in order."""

from typing import Annotated

import typer

from daily_batch.cli.options import (
    AllTenants,
    AsJson,
    Debug,
    Input,
    LedgerOption,
    Output,
    Tenant,
    UpkeepDryRun,
    as_flags,
)

app = typer.Typer()


@app.command(epilog="Example: makoto-batch optimize --tenant acme --output out --dry-run")
def optimize(
    context: typer.Context,
    tenant: Tenant = None,
    output: Output = None,
    all_tenants: AllTenants = False,
    spare_days: Annotated[
        int, typer.Option(min=1, help="Leave today and so many days before it alone: a run may be at work.")
    ] = 3,
    dry_run: UpkeepDryRun = False,
    json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Rewrite days that lie in many small files to few sorted ones; the rows stay the same. Delta only."""
    from daily_batch.commands.optimize import OptimizeOptions, optimize_command

    options = OptimizeOptions(
        spare_days=spare_days, all_tenants=all_tenants, dry_run=dry_run, as_json=json, debug=debug
    )
    raise typer.Exit(optimize_command(as_flags(tenant=tenant, output=output), options, spark=context.obj))


@app.command(epilog="Example: makoto-batch vacuum --tenant acme --output out --keep-days 730 --dry-run")
def vacuum(
    context: typer.Context,
    tenant: Tenant = None,
    output: Output = None,
    all_tenants: AllTenants = False,
    retain_hours: Annotated[
        int | None,
        typer.Option(
            min=24, help="Keep files that only older versions name, or none, so long. Default: 168, or longer."
        ),
    ] = None,
    keep_days: Annotated[
        int | None,
        typer.Option(min=0, help="Remove days that are older, and their receipts; 0: none. Default: retention_days."),
    ] = None,
    dry_run: UpkeepDryRun = False,
    json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Remove what nobody needs: files of old versions, crashed runs and days beyond the retention, old log entries."""
    from daily_batch.commands.vacuum import VacuumOptions, vacuum_command

    options = VacuumOptions(
        retain_hours=retain_hours,
        keep_days=keep_days,
        all_tenants=all_tenants,
        dry_run=dry_run,
        as_json=json,
        debug=debug,
    )
    raise typer.Exit(vacuum_command(as_flags(tenant=tenant, output=output), options, spark=context.obj))


@app.command(epilog="Example: makoto-batch erase --tenant acme --user user456 --input samples --output out")
def erase(
    context: typer.Context,
    tenant: Tenant = None,
    user: Annotated[str | None, typer.Option(help="The id of the user to erase.")] = None,
    room: Annotated[str | None, typer.Option(help="The id of the room to erase.")] = None,
    input: Input = None,  # noqa: A002 - the flag's name
    output: Output = None,
    ledger: LedgerOption = None,
    mentions: Annotated[
        bool, typer.Option("--mentions", help="Also messages of others that name the id as a word.")
    ] = False,
    confirm: Annotated[
        bool, typer.Option("--confirm/--dry-run", help="Erase. Without it only look, and change nothing.")
    ] = False,
    by: Annotated[str | None, typer.Option(help="Who asked, for the evidence. Default: this machine's user.")] = None,
    json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Erase a user or a room from all tables of a tenant and their old versions, and leave evidence of it."""
    from daily_batch.commands.erase import EraseOptions, erase_command

    options = EraseOptions(user=user, room=room, mentions=mentions, confirm=confirm, by=by, as_json=json, debug=debug)
    flags = as_flags(tenant=tenant, input=input, output=output, ledger=ledger)
    raise typer.Exit(erase_command(flags, options, spark=context.obj))
