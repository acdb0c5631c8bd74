"""Keeps tables in order where Spark is: large ones on it, small ones in the driver, by the commands of makoto-batch.

spark-submit --properties-file conf/spark/local.conf jobs/maintain_tables.py vacuum --tenant acme --output out --dry-run
"""

import typer

from daily_batch.cli import upkeep
from daily_batch.entrypoints.daily_messages import call_as_task

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None, help=__doc__)
app.add_typer(upkeep.app)


@app.callback()
def _main(context: typer.Context) -> None:
    from daily_batch.pipeline.runners.spark import current_session

    context.obj = current_session


def main() -> None:
    """Entry point of Databricks' wheel task."""
    call_as_task(app)
