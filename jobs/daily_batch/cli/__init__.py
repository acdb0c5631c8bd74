"""The command line `makoto-batch`. Heavy modules are imported by the command that needs them."""

import typer

from daily_batch.cli import days, looking, sample, upkeep

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Turn each tenant's business day of chat messages into clean tables, and prove that nothing was lost.",
)
for _commands in (days, looking, upkeep, sample):
    app.add_typer(_commands.app)
