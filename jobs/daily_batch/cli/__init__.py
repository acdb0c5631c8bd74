"""The command line `makoto-batch`, one module per command. Each command imports what it needs when it runs."""

from importlib.metadata import version
from typing import Annotated

import typer

from daily_batch.cli import (
    backfill,
    ddl,
    erase,
    erasures,
    optimize,
    plan,
    redact,
    replay,
    report,
    run,
    sample,
    smoke,
    status,
    vacuum,
)
from daily_batch.cli.group import CommandGroup
from daily_batch.cli.options import HELP_SETTINGS

app = typer.Typer(
    cls=CommandGroup,
    context_settings=HELP_SETTINGS,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Turn each tenant's business day of chat messages into clean tables, and prove that nothing was lost.",
)
# In the order of use, which is that of the help text.
_modules = (sample, plan, smoke, run, backfill, replay, status, report, ddl, optimize, vacuum, erase, erasures, redact)
for _module in _modules:
    app.add_typer(_module.app)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"makoto-batch {version('makoto-daily-batch')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _start(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version, and exit.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())
