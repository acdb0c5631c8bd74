"""Vacuum: remove expired days, files that no recent version names, leftovers of crashed runs, and old log entries."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from deltalake import CommitProperties

from daily_batch.domain.calendar import parse_day
from daily_batch.domain.contract import Table
from daily_batch.errors import UsageError
from daily_batch.maintenance.interrupted_writes import find_interrupted
from daily_batch.maintenance.table_files import TableFile, TenantTables, delete_keys, is_live
from daily_batch.pipeline.publish import delta_log
from daily_batch.pipeline.publish.delta import remove_orphans

# A job ends after 18 hours at the latest (dispatch.JOB_GRACE and job_timeout_minutes). Until then no commit names the
# files that it has written.
MIN_RETAIN_HOURS = 24
DEFAULT_RETAIN_HOURS = 168
_HOURS = {"hour": 1, "day": 24, "week": 168}
_INTERVAL = re.compile(r"(?:interval )?(\d+) (hour|day|week)s?")


@dataclass(frozen=True, kw_only=True)
class Retention:
    """How long files of old versions are kept, and, if days expire, the first day that is kept."""

    now: datetime
    retain_hours: int = DEFAULT_RETAIN_HOURS
    keep_from: date | None = None

    def __post_init__(self) -> None:
        """Refuse a retention that could remove the files of an active run."""
        if self.retain_hours < MIN_RETAIN_HOURS:
            raise UsageError(
                f"{self.retain_hours} hours are less than a run may take",
                next_step=f"give at least {MIN_RETAIN_HOURS}; to remove a user's or room's rows at once, use erase",
            )

    @property
    def cutoff(self) -> datetime:
        """The time since which every file is kept."""
        return self.now - timedelta(hours=self.retain_hours)


@dataclass(frozen=True, kw_only=True)
class VacuumResult:
    """What a vacuum removed from one table, or would remove: expired days, files and entries of the Delta log."""

    table: str
    days: int = 0
    files: int = 0
    bytes: int = 0
    log_files: int = 0


def with_table_retention(tables: TenantTables, table: Table, retention: Retention) -> Retention:
    """Return the retention, extended to the table's own `delta.deletedFileRetentionDuration` if that is longer."""
    delta = delta_log.open_table(*tables.location(table))
    duration = delta.metadata().configuration.get("delta.deletedFileRetentionDuration", "") if delta else ""
    match = _INTERVAL.fullmatch(duration.strip().lower())
    hours = int(match[1]) * _HOURS[match[2]] if match else 0
    return replace(retention, retain_hours=max(retention.retain_hours, hours))


def expired_days(tables: TenantTables, table: Table, retention: Retention) -> set[date]:
    """Return the expired days that readers still see."""
    if retention.keep_from is None:
        return set()
    live = tables.live_keys(table)
    visible = (file for file in tables.files(table) if is_live(file, live))
    return {file.day for file in visible if file.day and file.day < retention.keep_from}


def delete_expired_days(tables: TenantTables, table: Table, retention: Retention) -> None:
    """Delete the expired days from a Delta table in one commit; a later vacuum removes their files.

    Raises:
        DeltaError: another commit came first; run the vacuum again.
    """
    delta = delta_log.open_table(*tables.location(table))
    if delta is not None:
        properties = CommitProperties(
            max_commit_retries=0, custom_metadata={"expired_before": str(retention.keep_from)}
        )
        delta.delete(f"{delta_log.PARTITION} < '{retention.keep_from}'", commit_properties=properties)


def vacuum_table(tables: TenantTables, table: Table, retention: Retention, *, dry_run: bool) -> VacuumResult:
    """Remove a table's unneeded files from this process."""
    days = expired_days(tables, table, retention)
    if days and not dry_run:
        delete_expired_days(tables, table, retention)
    files = list(tables.files(table))
    location, options = tables.location(table)
    names = set(
        remove_orphans(
            location=location,
            storage_options=options,
            retention_hours=retention.retain_hours,
            allow_shorter=True,  # `Retention` has its own minimum
            full=not has_plain_parquet(files),
            dry_run=dry_run,
        )
    )
    removed = [file for file in files if file.path in names]
    plain = list(_plain_leftovers(files, retention))
    if not dry_run:
        delete_keys(tables.open(), (file.key for file in plain))
    removed += [file for file in plain if file.path not in names]
    return VacuumResult(
        table=table.name,
        days=len(days),
        files=len(removed),
        bytes=sum(file.bytes for file in removed),
        log_files=clean_log(tables, table, dry_run=dry_run),
    )


def vacuum_beside_tables(tables: TenantTables, retention: Retention, *, dry_run: bool) -> VacuumResult:
    """Remove manifests of crashed jobs, incomplete files and receipts of expired days; call it after the tables."""
    found = [
        item
        for folder in ("_staging", "_receipts")
        for item in tables.list_under(folder)
        if _is_old(folder, item["path"].split("/"), item["last_modified"], retention)
    ]
    interrupted = list(find_interrupted(tables, before=retention.cutoff))
    if not dry_run:
        delete_keys(tables.open(), (item["path"] for item in found))
        for write in interrupted:
            write.path.unlink(missing_ok=True)
    sizes = [*(item["size"] for item in found), *(write.bytes for write in interrupted)]
    return VacuumResult(table="_staging, _receipts", files=len(sizes), bytes=sum(sizes))


def clean_log(tables: TenantTables, table: Table, *, dry_run: bool) -> int:
    """Checkpoint the latest version, and remove log entries older than the table's `delta.logRetentionDuration`.

    The days' tokens are in the checkpoint. Return how many entries were removed, 0 for a dry run.
    """
    delta = delta_log.open_table(*tables.location(table))
    if delta is None or dry_run:
        return 0
    entries = _log_versions(tables, table)
    if delta.version() not in {version for version, name in entries if ".checkpoint" in name}:
        delta.create_checkpoint()
        entries = _log_versions(tables, table)
    delta.cleanup_metadata()
    return len(entries - _log_versions(tables, table))


def has_plain_parquet(files: Iterable[TableFile]) -> bool:
    """Return whether the table's folder holds plain Parquet days, which Delta's full vacuum would remove as orphans."""
    return any(file.kind == "data" and file.table_format == "parquet" for file in files)


def _log_versions(tables: TenantTables, table: Table) -> set[tuple[int, str]]:
    names = (file.path.rpartition("/")[2] for file in tables.log_files(table))
    return {(int(name[:20]), name) for name in names if name[:20].isdigit()}


def _plain_leftovers(files: Iterable[TableFile], retention: Retention) -> Iterator[TableFile]:
    """Yield the plain Parquet files that were never published, and those of expired days."""
    for file in files:
        expired = retention.keep_from is not None and file.day is not None and file.day < retention.keep_from
        staged = file.kind == "staged" and (expired or file.modified < retention.cutoff)
        if staged or (expired and file.kind == "data" and file.table_format == "parquet"):
            yield file


def _is_old(folder: str, parts: list[str], modified: datetime, retention: Retention) -> bool:
    if folder == "_staging":
        return modified < retention.cutoff
    try:
        return retention.keep_from is not None and parse_day(parts[3]) < retention.keep_from
    except (UsageError, IndexError):  # not a receipt
        return False
