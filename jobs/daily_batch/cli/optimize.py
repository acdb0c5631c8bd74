"""`makoto-batch optimize`: rewrite days that were written in many small files into few sorted ones."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from daily_batch.cli.options import (
    AllTenantsOption,
    ConfOption,
    DebugOption,
    DryRunOption,
    EnvOption,
    JsonOption,
    OutputOption,
    TenantOption,
    as_flags,
    examples,
    read_environment,
)
from daily_batch.cli.output import console, exit_on_error, print_json, print_table
from daily_batch.domain.calendar import business_day
from daily_batch.errors import RetryableError, UsageError

if TYPE_CHECKING:
    from daily_batch.cli.maintenance import TenantTarget
    from daily_batch.pipeline.runners.base import Progress

COLUMNS = {
    "tenant": "tenant",
    "table": "table",
    "date": "date",
    "files": "files",
    "wanted": "files after",
    "bytes": "bytes",
    "done": "done",
}

app = typer.Typer()


@app.command(
    rich_help_panel="Maintain",
    epilog=examples(
        "makoto-batch optimize --tenant acme --output out --dry-run",
    ),
)
def optimize(
    context: typer.Context,
    tenant: TenantOption = None,
    output: OutputOption = None,
    all_tenants: AllTenantsOption = False,
    spare_days: Annotated[
        int, typer.Option(min=1, help="Skip today and this many days before it: a run may be at work on them.")
    ] = 3,
    dry_run: DryRunOption = False,
    conf: ConfOption = None,
    env: EnvOption = None,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Rewrite days that are in many small files into few sorted ones; the rows stay the same. Delta only."""
    from daily_batch.cli.maintenance import for_each_target, open_targets

    with exit_on_error(debug=debug, json_output=json):
        flags, environ = as_flags(tenant=tenant, output=output), read_environment(conf, env)
        targets = open_targets(flags, environ, start_spark=context.obj, all_tenants=all_tenants)
        rows = for_each_target(
            targets,
            lambda target, progress: _optimize(target, progress, spare_days=spare_days, dry_run=dry_run),
        )
        if json:
            print_json({"dry_run": dry_run, "days": rows})
        elif rows:
            print_table(COLUMNS, rows)
        else:
            console().print("nothing to do: no day has twice as many files as it needs")
        raise typer.Exit(1 if any(row["done"] == "changed meanwhile" for row in rows) else 0)


def _optimize(
    target: "TenantTarget", progress: "Progress", *, spare_days: int, dry_run: bool
) -> list[dict[str, object]]:
    from daily_batch.maintenance.compaction import compact_day, find_candidates
    from daily_batch.maintenance.rewrite_files import make_spec_factory

    settings, tenant = target.settings, target.request.tenant
    if target.request.table_format != "delta":
        raise UsageError("plain Parquet has no log to commit a compaction to", next_step="use Delta tables")
    before = business_day(datetime.now(UTC), offset=-spare_days, zone=settings.timezone)
    candidates = find_candidates(target.tables, before=before, target_bytes=settings.target_file_bytes)
    make_plan = make_spec_factory(settings, tenant=tenant, table_format="delta")
    rows = []
    for number, candidate in enumerate(candidates, 1):
        done = "no, a dry run"
        if not dry_run:
            try:
                engine = target.spark_for(candidate.bytes)
                if engine:
                    engine.compact_day(candidate)
                else:
                    compact_day(candidate, target.tables, make_plan)
                done = "on Spark" if engine else "here"
            except RetryableError:  # a run of the day, or other maintenance, committed first: the next time will do
                done = "changed meanwhile"
        progress("optimize", number, len(candidates), "days")
        rows.append(
            {
                "tenant": tenant,
                "table": candidate.table.name,
                "date": candidate.day.isoformat(),
                "files": len(candidate.files),
                "wanted": candidate.target_files,
                "bytes": candidate.bytes,
                "done": done,
            }
        )
    return rows
