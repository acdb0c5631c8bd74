"""Find the rows of a subject in every data file of a tenant, whether a commit names the file or not."""

from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from daily_batch.domain.contract import TABLES, Table
from daily_batch.domain.run import TableFormat
from daily_batch.errors import LeaseHeldError, RetryableError, TerminalError
from daily_batch.maintenance.rewrite_files import Hits, make_spec_factory, search_file
from daily_batch.maintenance.subject import Subject
from daily_batch.maintenance.table_files import TableFile, TenantTables, check_complete, download, is_live
from daily_batch.maintenance.vacuum import MIN_RETAIN_HOURS
from daily_batch.pipeline.runners.base import Progress
from daily_batch.pipeline.transform.duckdb_session import cursor, shared_database
from daily_batch.settings import Settings
from daily_batch.storage.scratch import folder_within, temporary_folder

if TYPE_CHECKING:  # obstore has this name for type checkers only
    from obstore.store import ObjectStore

THREADS = 4
DayKey = tuple[date, TableFormat]


@dataclass
class DayHits:
    """A subject's rows in one tenant-day of one format.

    `visible` counts rows that readers see, by table; `old_files` counts files with rows that no current version names.
    """

    visible: dict[str, Hits] = field(default_factory=dict)
    old_files: int = 0


def search_tables(
    subject: Subject, *, tables: TenantTables, settings: Settings, progress: Progress
) -> tuple[dict[DayKey, DayHits], int | None]:
    """Return the days with rows of the subject, and how many visible messages of other users name an id.

    There is no such number if there are too many ids to search for.
    """
    files = [(file, visible) for table in TABLES for file, visible in _data_files(tables, table)]
    days: dict[DayKey, DayHits] = defaultdict(DayHits)
    mentions = 0
    store = tables.open()
    if not files:
        return {}, None if subject.mention_condition is None else 0
    spec = make_spec_factory(settings, tenant=tables.tenant, table_format="delta")(_day(files[0][0]), "search", 0)
    # One database for all files: to open one takes longer than to search a small file.
    with (
        temporary_folder() as scratch,
        shared_database(scratch=scratch, spec=spec, tasks=THREADS) as database,
        ThreadPoolExecutor(THREADS) as pool,
    ):

        def search(file: TableFile, visible: bool) -> Hits:
            with closing(cursor(database)) as connection, folder_within(scratch) as folder:
                return _search(connection, file, visible, subject, store=store, folder=folder)

        results = pool.map(search, *zip(*files, strict=True))
        for done, ((file, visible), hits) in enumerate(zip(files, results, strict=True), 1):
            day = (_day(file), file.table_format)
            mentions += hits.mentions if visible else 0
            if hits and visible:
                by_table = days[day].visible
                by_table[file.table.name] = by_table.get(file.table.name, Hits()) + hits
            elif hits:
                days[day].old_files += 1
            progress("search", done, len(files), "files")
    return dict(sorted(days.items())), None if subject.mention_condition is None else mentions


def check_manifests(subject: Subject, *, tables: TenantTables, now: datetime) -> None:
    """Check the manifests that jobs have staged.

    Raises:
        LeaseHeldError: a job that may still run reads objects of the subject.
    """
    store, since = tables.open(), now - timedelta(hours=MIN_RETAIN_HOURS)
    for item in tables.list_under("_staging"):
        text = bytes(store.get(item["path"]).bytes()).decode("utf-8", "replace")
        if item["last_modified"] >= since and subject.is_named_in(text):
            raise LeaseHeldError(
                f"a job is reading objects of this {subject.kind}",
                next_step=f"wait until it ends; a crashed job's manifest is ignored after {MIN_RETAIN_HOURS} hours",
                tenant=subject.tenant,
            )


def _data_files(tables: TenantTables, table: Table) -> Iterator[tuple[TableFile, bool]]:
    live = tables.live_keys(table)
    files = list(tables.files(table))
    check_complete(table, live, files, tenant=tables.tenant)
    for file in files:
        if file.kind in ("data", "staged") and file.day is not None:
            yield file, is_live(file, live)


def _search(
    connection: duckdb.DuckDBPyConnection,
    file: TableFile,
    visible: bool,
    subject: Subject,
    *,
    store: "ObjectStore",
    folder: Path,
) -> Hits:
    try:
        path = download(store, file.key, folder / "0.parquet")
    except FileNotFoundError as error:
        raise RetryableError(
            "a vacuum or a run of the day removed a file during the search",
            next_step="run the same command again",
            tenant=subject.tenant,
        ) from error
    try:
        return search_file(connection, path, file.table, subject)
    except duckdb.InvalidInputException as error:
        if not visible:  # a run crashed while it wrote, so the owner of these rows is unknown
            return Hits(rows=1, doubtful=1)
        raise TerminalError(
            f"{file.key!a} is not a complete Parquet file",
            next_step="run its day again, then the same command",
            tenant=subject.tenant,
        ) from error


def _day(file: TableFile) -> date:
    assert file.day is not None  # noqa: S101  (_data_files skips files without a day)
    return file.day
