"""The normalized rows of a task: DuckDB tables that stay in memory or are spilled to Parquet files by bucket."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
from arro3.core import Array, DataType, Table

from daily_batch.domain.run import RunSpec
from daily_batch.pipeline.transform import fast_parser, normalize
from daily_batch.pipeline.transform.duckdb_session import quote_text
from daily_batch.pipeline.transform.erased import delete_erased_rows
from daily_batch.pipeline.transform.fields import FIELDS, LOCATION
from daily_batch.pipeline.transform.json_value import ParsedRecord
from daily_batch.pipeline.transform.write import size_row_group

RECORDS_QUERY = f"SELECT NULL::INTEGER AS piece, {', '.join((*LOCATION, *FIELDS))}, true AS verified FROM records"
COLUMNS = ", ".join((*normalize.ROW_COLUMNS, *normalize.LINEAGE))
_ARROW = {"INTEGER": DataType.int32(), "BIGINT": DataType.int64(), "VARCHAR": DataType.utf8()}

# A fifth of the bytes for a quarter more time to write them: Spark copies each byte about six times on its way, and a
# function's temporary disk is small.
SPILL_COMPRESSION = "COMPRESSION zstd, COMPRESSION_LEVEL 1"


# A record that is not published: its source, its location with a detail, and a reject reason or `other_day`.
ExcludedRow = tuple[int, ParsedRecord, str]


@dataclass(frozen=True)
class RowSet:
    """The rows of a day or of one bucket: tables of the open database, and Parquet files."""

    tables: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()

    def select(self, bucket: int) -> str:
        """Return a query for the rows of a bucket; `files` must hold only rows of that bucket.

        Spilled files have no column `bucket`: it is in their folder's name, which a shuffle does not keep.
        """
        parts = [f"SELECT {COLUMNS} FROM {table} WHERE bucket = {bucket}" for table in self.tables]
        if self.files:
            paths = ", ".join(quote_text(str(path)) for path in self.files)
            parts.append(f"SELECT {COLUMNS} FROM read_parquet([{paths}])")
        return " UNION ALL ".join(parts)

    def select_by_bucket(self) -> str:
        """Return a query for all rows of the tables, ordered by bucket."""
        parts = " UNION ALL ".join(f"SELECT {COLUMNS}, bucket FROM {table}" for table in self.tables)
        return f"SELECT * FROM ({parts}) ORDER BY bucket"


class RowBuffer:
    """Holds one table per batch.

    DuckDB does not compress tables below one row group (122,880 rows); compression would cost more than all other
    steps.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, spec: RunSpec, scratch: Path, *, name: str) -> None:
        self._connection = connection
        self._spec = spec
        self._scratch = scratch
        self._name = name
        self._from_batch = normalize.build_query(spec, fast_parser.QUERY, plain=True)
        self._from_batch_cautious = normalize.build_query(spec, fast_parser.CAUTIOUS_QUERY, plain=True)
        self._from_records = normalize.build_query(spec, RECORDS_QUERY, plain=False)
        self._tables: list[str] = []
        self._table_count = self._spill_count = 0
        fast_parser.prepare(connection, spec.tenant)
        normalize.prepare(connection)

    def add_batch(self, batch: Table) -> list[int]:
        """Parse and normalize a batch; return the pieces that could not be verified, of which no row is kept."""
        self._tables.append(f"{self._name}_{self._table_count}")
        self._table_count += 1
        table = self._tables[-1]
        if not batch.num_rows and len(self._tables) > 1:
            # Adversarial text makes many such batches, and planning the statement takes longer than reading them.
            self._connection.execute(f"CREATE TABLE {table} AS FROM {self._tables[-2]} LIMIT 0")
            return []
        self._connection.register("batch", batch)
        try:
            self._connection.execute(f"CREATE TABLE {table} AS {self._from_batch}")
        except duckdb.InvalidInputException:
            # DuckDB refuses some text that is valid JSON, such as a lone surrogate, so it must not read that text.
            self._connection.execute(f"CREATE TABLE {table} AS {self._from_batch_cautious}")
        self._connection.unregister("batch")
        unverified = self._connection.execute(f"SELECT piece FROM {table} WHERE NOT verified ORDER BY piece").fetchall()
        if unverified:
            self._connection.execute(f"DELETE FROM {table} WHERE NOT verified")
        return [piece for (piece,) in unverified]

    def drop(self, source: int, start: int, end: int) -> None:
        """Drop the fast path's rows that begin in a byte range of an object: they are part of another record."""
        self._connection.execute(
            f"DELETE FROM {self._tables[-1]} WHERE piece IS NOT NULL AND source = ? AND start >= ? AND start < ?",
            [source, start, end],
        )

    def add_records(self, records: Sequence[tuple[int, ParsedRecord, dict[str, object]]]) -> None:
        """Add records that the general path has read, each with its source, location and fields."""
        if not records:
            return
        columns: dict[str, tuple[str, Iterable[object]]] = {
            "source": ("INTEGER", [source for source, _, _ in records]),
            "line": ("BIGINT", [location.line for _, location, _ in records]),
            "start": ("BIGINT", [location.start for _, location, _ in records]),
            "length": ("BIGINT", [location.length for _, location, _ in records]),
            **{name: (kind, [fields[name] for _, _, fields in records]) for name, kind in FIELDS.items()},
        }
        arrays = [Array(list(values), _ARROW[kind]) for kind, values in columns.values()]
        self._connection.register("records", Table.from_arrays(arrays, names=list(columns)))
        self._connection.execute(f"INSERT INTO {self._tables[-1]} {self._from_records}")
        self._connection.unregister("records")

    def delete_erased(self, *, general: bool) -> int:
        """Delete the rows of erased users and rooms, of the general or of the fast path, and return their number."""
        condition = f"piece IS {'' if general else 'NOT '}NULL"
        return delete_erased_rows(self._connection, self._tables[-1], condition, self._spec)

    def filter_batch(self) -> tuple[int, Iterable[ExcludedRow]]:
        """Remove the fast path's rows that have a verdict; return the row count before, and the removed rows."""
        query = f"SELECT count(*), count(verdict) FROM {self._tables[-1]} WHERE piece IS NOT NULL"
        ((records, excluded),) = self._connection.execute(query).fetchall()
        return records, self._filter("piece IS NOT NULL") if excluded else ()

    def filter_records(self) -> Iterable[ExcludedRow]:
        """Remove and return the general path's rows that have a verdict."""
        return self._filter("piece IS NULL")

    def _filter(self, condition: str) -> Iterable[ExcludedRow]:
        table = self._tables[-1]
        excluded = self._connection.execute(f"""
            SELECT source, start, length, source_line, detail, verdict FROM {table}
            WHERE {condition} AND verdict IS NOT NULL ORDER BY source, start
        """).fetchall()
        if excluded:
            self._connection.execute(f"DELETE FROM {table} WHERE {condition} AND verdict IS NOT NULL")
        return [
            (source, ParsedRecord(start, length, line, detail=detail), verdict)
            for source, start, length, line, detail, verdict in excluded
        ]

    def keep(self) -> tuple[str, ...]:
        """Keep the rows in their tables, and return the tables' names."""
        names, self._tables = tuple(self._tables), []
        return names

    def spill(self) -> list[tuple[int, Path]]:
        """Write the rows to Parquet files by bucket, and drop their tables."""
        if not self._tables:
            return []
        folder = self._scratch / f"rows-{self._spill_count}"
        rows = " UNION ALL ".join(f"SELECT {COLUMNS}, bucket FROM {table}" for table in self._tables)
        # One partitioned COPY: a COPY for each bucket takes three times as long (measured). By default a row group has
        # 122,880 rows; reading its content in one piece could take more than the memory of the reduce.
        options = f"FORMAT parquet, {SPILL_COMPRESSION}, ROW_GROUP_SIZE {size_row_group(self._spec)}"
        self._connection.execute(f"COPY ({rows}) TO {quote_text(str(folder))} ({options}, PARTITION_BY (bucket))")
        for table in self._tables:
            self._connection.execute(f"DROP TABLE {table}")
        self._tables, self._spill_count = [], self._spill_count + 1
        return [(int(path.parent.name.partition("=")[2]), path) for path in sorted(folder.glob("bucket=*/*"))]
