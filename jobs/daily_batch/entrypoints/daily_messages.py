"""The daily messages job, for spark-submit, EMR Serverless and a Databricks wheel task.

spark-submit --properties-file conf/spark/local.conf jobs/daily_messages.py --tenant acme --date 2025-08-12 \
    --input samples --output out
"""

import re
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from daily_batch.cli.options import (
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
    ShowConfig,
    Tenant,
    as_flags,
)

app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(help=__doc__)
def run(
    tenant: Tenant = None,
    date: Day = None,
    input: Input = None,  # noqa: A002 - the flag's name
    output: Output = None,
    layout: Layout = None,
    format: Format = None,  # noqa: A002 - the flag's name
    discovery: Discovery = None,
    ledger: LedgerOption = None,
    catalog: Annotated[str | None, typer.Option(help="Unity Catalog's catalog.schema for the tables.")] = None,
    run_id: Annotated[str | None, typer.Option(help="Of the run that submitted this job.")] = None,
    token: Annotated[int | None, typer.Option(min=1, help="Of the lease that the submitter holds.")] = None,
    allow_shrink: Annotated[str, typer.Option(help="Who allows that the day loses rows; of a job of one's own.")] = "",
    settings: Annotated[str | None, typer.Option(help="Of the submitter, as a JSON object.")] = None,
    receipt: ReceiptFile = None,
    json: AsJson = False,
    show_config: ShowConfig = False,
    debug: Debug = False,
) -> None:
    """Run the day on the Spark that submitted this script."""
    from daily_batch.commands.run import RunOptions, run_command
    from daily_batch.entrypoints.smoke_test import look_first
    from daily_batch.entrypoints.submitted_job import LeaseOptions, submitted_command
    from daily_batch.pipeline.runners.spark import current_session

    # Wherever the settings send a Spark job: this is one, and it runs here.
    flags = as_flags(tenant=tenant, date=date, input=input, output=output, layout=layout, format=format)
    flags |= as_flags(discovery=discovery, ledger=ledger, catalog=catalog, runner="spark", spark="here")
    if run_id and token:
        lease = LeaseOptions(run_id=run_id, token=token, settings=settings)
        status = submitted_command(flags, lease, spark=current_session, look=look_first, debug=debug)
    else:
        options = RunOptions(
            allow_shrink=allow_shrink, as_json=json, receipt_file=receipt, show_config=show_config, debug=debug
        )
        status = run_command(flags, options, spark=current_session)
    raise typer.Exit(status)


def main() -> None:
    """Entry point of Databricks' wheel task, which calls it in its own process, with the parameters in `sys.argv`."""
    call_as_task(app)


def call_as_task(command: typer.Typer) -> None:
    """Run a command with the task's parameters, and return where it ends well: only a failure leaves by SystemExit."""
    try:
        command(args=drop_empty(sys.argv[1:]), prog_name=sys.argv[0])
    except SystemExit as end:
        if end.code:
            raise


def drop_empty(arguments: Sequence[str]) -> list[str]:
    """The arguments without those like `--date=`: a job's parameter that nobody gave comes as empty text."""
    return [argument for argument in arguments if not re.fullmatch(r"--[a-z-]+=", argument)]
