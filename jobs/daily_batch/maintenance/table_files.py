"""What lies below a tenant's analytics, file by file, whether a commit names it or not."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

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

# Hadoop keeps checksums beside its files, in names that begin with a dot: they hold nothing of the rows.
_DELTA = re.compile(r"date=([0-9]{4}-[0-9]{2}-[0-9]{2})/[^/.][^/]*")
_PARQUET = re.compile(r"year=([0-9]{4})/month=([0-9]{2})/day=([0-9]{2})/[^/.][^/]*")
_STAGED = re.compile(r"_staging/([0-9]{4}-[0-9]{2}-[0-9]{2})/[^/]+")


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """One file of a table. `key` is relative to the output root, `path` to the table's folder.

    `day` is None for what belongs to no day.
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
    """A tenant's tables under an output root, of either format."""

    tenant: str
    storage: Storage

    @property
    def folder(self) -> str:
        """The folder of tables and receipts, relative to the output root."""
        return analytics_folder(self.tenant)

    def open(self) -> "ObjectStore":
        """The store of the output root."""
        return self.storage.open_output()

    def url(self, table: Table) -> StorageUrl:
        """Where a table lies."""
        return self.storage.output.child(f"{self.folder}/{table.name}")

    def location(self, table: Table) -> tuple[str, Mapping[str, str]]:
        """What delta-rs needs to open a table."""
        return delta_location(self.url(table), self.storage.options)

    def list_below(self, folder: str) -> "Iterator[ObjectMeta]":
        """Every object below a folder of the tenant's, named as below analytics."""
        for batch in self.open().list(f"{self.folder}/{folder}/"):
            yield from batch

    def files(self, table: Table) -> Iterator[StoredFile]:
        """Every file below a table's folder."""
        return self._files(table, "")

    def files_of_day(self, table: Table, day: date) -> list[StoredFile]:
        """Every file of a table's day, in either format, and what waits to be published."""
        folders = (f"/date={day}", f"/year={day:%Y}/month={day:%m}/day={day:%d}", f"/_staging/{day}")
        return [file for folder in folders for file in self._files(table, folder)]

    def log_files(self, table: Table) -> Iterator[StoredFile]:
        """Every file of a table's Delta log."""
        return self._files(table, "/_delta_log")

    def _files(self, table: Table, folder: str) -> Iterator[StoredFile]:
        root = f"{self.folder}/{table.name}/"
        for item in self.list_below(f"{table.name}{folder}"):
            yield _describe(table, item["path"], item["path"][len(root) :], item["size"], item["last_modified"])

    def live_keys(self, table: Table) -> frozenset[str]:
        """The keys of the files that the Delta table's latest version names; none when there is no such table."""
        delta = delta_log.open_table(*self.location(table))
        if delta is None:
            return frozenset()
        return frozenset(f"{self.folder}/{table.name}/{'/'.join(uri.rsplit('/', 2)[1:])}" for uri in delta.file_uris())


def is_live(file: StoredFile, live: Iterable[str]) -> bool:
    """Whether readers see the file: plain Parquet has no log, there every file of a day's folder is seen."""
    return file.kind == "data" and (file.table_format == "parquet" or file.key in live)


def check_complete(
    table: Table, live: Iterable[str], stored: Iterable[StoredFile], *, tenant: str, day: date | None = None
) -> None:
    """Refuse a table of which a file is missing that the log names: its rows would be taken for erased.

    Args:
        live: keys of the files that the log names.
        stored: the table's files, or those of a day.

    Raises:
        Terminal: one is not there.
    """
    part = f"/{table.name}/{delta_log.PARTITION}={day}/" if day else f"/{table.name}/"
    gone = {key for key in live if part in key} - {file.key for file in stored}
    if gone:
        raise TerminalError(
            f"{min(gone)!a} is gone, and {table.name} names it",
            next_step="run its day again, then the same command",
            tenant=tenant,
            day=day.isoformat() if day else "-",
        )


def fetch(store: "ObjectStore", key: str, path: Path) -> Path:
    """A copy of an object on this machine."""
    with path.open("wb") as file:
        for block in store.get(key).stream():
            file.write(block)
    return path


def delete_keys(store: "ObjectStore", keys: Iterable[str]) -> int:
    """Delete objects; what is gone already is no error. Returns how many there were to delete."""
    wanted = sorted(keys)
    try:
        if wanted:
            store.delete(wanted)
    except FileNotFoundError:  # on a disk the first that is gone ends the call
        for key in wanted:
            with suppress(FileNotFoundError):
                store.delete(key)
    return len(wanted)


def _describe(table: Table, key: str, path: str, size: int, modified: datetime) -> StoredFile:
    kind, day, table_format = _classify(path)
    return StoredFile(
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
            except UsageError:  # a folder that only looks like a day's
                break
    return "other", None, "delta"
