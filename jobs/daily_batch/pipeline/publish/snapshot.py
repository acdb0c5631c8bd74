"""Read a published day from its tables: how many rows readers see, in which format, and the files themselves.

The tables and receipts alone are read, not the ledger, which may have been lost.
"""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
from deltalake import DeltaTable
from obstore.store import ObjectStore

from daily_batch.domain.contract import MESSAGES, REJECTS, TABLES, Table
from daily_batch.domain.keys import analytics_folder
from daily_batch.domain.receipt import Receipt
from daily_batch.domain.request import Request
from daily_batch.domain.run import TableFormat
from daily_batch.errors import UsageError
from daily_batch.pipeline.publish import delta_log
from daily_batch.pipeline.publish.delta_log import OpenDay
from daily_batch.pipeline.publish.parquet import day_folder
from daily_batch.pipeline.publish.receipts import find_latest_receipt
from daily_batch.pipeline.publish.result import PublishedDay
from daily_batch.pipeline.transform.duckdb_session import quote_text
from daily_batch.storage.failures import explained_failures
from daily_batch.storage.scratch import folder_within
from daily_batch.storage.stores import Storage, delta_location

# The last bytes of a Parquet file: the length of its footer, and the magic number.
_TAIL_BYTES = 8
_CONCURRENCY = 16


def read_published_day(
    request: Request, storage: Storage, *, opened: Mapping[str, OpenDay], scratch: Path
) -> PublishedDay:
    """Return the day as readers see it now.

    Args:
        opened: The Delta tables as the run found them. A day that has changed since cannot be published anyway.
        scratch: For temporary files.

    Raises:
        BatchError: The store failed or denied access.
    """
    store = storage.open_output()
    receipt = find_latest_receipt(store, tenant=request.tenant, day=request.day)

    def count(table: Table) -> int:
        if request.table_format == "delta":
            return _count_delta(opened[table.name].delta, request)
        return _count_parquet(table, request, store, receipt, scratch)

    return PublishedDay(messages=count(MESSAGES), rejects=count(REJECTS), receipt=receipt)


def check_format(request: Request, storage: Storage) -> None:
    """Raise if the tables are of the other format: no reader could read a mixture.

    Raises:
        UsageError: The tables are of the other format.
        BatchError: The store failed or denied access.
    """
    store = storage.open_output()
    root = analytics_folder(request.tenant)
    with explained_failures(request.tenant, request.day.isoformat()), ThreadPoolExecutor(len(TABLES)) as pool:
        existing = list(pool.map(lambda table: _find_formats(store, f"{root}/{table.name}"), TABLES))
    other: TableFormat = "parquet" if request.table_format == "delta" else "delta"
    if any(other in formats for formats in existing):
        raise UsageError(
            f"the tables in {request.output}/{root} are {other.capitalize()}, and {request.table_format} was requested",
            next_step=f"use --format {other}; to change the format, publish to another --output by a backfill"
            " (docs/upgrading.md#another-format)",
            tenant=request.tenant,
            day=request.day.isoformat(),
        )


def _find_formats(store: ObjectStore, folder: str) -> set[TableFormat]:
    """Return the formats of the objects in a table's folder."""
    prefixes = {prefix.rstrip("/") for prefix in store.list_with_delimiter(f"{folder}/")["common_prefixes"]}
    formats: dict[str, TableFormat] = {
        prefix: "delta" if prefix.endswith("/_delta_log") else "parquet"
        for prefix in prefixes
        if prefix.startswith((f"{folder}/_delta_log", f"{folder}/year="))
    }
    # A local folder may be empty.
    return {each for prefix, each in formats.items() if next(iter(store.list(f"{prefix}/", chunk_size=1)), None)}


def _count_delta(delta: DeltaTable | None, request: Request) -> int:
    """Count rows by the statistics of the files in the log; a file without statistics counts as one row."""
    if delta is None:
        return 0
    actions = delta.get_add_actions(flatten=True)
    days = actions[f"partition.{delta_log.PARTITION}"].to_pylist()
    rows = actions["num_records"].to_pylist()
    return sum(1 if count is None else count for day, count in zip(days, rows, strict=True) if day == request.day)


def _count_parquet(table: Table, request: Request, store: ObjectStore, receipt: Receipt | None, scratch: Path) -> int:
    """Count rows by the latest receipt, minus the rows erased since; without a receipt, by the files' footers.

    A run that was killed while it published left the files of two runs in the folder; only the receipt
    distinguishes them.
    """
    folder = f"{analytics_folder(request.tenant)}/{table.name}/{day_folder(request.day)}/"
    files = [(item["path"], item["size"]) for batch in store.list(folder) for item in batch]
    if not files:
        return 0
    if receipt is not None and table.name in receipt.tables:
        return receipt.tables[table.name].rows - sum(each.rows.get(table.name, 0) for each in receipt.erased)
    with folder_within(scratch) as folder_of_footers:
        with ThreadPoolExecutor(_CONCURRENCY) as pool:
            for number, footer in enumerate(pool.map(lambda file: _read_footer(store, *file), files)):
                _write_sparse_file(folder_of_footers / f"{number}.parquet", footer)
        return _sum_rows(sorted(folder_of_footers.iterdir()))


def _read_footer(store: ObjectStore, key: str, size: int) -> tuple[int, bytes]:
    tail = bytes(store.get_range(key, start=max(0, size - _TAIL_BYTES), end=size))
    length = int.from_bytes(tail[:4], "little") + _TAIL_BYTES
    return size, bytes(store.get_range(key, start=max(0, size - length), end=size))


def _write_sparse_file(path: Path, footer: tuple[int, bytes]) -> None:
    """Write a file of the original size with the footer only, from which DuckDB reads the number of rows."""
    size, content = footer
    with path.open("wb") as file:
        file.write(b"PAR1")
        file.seek(size - len(content))
        file.write(content)


def _sum_rows(paths: Iterable[Path]) -> int:
    names = ", ".join(quote_text(str(path)) for path in paths)
    with duckdb.connect() as connection:
        row = connection.execute(f"SELECT sum(num_rows) FROM parquet_file_metadata([{names}])").fetchone()
    return int(row[0]) if row and row[0] is not None else 0


def download_day(table: Table, *, request: Request, storage: Storage, folder: Path) -> list[Path]:
    """Download the table's files of the day to `folder`; return their paths, or none if the day is not published."""
    store = storage.open_output()
    root = f"{analytics_folder(request.tenant)}/{table.name}"
    if request.table_format == "delta":
        location, options = delta_location(request.output.child(root), storage.options)
        live = delta_log.snapshot_day(delta_log.open_table(location, options), request.day).files
        keys = ["/".join((root, *uri.rsplit("/", 2)[1:])) for uri in sorted(live)]
    else:
        keys = _list_files(store, f"{root}/{day_folder(request.day)}")
    return [_download(store, key, folder / f"{number}.parquet") for number, key in enumerate(keys)]


def _list_files(store: ObjectStore, prefix: str) -> list[str]:
    return sorted(item["path"] for batch in store.list(f"{prefix}/") for item in batch)


def _download(store: ObjectStore, key: str, path: Path) -> Path:
    with path.open("wb") as file:
        for block in store.get(key).stream():
            file.write(block)
    return path
