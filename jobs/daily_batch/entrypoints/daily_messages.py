"""The daily messages job, for spark-submit, EMR Serverless and a Databricks wheel task.

spark-submit --properties-file conf/spark/local.conf jobs/daily_messages.py --tenant acme --date 2025-08-12 \
    --input samples --output out
"""

from typing import Annotated

import typer

from daily_batch.cli.group import SingleCommand
from daily_batch.cli.options import (
    HELP_SETTINGS,
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
    ShowConfigOption,
    TenantOption,
    as_flags,
    read_environment,
)
from daily_batch.cli.output import exit_on_error
from daily_batch.entrypoints.wheel_task import call_as_task
from daily_batch.settings import help_text

app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(cls=SingleCommand, context_settings=HELP_SETTINGS, help=__doc__)
def run(
    tenant: TenantOption = None,
    date: DateOption = None,
    input: InputOption = None,  # noqa: A002 - the flag's name
    output: OutputOption = None,
    layout: LayoutOption = None,
    format: FormatOption = None,  # noqa: A002 - the flag's name
    discovery: DiscoveryOption = None,
    ledger: LedgerOption = None,
    catalog: Annotated[str | None, typer.Option(help=help_text("catalog"))] = None,
    run_id: Annotated[str | None, typer.Option(help="ID of the run that submitted this job.")] = None,
    token: Annotated[int | None, typer.Option(min=1, help="Token of the submitter's lease.")] = None,
    allow_shrink: Annotated[
        str, typer.Option(help="Who allows the day to lose published rows; for a job without a submitter.")
    ] = "",
    settings: Annotated[str | None, typer.Option(help="The submitter's settings, as a JSON object.")] = None,
    conf: ConfOption = None,
    env: EnvOption = None,
    receipt: ReceiptOption = None,
    json: JsonOption = False,
    show_config: ShowConfigOption = False,
    debug: DebugOption = False,
) -> None:
    """Run the day on the Spark session of this process."""
    from daily_batch.cli.run import run_days
    from daily_batch.entrypoints.submitted_job import run_submitted_job
    from daily_batch.pipeline.runners.spark import warm_session

    flags = as_flags(tenant=tenant, date=date, input=input, output=output, layout=layout, format=format)
    # This process is the Spark job, regardless of the setting for where Spark jobs run.
    flags |= as_flags(discovery=discovery, ledger=ledger, catalog=catalog, runner="spark", spark="here")
    environ = read_environment(conf, env)
    with exit_on_error(debug=debug, json_output=json):
        if run_id and token:
            run_submitted_job(
                flags, environ, run_id=run_id, token=token, submitter_settings=settings, spark=warm_session
            )
            return
        status = run_days(
            flags,
            environ,
            spark=warm_session,
            allow_shrink=allow_shrink,
            json_output=json,
            receipt_file=receipt,
            show_config=show_config,
            debug=debug,
        )
        raise typer.Exit(status)


def main() -> None:
    """Entry point of the Databricks wheel task."""
    call_as_task(app)
