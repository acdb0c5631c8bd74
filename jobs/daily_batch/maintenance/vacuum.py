"""What nobody needs any more: days beyond the retention, files that no recent version names, what crashed runs left,
and old log entries."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from deltalake import CommitProperties

from daily_batch.domain.calendar import parse_day
from daily_batch.domain.contract import Table
from daily_batch.errors import UsageError
from daily_batch.maintenance.table_files import StoredFile, TenantTables, delete_keys, is_live
from daily_batch.pipeline.publish import delta_log
from daily_batch.pipeline.publish.delta import remove_orphans

# A job is ended after 18 hours at the latest (dispatch.JOB_GRACE and job_timeout_minutes): until then no commit names
# the files of a run that is at work.
FLOOR_HOURS = 24
USUAL_HOURS = 168
_HOURS = {"hour": 1, "day": 24, "week": 168}
_INTERVAL = re.compile(r"(?:interval )?(\d+) (hour|day|week)s?")


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How long files that only old versions name are kept, and, if at all, before which day nothing is."""

    now: datetime
    retain_hours: int = USUAL_HOURS
    keep_from: date | None = None

    def __post_init__(self) -> None:
        """Refuse what could take files from a run that is at work."""
        if self.retain_hours < FLOOR_HOURS:
            raise UsageError(
                f"{self.retain_hours} hours are less than a run may take",
                next_step=f"give at least {FLOOR_HOURS}; to remove a person's rows at once, use erase",
            )

    @property
    def kept_since(self) -> datetime:
        """Files that are younger stay, whatever they are."""
        return self.now - timedelta(hours=self.retain_hours)


@dataclass(frozen=True, kw_only=True)
class Swept:
    """What a vacuum removed of one table, or would; `log_files` are entries of Delta's log, `days` went as a whole."""

    table: str
    days: int = 0
    files: int = 0
    bytes: int = 0
    log_files: int = 0


def keep_as_told(tables: TenantTables, table: Table, rules: Rules) -> Rules:
    """The rules of a table whose own property says that old files are kept for longer."""
    delta = delta_log.open_table(*tables.location(table))
    told = delta.metadata().configuration.get("delta.deletedFileRetentionDuration", "") if delta else ""
    found = _INTERVAL.fullmatch(told.strip().lower())
    hours = int(found[1]) * _HOURS[found[2]] if found else 0
    return replace(rules, retain_hours=max(rules.retain_hours, hours))


def expired_days(tables: TenantTables, table: Table, rules: Rules) -> set[date]:
    """The days beyond the retention that readers still see."""
    if rules.keep_from is None:
        return set()
    live = tables.live_keys(table)
    seen = (file for file in tables.files(table) if is_live(file, live))
    return {file.day for file in seen if file.day and file.day < rules.keep_from}


def expire_delta(tables: TenantTables, table: Table, rules: Rules) -> None:
    """Remove the days beyond the retention from a Delta table, in one commit; their files go when they are old enough.

    Raises:
        DeltaError: somebody else committed at the same moment, so the vacuum must be run again.
    """
    delta = delta_log.open_table(*tables.location(table))
    if delta is not None:
        properties = CommitProperties(max_commit_retries=0, custom_metadata={"expired_before": str(rules.keep_from)})
        delta.delete(f"{delta_log.PARTITION} < '{rules.keep_from}'", commit_properties=properties)


def sweep_table(tables: TenantTables, table: Table, rules: Rules, *, dry_run: bool) -> Swept:
    """Remove a table's unneeded files on this machine; see `Rules`."""
    days = expired_days(tables, table, rules)
    if days and not dry_run:
        expire_delta(tables, table, rules)
    stored = list(tables.files(table))
    location, options = tables.location(table)
    names = set(
        remove_orphans(
            location=location,
            storage_options=options,
            retention_hours=rules.retain_hours,
            allow_shorter=True,  # `Rules` has a floor of its own
            full=not holds_plain(stored),
            dry_run=dry_run,
        )
    )
    gone = [file for file in stored if file.path in names]
    plain = list(_plain_leftovers(stored, rules))
    if not dry_run:
        delete_keys(tables.open(), (file.key for file in plain))
    gone += [file for file in plain if file not in gone]
    return Swept(
        table=table.name,
        days=len(days),
        files=len(gone),
        bytes=sum(file.bytes for file in gone),
        log_files=trim_log(tables, table, dry_run=dry_run),
    )


def sweep_beside(tables: TenantTables, rules: Rules, *, dry_run: bool) -> Swept:
    """Remove manifests that crashed jobs left, and the receipts of days beyond the retention, which go last."""
    found = [
        item
        for folder in ("_staging", "_receipts")
        for item in tables.list_below(folder)
        if _is_old(folder, item["path"].split("/"), item["last_modified"], rules)
    ]
    if not dry_run:
        delete_keys(tables.open(), (item["path"] for item in found))
    return Swept(table="_staging, _receipts", files=len(found), bytes=sum(item["size"] for item in found))


def trim_log(tables: TenantTables, table: Table, *, dry_run: bool) -> int:
    """Make a checkpoint where the last one is behind, and remove the log entries that are older than the table's
    `delta.logRetentionDuration`; the days' tokens stay. Returns how many went; how many will is not told before."""
    delta = delta_log.open_table(*tables.location(table))
    if delta is None or dry_run:
        return 0
    entries = _log_versions(tables, table)
    if delta.version() not in {version for version, name in entries if ".checkpoint" in name}:
        delta.create_checkpoint()
        entries = _log_versions(tables, table)
    delta.cleanup_metadata()
    return len(entries - _log_versions(tables, table))


def holds_plain(stored: Iterable[StoredFile]) -> bool:
    """Whether days in plain Parquet lie in the table's folder, which Delta's full vacuum would take for orphans."""
    return any(file.kind == "data" and file.table_format == "parquet" for file in stored)


def _log_versions(tables: TenantTables, table: Table) -> set[tuple[int, str]]:
    names = (file.path.rpartition("/")[2] for file in tables.log_files(table))
    return {(int(name[:20]), name) for name in names if name[:20].isdigit()}


def _plain_leftovers(stored: Iterable[StoredFile], rules: Rules) -> Iterator[StoredFile]:
    """Of plain Parquet: what was never published, and the days beyond the retention."""
    for file in stored:
        expired = rules.keep_from is not None and file.day is not None and file.day < rules.keep_from
        staged = file.kind == "staged" and (expired or file.modified < rules.kept_since)
        if staged or (expired and file.kind == "data" and file.table_format == "parquet"):
            yield file


def _is_old(folder: str, parts: list[str], modified: datetime, rules: Rules) -> bool:
    if folder == "_staging":
        return modified < rules.kept_since
    try:
        return rules.keep_from is not None and parse_day(parts[3]) < rules.keep_from
    except (UsageError, IndexError):  # no receipt of ours
        return False
