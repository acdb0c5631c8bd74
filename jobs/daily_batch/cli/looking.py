"""What there is, is shown: which days ran, a report, how readers of SQL know the tables, what a night would lack."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from daily_batch.cli.options import (
    AllTenants,
    AsJson,
    Debug,
    First,
    Format,
    Input,
    Last,
    Layout,
    LedgerOption,
    Output,
    Tenant,
    as_flags,
)

app = typer.Typer()


class EngineChoice(StrEnum):
    """Who reads the tables by SQL."""

    ATHENA = "athena"
    SYNAPSE = "synapse"
    DATABRICKS = "databricks"


class LangChoice(StrEnum):
    """A report's language."""

    EN = "en"
    JA = "ja"


@app.command(epilog="Example: makoto-batch status --tenant acme,globex --from 2025-08-01 --to 2025-08-12 --output out")
def status(
    tenant: Tenant = None,
    first: First = None,
    last: Last = None,
    input: Input = None,  # noqa: A002 - the flag's name
    output: Output = None,
    layout: Layout = None,
    ledger: LedgerOption = None,
    all_tenants: AllTenants = False,
    verify: Annotated[bool, typer.Option("--verify", help="List completed days again: which changed since?")] = False,
    check: Annotated[bool, typer.Option("--check", help="End with 1 if a day needs attention.")] = False,
    json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Show which days ran, and which are missing, late, failed or changed since; the last seven by default."""
    from daily_batch.commands.status import StatusOptions, status_command

    options = StatusOptions(
        first=first, last=last, all_tenants=all_tenants, verify=verify, check=check, as_json=json, debug=debug
    )
    flags = as_flags(tenant=tenant, input=input, output=output, layout=layout, ledger=ledger)
    raise typer.Exit(status_command(flags, options))


@app.command(
    epilog="Example: makoto-batch report --all-tenants --from 2025-08-01 --to 2025-08-12 --output out --lang ja"
)
def report(
    tenant: Tenant = None,
    first: First = None,
    last: Last = None,
    input: Input = None,  # noqa: A002 - the flag's name
    output: Output = None,
    ledger: LedgerOption = None,
    all_tenants: AllTenants = False,
    html: Annotated[
        Path | None, typer.Option(help="File of the page. Default: report.html, unless --json or --markdown is given.")
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="The report as Markdown, on standard output.")] = False,
    lang: Annotated[LangChoice, typer.Option(help="English or Japanese.")] = LangChoice.EN,
    check: Annotated[bool, typer.Option("--check", help="End with 1 if a day needs attention.")] = False,
    json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Show a night or a range as one page: states, failures, volumes, rejects, times, cost; the last seven days."""
    from daily_batch.commands.report import ReportOptions, report_command

    options = ReportOptions(
        first=first,
        last=last,
        all_tenants=all_tenants,
        html=html,
        as_json=json,
        as_markdown=markdown,
        lang="ja" if lang is LangChoice.JA else "en",
        check=check,
        debug=debug,
    )
    flags = as_flags(tenant=tenant, input=input, output=output, ledger=ledger)
    raise typer.Exit(report_command(flags, options))


@app.command(
    epilog="Example: makoto-batch ddl --engine athena --format parquet --tenant acme --output s3://bucket/prefix"
)
def ddl(
    engine: Annotated[EngineChoice, typer.Option(help="Who will read the tables.")],
    tenant: Tenant = None,
    output: Output = None,
    format: Format = None,  # noqa: A002 - the flag's name
    catalog: Annotated[
        str | None, typer.Option(help="Catalog and beginning of the schemas' names. Default: main.chat.")
    ] = None,
    json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Print the statements with which Athena, Synapse or Databricks SQL knows the tables; ask no engine."""
    from daily_batch.commands.ddl import ddl_command

    flags = as_flags(tenant=tenant, output=output, format=format, catalog=catalog)
    raise typer.Exit(ddl_command(flags, engine=engine.value, as_json=json, debug=debug))


@app.command(
    epilog="Example: makoto-batch smoke --variables worker.json, after aws lambda get-function-configuration"
    " --function-name makoto-daily-batch-processor --query Environment.Variables > worker.json"
)
def smoke(
    input: Input = None,  # noqa: A002 - the flag's name
    output: Output = None,
    variables: Annotated[
        str | None,
        typer.Option(help="File of the worker's variables as JSON, as AWS or Azure list them; - for standard input."),
    ] = None,
    wait_minutes: Annotated[int, typer.Option(min=1, max=720, help="How long to wait for the job.")] = 30,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the made-up day and its tables where they are.")] = False,
    json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Run a made-up day on EMR Serverless or Databricks as a worker would, and say what is missing; then remove it."""
    from daily_batch.commands.smoke_job import SmokeOptions, smoke_command

    options = SmokeOptions(wait_minutes=wait_minutes, keep=keep, variables=variables, as_json=json, debug=debug)
    raise typer.Exit(smoke_command(as_flags(input=input, output=output), options))
