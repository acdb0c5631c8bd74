"""`makoto-batch optimize`: fewer and sorted files for days that were written in many."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from daily_batch.cli.maintenance import Place, open_places, visit
from daily_batch.cli.output import console, guarded, print_json, print_rows
from daily_batch.domain.calendar import business_day
from daily_batch.errors import RetryableError, UsageError
from daily_batch.maintenance.compaction import compact_day, find_candidates
from daily_batch.maintenance.rewrite_files import make_spec_factory
from daily_batch.pipeline.runners.base import Progress

if TYPE_CHECKING:
    from daily_batch.cli.maintenance import StartSpark

COLUMNS = {
    "tenant": "tenant",
    "table": "table",
    "date": "date",
    "files": "files",
    "wanted": "files after",
    "bytes": "bytes",
    "done": "done",
}
USUAL_DAYS = 3


@dataclass(frozen=True, kw_only=True)
class OptimizeOptions:
    """`spare_days` are left alone: today's, and so many before it, which a run may still be at work on."""

    spare_days: int = USUAL_DAYS
    all_tenants: bool = False
    dry_run: bool = False
    as_json: bool = False
    debug: bool = False


def optimize_command(
    flags: Mapping[str, object], options: OptimizeOptions, *, spark: "StartSpark | None" = None
) -> int:
    """Compact each tenant's days and return the exit status."""

    def optimize() -> int:
        places = open_places(flags, spark=spark, all_tenants=options.all_tenants)
        rows = visit(places, lambda place, progress: _optimize(place, options, progress))
        if options.as_json:
            print_json(rows)
        elif rows:
            print_rows(COLUMNS, rows)
        else:
            console().print("nothing to do: no day has twice as many files as it needs")
        return 1 if any(row["done"] == "changed meanwhile" for row in rows) else 0

    return guarded(optimize, debug=options.debug)


def _optimize(place: Place, options: OptimizeOptions, progress: Progress) -> list[dict[str, object]]:
    settings, tenant = place.settings, place.request.tenant
    if place.request.table_format != "delta":
        raise UsageError(
            "plain Parquet has no log that a compaction could be committed to", next_step="use Delta tables"
        )
    before = business_day(datetime.now(UTC), offset=-options.spare_days, zone=settings.timezone)
    candidate = find_candidates(place.tables, before=before, target_bytes=settings.target_file_bytes)
    make_spec = make_spec_factory(settings, tenant=tenant, table_format="delta")
    rows = []
    for number, each in enumerate(candidate, 1):
        done = "no, a dry run"
        if not options.dry_run:
            try:
                engine = place.spark_for(each.bytes)
                if engine:
                    engine.compact_day(each)
                else:
                    compact_day(each, place.tables, make_spec)
                done = "on Spark" if engine else "here"
            except RetryableError:  # a run or another maintenance command committed first
                done = "changed meanwhile"
        progress("optimize", number, len(candidate), "days")
        rows.append(
            {
                "tenant": tenant,
                "table": each.table.name,
                "date": each.day.isoformat(),
                "files": len(each.files),
                "wanted": each.target_files,
                "bytes": each.bytes,
                "done": done,
            }
        )
    return rows
