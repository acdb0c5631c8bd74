"""Rows between Spark's map and reduce: Arrow streams, packed with LZ4.

Beside Parquet with zstd they take twice the bytes, and a third less time to write and to read (measured).
"""

import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import duckdb
import pyarrow as pa  # type: ignore[import-untyped]  # it ships no types
import pyarrow.compute as pc  # type: ignore[import-untyped]

from daily_batch.pipeline.transform.row_buffer import RowSet

ROWS_AT_ONCE = 30_720
LZ4 = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)


def dump_buckets(connection: duckdb.DuckDBPyConnection, tables: Sequence[str]) -> Iterator[tuple[int, bytes]]:
    """Yield each bucket that has rows in these tables, with its rows.

    One sorted scan: a query for each bucket costs 10 ms, which is 4 microseconds a row with 40 buckets.
    """
    if not tables:
        return
    reader = connection.sql(RowSet(tuple(tables)).select_by_bucket()).to_arrow_reader(ROWS_AT_ONCE)
    for bucket, batches in groupby(_by_bucket(reader), key=itemgetter(0)):
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, reader.schema, options=LZ4) as stream:
            for _, batch in batches:
                stream.write_batch(batch)
        yield bucket, sink.getvalue()


def _by_bucket(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The batches, which are sorted by bucket, cut where another one begins."""
    for batch in batches:
        runs = pc.run_end_encode(batch.column("bucket"))
        start = 0
        for bucket, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True):
            yield bucket, batch.slice(start, end - start)
            start = end


def load_rows(connection: duckdb.DuckDBPyConnection, streams: Sequence[Path], *, table: str) -> None:
    """Make a table of the rows that `dump_bucket` wrote to these files."""
    for number, path in enumerate(streams):
        with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as reader:
            connection.register("loaded", reader)
            begin = f"INSERT INTO {table}" if number else f"CREATE TEMP TABLE {table} AS"
            connection.execute(f"{begin} FROM loaded")
            connection.unregister("loaded")
