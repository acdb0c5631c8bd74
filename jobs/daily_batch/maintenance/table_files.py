"""List the files of a tenant's tables, whether a commit names them or not."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from deltalake import DeltaTable

from daily_batch.domain.calendar import parse_day
from daily_batch.domain.contract import Table
from daily_batch.domain.keys import analytics_folder
from daily_batch.domain.run import TableFormat
from daily_batch.domain.url import StorageUrl
from daily_batch.errors import TerminalError, UsageError
from daily_batch.pipeline.publish import delta_log
from daily_batch.storage.stores import Storage, delta_location

if TYPE_CHECKING:  # obstore has these names for type checkers only
    from obstore import ObjectMeta
    from obstore.store import ObjectStore

Kind = Literal["data", "staged", "log", "other"]

# Names that begin with a dot are checksums that Hadoop writes beside its files; they hold no rows.
_DELTA = re.compile(r"date=([0-9]{4}-[0-9]{2}-[0-9]{2})/[^/.][^/]*")
_PARQUET = re.compile(r"year=([0-9]{4})/month=([0-9]{2})/day=([0-9]{2})/[^/.][^/]*")
_STAGED = re.compile(r"_staging/([0-9]{4}-[0-9]{2}-[0-9]{2})/[^/]+")


@dataclass(frozen=True, kw_only=True)
class TableFile:
    """One file of a table. `key` is relative to the output root, `path` to the table's folder.

    `day` is None for a file that belongs to no day.
    """

    table: Table
    key: str
    path: str
    bytes: int
    modified: datetime
    kind: Kind
    day: date | None
    table_format: TableFormat


@dataclass(frozen=True, kw_only=True)
class TenantTables:
    """A tenant's tables below an output root, in either format."""

    tenant: str
    storage: Storage
    _opened: dict[str, tuple[DeltaTable, Mapping[str, str]]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def folder(self) -> str:
        """The folder of tables and receipts, relative to the output root."""
        return analytics_folder(self.tenant)

    def open(self) -> "ObjectStore":
        """Open the store of the output root."""
        return self.storage.open_output()

    def url(self, table: Table) -> StorageUrl:
        """Return the URL of a table."""
        return self.storage.output.child(f"{self.folder}/{table.name}")

    def location(self, table: Table) -> tuple[str, Mapping[str, str]]:
        """Return the location and storage options with which delta-rs opens a table."""
        return delta_location(self.url(table), self.storage.options)

    def list_under(self, folder: str) -> "Iterator[ObjectMeta]":
        """Yield every object below a folder, which is relative to the tenant's analytics folder."""
        for batch in self.open().list(f"{self.folder}/{folder}/"):
            yield from batch

    def files(self, table: Table) -> Iterator[TableFile]:
        """Yield every file below a table's folder."""
        return self._files(table, "")

    def files_of_day(self, table: Table, day: date) -> list[TableFile]:
        """Return every file of a table's day in either format, staged files included."""
        folders = (f"/date={day}", f"/year={day:%Y}/month={day:%m}/day={day:%d}", f"/_staging/{day}")
        return [file for folder in folders for file in self._files(table, folder)]

    def log_files(self, table: Table) -> Iterator[TableFile]:
        """Yield every file of a table's Delta log."""
        return self._files(table, "/_delta_log")

    def _files(self, table: Table, folder: str) -> Iterator[TableFile]:
        root = f"{self.folder}/{table.name}/"
        for item in self.list_under(f"{table.name}{folder}"):
            yield _describe(table, item["path"], item["path"][len(root) :], item["size"], item["last_modified"])

    def follow(self, table: Table) -> DeltaTable | None:
        """Return the Delta table at its latest version, or None if there is none.

        A table is opened once, and again with renewed credentials. After that only new commits are read: opening takes
        13 to 31 requests, a compaction asks twice a day and an erasure ten times.
        """
        location, storage_options = self.location(table)
        options = dict(storage_options)
        at_hand, opened_with = self._opened.get(table.name, (None, {}))
        delta = delta_log.follow_table(at_hand, opened_with, location, options)
        if delta is not None:
            self._opened[table.name] = delta, options
        return delta

    def live_keys(self, table: Table) -> frozenset[str]:
        """Return the keys of the files in the Delta table's latest version; none without a Delta table."""
        delta = self.follow(table)
        if delta is None:
            return frozenset()
        return frozenset(f"{self.folder}/{table.name}/{'/'.join(uri.rsplit('/', 2)[1:])}" for uri in delta.file_uris())


def is_live(file: TableFile, live: Iterable[str]) -> bool:
    """Return whether readers see the file. Plain Parquet has no log, so readers see every file of a day's folder."""
    return file.kind == "data" and (file.table_format == "parquet" or file.key in live)


def check_complete(
    table: Table, live: Iterable[str], files: Iterable[TableFile], *, tenant: str, day: date | None = None
) -> None:
    """Check that every file of the log exists; the rows of a missing file would count as erased.

    Args:
        live: keys of the files that the log names.
        files: the table's files, or those of a day.

    Raises:
        TerminalError: a file is missing.
    """
    part = f"/{table.name}/{delta_log.PARTITION}={day}/" if day else f"/{table.name}/"
    missing = {key for key in live if part in key} - {file.key for file in files}
    if missing:
        raise TerminalError(
            f"{min(missing)!a} is missing, and the log of {table.name} names it",
            next_step="run its day again, then the same command",
            tenant=tenant,
            day=day.isoformat() if day else "-",
        )


def download(store: "ObjectStore", key: str, path: Path) -> Path:
    """Download an object to a local path, and return the path."""
    with path.open("wb") as file:
        for block in store.get(key).stream():
            file.write(block)
    return path


def delete_keys(store: "ObjectStore", keys: Iterable[str]) -> int:
    """Delete objects, missing ones included, and return the number of keys."""
    ordered = sorted(keys)
    try:
        if ordered:
            store.delete(ordered)
    except FileNotFoundError:  # on a local disk, the first missing file ends the call
        for key in ordered:
            with suppress(FileNotFoundError):
                store.delete(key)
    return len(ordered)


def _describe(table: Table, key: str, path: str, size: int, modified: datetime) -> TableFile:
    kind, day, table_format = _classify(path)
    return TableFile(
        table=table,
        key=key,
        path=path,
        bytes=size,
        modified=modified,
        kind=kind,
        day=day,
        table_format=table_format,
    )


def _classify(path: str) -> tuple[Kind, date | None, TableFormat]:
    if path.startswith("_delta_log/"):
        return "log", None, "delta"
    patterns: tuple[tuple[re.Pattern[str], Kind, TableFormat], ...] = (
        (_DELTA, "data", "delta"),
        (_PARQUET, "data", "parquet"),
        (_STAGED, "staged", "parquet"),
    )
    for pattern, kind, table_format in patterns:
        if match := pattern.fullmatch(path):
            try:
                return kind, parse_day("-".join(match.groups())), table_format
            except UsageError:  # a folder whose name only resembles a day
                break
    return "other", None, "delta"
