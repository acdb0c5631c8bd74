"""The command line `makoto-batch`, one module per command. Each command imports what it needs when it runs."""

import typer

from daily_batch.cli import (
    backfill,
    ddl,
    erase,
    optimize,
    plan,
    replay,
    report,
    run,
    sample,
    smoke,
    status,
    vacuum,
)

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Turn each tenant's business day of chat messages into clean tables, and prove that nothing was lost.",
)
# In the order of the help text.
for _command in (run, plan, backfill, replay, status, report, ddl, smoke, optimize, vacuum, erase, sample):
    app.add_typer(_command.app)
