"""The daily messages job, for spark-submit, EMR Serverless and a Databricks wheel task.

spark-submit --properties-file conf/spark/local.conf jobs/daily_messages.py --tenant acme --date 2025-08-12 \
    --input samples --output out
"""

import typer

from daily_batch import cli

app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command(help=__doc__)
def run(
    tenant: cli.Tenant = None,
    date: cli.Day = None,
    input: cli.Input = None,  # noqa: A002 - the flag's name
    output: cli.Output = None,
    layout: cli.Layout = None,
    format: cli.Format = None,  # noqa: A002 - the flag's name
    receipt: cli.ReceiptFile = None,
    json: cli.AsJson = False,
    show_config: cli.ShowConfig = False,
    debug: cli.Debug = False,
) -> None:
    """Run the day on the Spark that submitted this script."""
    from daily_batch.command import run_command
    from daily_batch.runners.spark import current_session

    flags = cli.as_flags(tenant=tenant, date=date, input=input, output=output, layout=layout, table_format=format)
    status = run_command(
        flags, make_runner=current_session, as_json=json, receipt_file=receipt, show_config=show_config, debug=debug
    )
    raise typer.Exit(status)


if __name__ == "__main__":
    app()
