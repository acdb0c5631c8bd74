"""Table maintenance where Spark is: the maintenance commands of makoto-batch, with large tables on Spark.

spark-submit --properties-file conf/spark/local.conf jobs/maintain_tables.py vacuum --tenant acme --output out --dry-run
"""

import typer

from daily_batch.cli import erase, optimize, vacuum
from daily_batch.cli.group import CommandGroup
from daily_batch.cli.options import HELP_SETTINGS
from daily_batch.entrypoints.wheel_task import call_as_task

app = typer.Typer(
    cls=CommandGroup,
    context_settings=HELP_SETTINGS,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help=__doc__,
)
for _command in (optimize, vacuum, erase):
    app.add_typer(_command.app)


@app.callback()
def _use_spark(context: typer.Context) -> None:
    from daily_batch.pipeline.runners.spark import current_session

    context.obj = current_session


def main() -> None:
    """Entry point of the Databricks wheel task."""
    call_as_task(app)
