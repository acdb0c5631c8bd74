"""`makoto-batch vacuum`: days beyond the retention, files that nobody needs, and old log entries."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from daily_batch.cli.maintenance import Place, open_places, visit
from daily_batch.cli.output import console, guarded, print_json, print_rows
from daily_batch.domain.calendar import oldest_retained_day
from daily_batch.domain.contract import TABLES
from daily_batch.maintenance.vacuum import USUAL_HOURS, Rules, holds_plain, keep_as_told, sweep_beside, sweep_table
from daily_batch.pipeline.runners.base import Progress

if TYPE_CHECKING:
    from daily_batch.cli.maintenance import StartSpark

COLUMNS = {
    "tenant": "tenant",
    "table": "table",
    "days": "days",
    "files": "files",
    "bytes": "bytes",
    "log_files": "log entries",
}


@dataclass(frozen=True, kw_only=True)
class VacuumOptions:
    """Files of old versions stay `retain_hours` (None: 168, or longer where a table says so); days older than
    `keep_days` go (None: by the settings).
    """

    retain_hours: int | None = None
    keep_days: int | None = None
    all_tenants: bool = False
    dry_run: bool = False
    as_json: bool = False
    debug: bool = False


def vacuum_command(flags: Mapping[str, object], options: VacuumOptions, *, spark: "StartSpark | None" = None) -> int:
    """Sweep each tenant's tables and return the exit status."""

    def vacuum() -> int:
        places = open_places(flags, spark=spark, all_tenants=options.all_tenants)
        rows = visit(places, lambda place, progress: _sweep(place, options, progress))
        if options.as_json:
            print_json({"dry_run": options.dry_run, "tables": rows})
            return 0
        print_rows(COLUMNS, rows)
        if options.dry_run:
            console().print("a dry run: nothing was removed")
        return 0

    return guarded(vacuum, debug=options.debug)


def _sweep(place: Place, options: VacuumOptions, progress: Progress) -> list[dict[str, object]]:
    now = datetime.now(UTC)
    keep_days = place.settings.retention_days if options.keep_days is None else options.keep_days
    keep_from = oldest_retained_day(now, retention_days=keep_days, zone=place.settings.timezone)
    usual = Rules(now=now, retain_hours=options.retain_hours or USUAL_HOURS, keep_from=keep_from)
    swept = []
    for number, table in enumerate(TABLES, 1):
        rules = usual if options.retain_hours else keep_as_told(place.tables, table, usual)
        stored = list(place.tables.files(table))
        engine = None if holds_plain(stored) or not stored else place.spark_for(sum(file.bytes for file in stored))
        sweep = engine.sweep_table if engine else lambda *each, **how: sweep_table(place.tables, *each, **how)
        swept.append(sweep(table, rules, dry_run=options.dry_run))
        progress("vacuum", number, len(TABLES), "tables")
    # The receipts last: as long as a day is in a table, its receipt tells of it.
    swept.append(sweep_beside(place.tables, usual, dry_run=options.dry_run))
    return [{"tenant": place.request.tenant, **asdict(each)} for each in swept]
