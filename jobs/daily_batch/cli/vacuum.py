"""`makoto-batch vacuum`: remove days beyond the retention, files that no current version needs, and old log entries."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from daily_batch.cli.options import (
    AllTenantsOption,
    ConfirmOption,
    ConfOption,
    DebugOption,
    EnvOption,
    JsonOption,
    OutputOption,
    TenantOption,
    as_flags,
    examples,
    read_environment,
)
from daily_batch.cli.output import DRY_RUN, console, exit_on_error, print_json, print_table
from daily_batch.domain.calendar import oldest_retained_day

if TYPE_CHECKING:
    from daily_batch.cli.maintenance import TenantTarget
    from daily_batch.pipeline.runners.base import Progress

COLUMNS = {
    "tenant": "tenant",
    "table": "table",
    "days": "days",
    "files": "files",
    "bytes": "bytes",
    "log_files": "log entries",
}

app = typer.Typer()


@app.command(
    rich_help_panel="Maintain",
    epilog=examples(
        "makoto-batch vacuum --tenant acme --output out --keep-days 730",
        "makoto-batch vacuum --tenant acme --output out --keep-days 730 --confirm",
    ),
)
def vacuum(
    context: typer.Context,
    tenant: TenantOption = None,
    output: OutputOption = None,
    all_tenants: AllTenantsOption = False,
    retain_hours: Annotated[
        int | None,
        typer.Option(
            min=24,
            help="Keep files that only old versions name, or none, for this long."
            " Default: 168, or longer where a table says so.",
        ),
    ] = None,
    keep_days: Annotated[
        int | None,
        typer.Option(min=0, help="Remove days older than this, and their receipts; 0: none. Default: retention_days."),
    ] = None,
    confirm: ConfirmOption = False,
    conf: ConfOption = None,
    env: EnvOption = None,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Remove files of old versions and crashed runs, days beyond the retention, and old log entries."""
    from daily_batch.cli.maintenance import for_each_target, open_targets

    with exit_on_error(debug=debug, json_output=json):
        flags, environ = as_flags(tenant=tenant, output=output), read_environment(conf, env)
        targets = open_targets(flags, environ, start_spark=context.obj, all_tenants=all_tenants)
        rows = for_each_target(
            targets,
            lambda target, progress: _vacuum(
                target, progress, retain_hours=retain_hours, keep_days=keep_days, dry_run=not confirm
            ),
        )
        if json:
            print_json({"dry_run": not confirm, "tables": rows})
            return
        print_table(COLUMNS, rows)
        if not confirm:
            console().print(DRY_RUN)


def _vacuum(
    target: "TenantTarget", progress: "Progress", *, retain_hours: int | None, keep_days: int | None, dry_run: bool
) -> list[dict[str, object]]:
    from daily_batch.domain.contract import TABLES
    from daily_batch.maintenance.vacuum import (
        DEFAULT_RETAIN_HOURS,
        Retention,
        has_plain_parquet,
        vacuum_beside_tables,
        vacuum_table,
        with_table_retention,
    )

    now = datetime.now(UTC)
    keep_days = target.settings.retention_days if keep_days is None else keep_days
    keep_from = oldest_retained_day(now, retention_days=keep_days, zone=target.settings.timezone)
    default_retention = Retention(now=now, retain_hours=retain_hours or DEFAULT_RETAIN_HOURS, keep_from=keep_from)
    swept = []
    for number, table in enumerate(TABLES, 1):
        retention = default_retention if retain_hours else with_table_retention(target.tables, table, default_retention)
        files = list(target.tables.files(table))
        engine = None if has_plain_parquet(files) or not files else target.spark_for(sum(file.bytes for file in files))
        if engine:
            swept.append(engine.vacuum_table(table, retention, dry_run=dry_run))
        else:
            swept.append(vacuum_table(target.tables, table, retention, dry_run=dry_run))
        progress("vacuum", number, len(TABLES), "tables")
    # Receipts go last: a day's receipt stays as long as a table holds the day.
    swept.append(vacuum_beside_tables(target.tables, default_retention, dry_run=dry_run))
    return [{"tenant": target.request.tenant, **asdict(each)} for each in swept]
