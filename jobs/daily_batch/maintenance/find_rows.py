"""Where a person's rows are: every data file of a tenant is read, whether a commit names it or not."""

from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import duckdb

from daily_batch.domain.contract import TABLES, Table
from daily_batch.domain.run import RunSpec, TableFormat
from daily_batch.errors import LeaseHeldError, RetryableError, TerminalError
from daily_batch.maintenance.rewrite_files import Hits, plan_upkeep, search_file
from daily_batch.maintenance.subject import Person
from daily_batch.maintenance.table_files import StoredFile, TenantTables, check_complete, fetch, is_live
from daily_batch.maintenance.vacuum import FLOOR_HOURS
from daily_batch.pipeline.runners.base import Progress
from daily_batch.settings import Settings
from daily_batch.storage.scratch import temporary_folder

if TYPE_CHECKING:  # obstore has this name for type checkers only
    from obstore.store import ObjectStore

THREADS = 4
Place = tuple[date, TableFormat]


@dataclass
class Found:
    """What one tenant-day in one format holds of a person: rows that readers see, by table, and files that only older
    versions name, or none."""

    seen: dict[str, Hits] = field(default_factory=dict)
    old_files: int = 0


def search_tables(
    person: Person, *, tables: TenantTables, settings: Settings, progress: Progress
) -> tuple[dict[Place, Found], int]:
    """The days that hold rows of a person, and how many messages of others name the id in days as readers see them."""
    work = [(file, seen) for table in TABLES for file, seen in _data_files(tables, table)]
    days: dict[Place, Found] = defaultdict(Found)
    mentions = 0
    store = tables.open()

    def look(file: StoredFile, seen: bool) -> Hits:
        plan = plan_upkeep(settings, tenant=tables.tenant, table_format=file.table_format)(_day(file), "search", 0)
        return _search(file, seen, person, store=store, plan=plan)

    with ThreadPoolExecutor(THREADS) as pool:
        found = pool.map(look, *zip(*work, strict=True)) if work else ()
        for done, ((file, seen), hits) in enumerate(zip(work, found, strict=True), 1):
            place = (_day(file), file.table_format)
            mentions += hits.mentions if seen else 0
            if hits and seen:
                known = days[place].seen
                known[file.table.name] = known.get(file.table.name, Hits()) + hits
            elif hits:
                days[place].old_files += 1
            progress("search", done, len(work), "files")
    return dict(sorted(days.items())), mentions


def check_manifests(person: Person, *, tables: TenantTables, now: datetime) -> None:
    """Look into the manifests that jobs have laid down.

    Raises:
        LeaseHeld: a job that may be at work has objects of the person in hand.
    """
    store, since = tables.open(), now - timedelta(hours=FLOOR_HOURS)
    for item in tables.list_below("_staging"):
        text = bytes(store.get(item["path"]).bytes()).decode("utf-8", "replace")
        if item["last_modified"] >= since and person.names(text):
            raise LeaseHeldError(
                f"a job has objects of this {person.kind} in hand",
                next_step=f"wait for it; what a dead job left is removed after {FLOOR_HOURS} hours",
                tenant=person.tenant,
            )


def _data_files(tables: TenantTables, table: Table) -> Iterator[tuple[StoredFile, bool]]:
    live = tables.live_keys(table)
    stored = list(tables.files(table))
    check_complete(table, live, stored, tenant=tables.tenant)
    for file in stored:
        if file.kind in ("data", "staged") and file.day is not None:
            yield file, is_live(file, live)


def _search(file: StoredFile, seen: bool, person: Person, *, store: "ObjectStore", plan: RunSpec) -> Hits:
    with temporary_folder() as folder:
        try:
            path = fetch(store, file.key, folder / "0.parquet")
        except FileNotFoundError as error:
            raise RetryableError(
                "a vacuum or a run of the day removed a file while it was searched",
                next_step="erase again",
                tenant=person.tenant,
            ) from error
        try:
            return search_file(path, file.table, person, plan=plan)
        except duckdb.InvalidInputException as error:
            if not seen:  # a run died while it wrote: nobody can say whose rows these were to be
                return Hits(rows=1, doubtful=1)
            raise TerminalError(
                f"{file.key!a} is no whole Parquet file",
                next_step="run its day again, then erase",
                tenant=person.tenant,
            ) from error


def _day(file: StoredFile) -> date:
    assert file.day is not None  # noqa: S101  (those without are left out above)
    return file.day
