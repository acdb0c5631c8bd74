"""`makoto-batch ddl`: the statements that make the tables known to a reader's engine; no engine is contacted."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from daily_batch.catalog import Engine
from daily_batch.cli.options import (
    ConfOption,
    DebugOption,
    EnvOption,
    FormatOption,
    JsonOption,
    OutputOption,
    TenantOption,
    as_flags,
    examples,
    read_environment,
)
from daily_batch.cli.output import exit_on_error, print_json
from daily_batch.errors import UsageError

if TYPE_CHECKING:
    from daily_batch.catalog.target import Target
    from daily_batch.settings import Settings

DEFAULT_CATALOG = "main.chat"

app = typer.Typer()


@app.command(
    rich_help_panel="Read",
    epilog=examples(
        "makoto-batch ddl --engine athena --format parquet --tenant acme --output s3://bucket/prefix",
    ),
)
def ddl(
    engine: Annotated[Engine, typer.Option(help="The engine that reads the tables.")],
    tenant: TenantOption = None,
    output: OutputOption = None,
    format: FormatOption = None,  # noqa: A002 - the flag's name
    catalog: Annotated[
        str | None, typer.Option(help=f"Catalog and prefix of the schema names. Default: {DEFAULT_CATALOG}.")
    ] = None,
    conf: ConfOption = None,
    env: EnvOption = None,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Print the statements that define the tables in Athena, Synapse or Databricks SQL; contact no engine."""
    from daily_batch.catalog.ddl import make_script, make_statements
    from daily_batch.cli.tenants import choose_tenants
    from daily_batch.settings import load_settings

    flags = as_flags(tenant=tenant, output=output, format=format, catalog=catalog)
    with exit_on_error(debug=debug, json_output=json):
        targets = _list_targets(choose_tenants(load_settings(flags=flags, environ=read_environment(conf, env))))
        if json:
            statements = [
                {"tenant": target.tenant, "statements": make_statements(engine, target)} for target in targets
            ]
            print_json({"tenants": statements})
        else:
            sys.stdout.write("\n".join(make_script(engine, target) for target in targets))


def _list_targets(settings: "Settings") -> "list[Target]":
    from daily_batch.catalog.target import Target
    from daily_batch.domain.keys import check_tenant
    from daily_batch.domain.url import parse_url

    if not settings.output:
        raise UsageError("no output is named", next_step="give --output, or set MAKOTO_OUTPUT or S3_BUCKET_NAME")
    return [
        Target(
            tenant=check_tenant(tenant),
            output=parse_url(settings.output),
            table_format=settings.table_format,
            catalog=settings.catalog or DEFAULT_CATALOG,
        )
        for tenant in settings.tenants
    ]
