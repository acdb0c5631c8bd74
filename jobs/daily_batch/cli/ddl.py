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
    InputOption,
    JsonOption,
    LedgerOption,
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
        "makoto-batch ddl --engine athena --all-tenants --tenant acme,globex --output s3://bucket/prefix",
    ),
)
def ddl(
    engine: Annotated[Engine, typer.Option(help="The engine that reads the tables.")],
    tenant: TenantOption = None,
    all_tenants: Annotated[
        bool,
        typer.Option(
            "--all-tenants", help="Instead, one view over the aggregates of every known tenant, or of --tenant."
        ),
    ] = False,
    without_content: Annotated[
        bool, typer.Option("--without-content", help="Instead, views of the tables without what was said or sent.")
    ] = False,
    input: InputOption = None,  # noqa: A002 - the flag's name
    output: OutputOption = None,
    format: FormatOption = None,  # noqa: A002 - the flag's name
    catalog: Annotated[
        str | None, typer.Option(help=f"Catalog and prefix of the schema names. Default: {DEFAULT_CATALOG}.")
    ] = None,
    ledger: LedgerOption = None,
    conf: ConfOption = None,
    env: EnvOption = None,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Print the statements that define the tables in Athena, Synapse or Databricks SQL; contact no engine."""
    from daily_batch.catalog.ddl import make_script, make_shared_script, make_shared_statements, make_statements
    from daily_batch.cli.tenants import choose_tenants
    from daily_batch.settings import load_settings

    flags = as_flags(tenant=tenant, input=input, output=output, format=format, catalog=catalog, ledger=ledger)
    with exit_on_error(debug=debug, json_output=json):
        if all_tenants and without_content:
            step = "give --all-tenants or --without-content: the aggregates of all tenants hold no content"
            raise UsageError("two kinds of views are asked for", next_step=step)
        settings = load_settings(flags=flags, environ=read_environment(conf, env))
        _check_output(settings)
        targets = _list_targets(choose_tenants(settings, all_tenants=all_tenants and tenant is None))
        if json:
            # Statements of a tenant's own, and those over all of them.
            tenants = [
                {
                    "tenant": target.tenant,
                    "statements": []
                    if all_tenants
                    else make_statements(engine, target, without_content=without_content),
                }
                for target in targets
            ]
            print_json({"tenants": tenants, "shared": make_shared_statements(engine, targets) if all_tenants else []})
        elif all_tenants:
            sys.stdout.write(make_shared_script(engine, targets))
        else:
            scripts = (make_script(engine, target, without_content=without_content) for target in targets)
            sys.stdout.write("\n".join(scripts))


def _check_output(settings: "Settings") -> None:
    if not settings.output:
        raise UsageError("no output is named", next_step="give --output, or set MAKOTO_OUTPUT or S3_BUCKET_NAME")


def _list_targets(settings: "Settings") -> "list[Target]":
    from daily_batch.catalog.target import Target
    from daily_batch.domain.keys import check_tenant
    from daily_batch.domain.url import parse_url

    return [
        Target(
            tenant=check_tenant(tenant),
            output=parse_url(settings.output),
            table_format=settings.table_format,
            catalog=settings.catalog or DEFAULT_CATALOG,
        )
        for tenant in dict.fromkeys(settings.tenants)  # a view that has a tenant twice doubles its rows
    ]
