"""What readers see of a day before a run, by the tables themselves: no ledger is asked, for it may be lost."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
from obstore.exceptions import BaseError
from obstore.store import ObjectStore

from daily_batch.domain.contract import MESSAGES, REJECTS, TABLES, Table
from daily_batch.domain.keys import analytics_folder
from daily_batch.domain.receipt import Receipt
from daily_batch.domain.request import Request
from daily_batch.domain.run import TableFormat
from daily_batch.errors import UsageError
from daily_batch.pipeline.publish import delta_log
from daily_batch.pipeline.publish.parquet import day_folder
from daily_batch.pipeline.publish.receipts import find_last
from daily_batch.pipeline.publish.result import Standing
from daily_batch.pipeline.transform.duckdb_session import quote_text
from daily_batch.storage.failures import explain_failure
from daily_batch.storage.scratch import folder_within
from daily_batch.storage.stores import Storage, delta_location

# The end of a Parquet file: the length of its footer, and its name.
_TAIL = 8
_CONCURRENCY = 16


def look_at_day(request: Request, storage: Storage, *, scratch: Path) -> Standing:
    """What readers see of the day now.

    Raises:
        BatchError: the store does not answer or refuses.
    """
    store = storage.open_output()
    receipt = find_last(store, tenant=request.tenant, day=request.day)

    def count(table: Table) -> int:
        if request.table_format == "delta":
            return _count_delta(table, request, storage)
        return _count_parquet(table, request, store, receipt, scratch)

    return Standing(messages=count(MESSAGES), rejects=count(REJECTS), receipt=receipt)


def check_format(request: Request, storage: Storage) -> None:
    """Refuse to write one format into tables of the other: no reader would understand what lies there then.

    Raises:
        UsageError: the tables are of the other format.
        BatchError: the store does not answer or refuses.
    """
    store = storage.open_output()
    root = analytics_folder(request.tenant)
    try:
        with ThreadPoolExecutor(len(TABLES)) as pool:
            found = list(pool.map(lambda table: _find_formats(store, f"{root}/{table.name}"), TABLES))
    except (BaseError, OSError) as error:
        raise explain_failure(error, tenant=request.tenant, day=request.day.isoformat()) or error from error
    other: TableFormat = "parquet" if request.table_format == "delta" else "delta"
    if any(other in formats for formats in found):
        raise UsageError(
            f"the tables in {request.output}/{root} are {other.capitalize()}, and {request.table_format} was asked for",
            next_step=f"give --format {other}; to change the format, publish to another --output by a backfill"
            " (docs/upgrading.md#another-format)",
            tenant=request.tenant,
            day=request.day.isoformat(),
        )


def _find_formats(store: ObjectStore, folder: str) -> set[TableFormat]:
    """The formats of which objects lie in a table's folder."""
    below = {prefix.rstrip("/") for prefix in store.list_with_delimiter(f"{folder}/")["common_prefixes"]}
    wanted: dict[str, TableFormat] = {
        each: "delta" if each.endswith("/_delta_log") else "parquet"
        for each in below
        if each.startswith((f"{folder}/_delta_log", f"{folder}/year="))
    }
    # A local folder may be left empty.
    return {each for prefix, each in wanted.items() if next(iter(store.list(f"{prefix}/", chunk_size=1)), None)}


def _count_delta(table: Table, request: Request, storage: Storage) -> int:
    """Rows by the statistics of the files that the log names; a file without them counts as one row."""
    folder = request.output.child(f"{analytics_folder(request.tenant)}/{table.name}")
    delta = delta_log.open_table(*delta_location(folder, storage.options))
    if delta is None:
        return 0
    actions = delta.get_add_actions(flatten=True)
    days = actions[f"partition.{delta_log.PARTITION}"].to_pylist()
    rows = actions["num_records"].to_pylist()
    return sum(1 if count is None else count for day, count in zip(days, rows, strict=True) if day == request.day)


def _count_parquet(table: Table, request: Request, store: ObjectStore, receipt: Receipt | None, scratch: Path) -> int:
    """Rows by the last receipt, less what was erased since; without one by the files' own footers.

    A run that died between two files left those of two runs in the folder, and only the receipt can tell.
    """
    folder = f"{analytics_folder(request.tenant)}/{table.name}/{day_folder(request.day)}/"
    files = [(item["path"], item["size"]) for batch in store.list(folder) for item in batch]
    if not files:
        return 0
    if receipt is not None and table.name in receipt.tables:
        return receipt.tables[table.name].rows - sum(each.rows.get(table.name, 0) for each in receipt.erased)
    with folder_within(scratch) as place:
        with ThreadPoolExecutor(_CONCURRENCY) as pool:
            for number, footer in enumerate(pool.map(lambda file: _read_footer(store, *file), files)):
                _write_hollow(place / f"{number}.parquet", footer)
        return _sum_rows(sorted(place.iterdir()))


def _read_footer(store: ObjectStore, key: str, size: int) -> tuple[int, bytes]:
    tail = bytes(store.get_range(key, start=max(0, size - _TAIL), end=size))
    length = int.from_bytes(tail[:4], "little") + _TAIL
    return size, bytes(store.get_range(key, start=max(0, size - length), end=size))


def _write_hollow(path: Path, footer: tuple[int, bytes]) -> None:
    """A file with a footer and no rows: enough to ask how many there are, whatever they weigh."""
    size, content = footer
    with path.open("wb") as file:
        file.write(b"PAR1")
        file.seek(size - len(content))
        file.write(content)


def _sum_rows(paths: Iterable[Path]) -> int:
    names = ", ".join(quote_text(str(path)) for path in paths)
    with duckdb.connect() as connection:
        found = connection.execute(f"SELECT sum(num_rows) FROM parquet_file_metadata([{names}])").fetchone()
    return int(found[0]) if found and found[0] is not None else 0


def fetch_day(table: Table, *, request: Request, storage: Storage, folder: Path) -> list[Path]:
    """Copies of the table's files of the day, in `folder`; none when the day, or the table, is not there."""
    store = storage.open_output()
    root = f"{analytics_folder(request.tenant)}/{table.name}"
    if request.table_format == "delta":
        location, options = delta_location(request.output.child(root), storage.options)
        live = delta_log.snapshot_day(delta_log.open_table(location, options), request.day).files
        keys = ["/".join((root, *uri.rsplit("/", 2)[1:])) for uri in sorted(live)]
    else:
        keys = _list_files(store, f"{root}/{day_folder(request.day)}")
    return [_copy(store, key, folder / f"{number}.parquet") for number, key in enumerate(keys)]


def _list_files(store: ObjectStore, prefix: str) -> list[str]:
    return sorted(item["path"] for batch in store.list(f"{prefix}/") for item in batch)


def _copy(store: ObjectStore, key: str, path: Path) -> Path:
    with path.open("wb") as file:
        for block in store.get(key).stream():
            file.write(block)
    return path
