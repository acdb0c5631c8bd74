"""The interpreted rows of a task: tables in DuckDB, which stay there or are laid down as files by bucket."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
from arro3.core import Array, DataType, Table

from daily_batch.domain.run import RunSpec
from daily_batch.pipeline.transform import fast_parser, normalize
from daily_batch.pipeline.transform.duckdb_session import quote_text
from daily_batch.pipeline.transform.fields import FIELDS, PLACE
from daily_batch.pipeline.transform.strict_parser import Found

SHAPED_QUERY = f"SELECT NULL::INTEGER AS piece, {', '.join((*PLACE, *FIELDS))}, true AS proven FROM shaped"
COLUMNS = ", ".join((*normalize.ROW_COLUMNS, *normalize.LINEAGE, "bucket"))
_ARROW = {"INTEGER": DataType.int32(), "BIGINT": DataType.int64(), "VARCHAR": DataType.utf8()}

# A fifth of the bytes for a quarter more time to write them: Spark copies each byte half a dozen times on its way, and
# the temporary disk of a function is small.
RUN_COMPRESSION = "COMPRESSION zstd, COMPRESSION_LEVEL 1"


# A record that is not one of the day's rows: its source, its place with a detail, and a reason or `other_day`.
Judged = tuple[int, Found, str]


@dataclass(frozen=True)
class RowSet:
    """Where the rows of a day, or of one bucket, are: tables of the database in hand, and Parquet files."""

    tables: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()

    def select(self, bucket: int) -> str:
        """Return a query of the bucket's rows; the files are the bucket's own."""
        parts = [f"SELECT {COLUMNS} FROM {table} WHERE bucket = {bucket}" for table in self.tables]
        if self.files:
            paths = ", ".join(quote_text(str(path)) for path in self.files)
            parts.append(f"SELECT {COLUMNS} FROM read_parquet([{paths}])")
        return " UNION ALL ".join(parts)

    def select_by_bucket(self) -> str:
        """Return a query of all rows of the tables, bucket after bucket."""
        parts = " UNION ALL ".join(f"SELECT {COLUMNS} FROM {table}" for table in self.tables)
        return f"SELECT * FROM ({parts}) ORDER BY bucket"


class RowBuffer:
    """One table a batch: below a row group of 122,880 rows DuckDB does not compress, which would cost more than all."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, plan: RunSpec, scratch: Path, *, name: str) -> None:
        self._connection = connection
        self._scratch = scratch
        self._name = name
        self._from_batch = normalize.build_query(plan, fast_parser.QUERY, plain=True)
        self._from_batch_cautiously = normalize.build_query(plan, fast_parser.CAUTIOUS_QUERY, plain=True)
        self._from_shaped = normalize.build_query(plan, SHAPED_QUERY, plain=False)
        self._tables: list[str] = []
        self._made = self._folders = 0
        fast_parser.prepare(connection, plan.tenant)
        normalize.prepare(connection)

    def add_batch(self, batch: Table) -> list[int]:
        """Read and interpret a batch of pieces; return those that are not proven, of which nothing is kept."""
        self._tables.append(f"{self._name}_{self._made}")
        self._made += 1
        table = self._tables[-1]
        if not batch.num_rows and len(self._tables) > 1:
            # Hostile text makes many such batches, and planning the statement takes longer than reading them.
            self._connection.execute(f"CREATE TABLE {table} AS FROM {self._tables[-2]} LIMIT 0")
            return []
        self._connection.register("batch", batch)
        try:
            self._connection.execute(f"CREATE TABLE {table} AS {self._from_batch}")
        except duckdb.InvalidInputException:
            # DuckDB refuses some text that is JSON, such as half of a surrogate pair. It must not see that.
            self._connection.execute(f"CREATE TABLE {table} AS {self._from_batch_cautiously}")
        self._connection.unregister("batch")
        unproven = self._connection.execute(f"SELECT piece FROM {table} WHERE NOT proven ORDER BY piece").fetchall()
        if unproven:
            self._connection.execute(f"DELETE FROM {table} WHERE NOT proven")
        return [piece for (piece,) in unproven]

    def drop(self, source: int, start: int, end: int) -> None:
        """Drop the fast path's rows that begin in these bytes of an object: they are inside of another record."""
        self._connection.execute(
            f"DELETE FROM {self._tables[-1]} WHERE piece IS NOT NULL AND source = ? AND start >= ? AND start < ?",
            [source, start, end],
        )

    def add_shaped(self, records: Sequence[tuple[int, Found, dict[str, object]]]) -> None:
        """Add records of the batch that the general path has read: source, place and fields."""
        if not records:
            return
        columns: dict[str, tuple[str, Iterable[object]]] = {
            "source": ("INTEGER", [source for source, _, _ in records]),
            "line": ("BIGINT", [found.line for _, found, _ in records]),
            "start": ("BIGINT", [found.start for _, found, _ in records]),
            "length": ("BIGINT", [found.length for _, found, _ in records]),
            **{name: (kind, [fields[name] for _, _, fields in records]) for name, kind in FIELDS.items()},
        }
        arrays = [Array(list(values), _ARROW[kind]) for kind, values in columns.values()]
        self._connection.register("shaped", Table.from_arrays(arrays, names=list(columns)))
        self._connection.execute(f"INSERT INTO {self._tables[-1]} {self._from_shaped}")
        self._connection.unregister("shaped")

    def judge_batch(self) -> tuple[int, Iterable[Judged]]:
        """Drop the rows of the fast path that are not the day's; return how many rows there were, and those."""
        query = f"SELECT count(*), count(verdict) FROM {self._tables[-1]} WHERE piece IS NOT NULL"
        ((records, judged),) = self._connection.execute(query).fetchall()
        return records, self._judge("piece IS NOT NULL") if judged else ()

    def judge_shaped(self) -> Iterable[Judged]:
        """Drop the rows of the general path that are not the day's, and return them."""
        return self._judge("piece IS NULL")

    def _judge(self, chosen: str) -> Iterable[Judged]:
        table = self._tables[-1]
        others = self._connection.execute(f"""
            SELECT source, start, length, source_line, detail, verdict FROM {table}
            WHERE {chosen} AND verdict IS NOT NULL ORDER BY source, start
        """).fetchall()
        if others:
            self._connection.execute(f"DELETE FROM {table} WHERE {chosen} AND verdict IS NOT NULL")
        return [
            (source, Found(start, length, line, detail=detail), verdict)
            for source, start, length, line, detail, verdict in others
        ]

    def keep(self) -> tuple[str, ...]:
        """Leave the rows in their tables, and return the tables' names."""
        kept, self._tables = tuple(self._tables), []
        return kept

    def spill(self) -> list[tuple[int, Path]]:
        """Write the rows as Parquet by bucket, and forget them."""
        if not self._tables:
            return []
        folder = self._scratch / f"rows-{self._folders}"
        rows = " UNION ALL ".join(f"SELECT {COLUMNS} FROM {table}" for table in self._tables)
        # One writer with partitions: a COPY for each bucket, measured, takes three times as long.
        self._connection.execute(
            f"COPY ({rows}) TO {quote_text(str(folder))} (FORMAT parquet, {RUN_COMPRESSION}, PARTITION_BY (bucket))"
        )
        for table in self._tables:
            self._connection.execute(f"DROP TABLE {table}")
        self._tables, self._folders = [], self._folders + 1
        return [(int(path.parent.name.partition("=")[2]), path) for path in sorted(folder.glob("bucket=*/*"))]
