"""The interpreted rows of a task in DuckDB, until they are laid down by bucket."""

from collections.abc import Sequence
from pathlib import Path

import duckdb
import msgspec
from arro3.core import Array, DataType, Table

from daily_batch.kernel import meaning, parse
from daily_batch.kernel.database import quote_text
from daily_batch.kernel.fields import FIELDS, PLACE
from daily_batch.kernel.strict import Found
from daily_batch.plan import DayPlan

_TYPES = ", ".join(f'"{name}" {kind}' for name, kind in FIELDS.items())
SHAPED_QUERY = f"""
    SELECT NULL::INTEGER AS piece, {", ".join(PLACE)}, unnest(CAST(sent::JSON AS STRUCT({_TYPES}))), true AS proven
    FROM shaped
"""


# A fifth of the bytes for a quarter more time to write them: Spark copies each byte half a dozen times on its way, and
# the temporary disk of a function is small.
RUN_COMPRESSION = "COMPRESSION zstd, COMPRESSION_LEVEL 1"


class Rows:
    """One table a batch: below a row group of 122,880 rows DuckDB does not compress, which would cost more than all."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, plan: DayPlan, scratch: Path) -> None:
        self._connection = connection
        self._scratch = scratch
        self._from_batch = meaning.build_query(plan, parse.QUERY)
        self._from_shaped = meaning.build_query(plan, SHAPED_QUERY)
        self._tables: list[str] = []
        self._folders = 0
        connection.execute(parse.MACROS)
        meaning.prepare(connection)

    def add_batch(self, batch: Table) -> list[int]:
        """Read and interpret a batch of pieces; return those that are not proven, of which nothing is kept."""
        self._tables.append(f"rows_{len(self._tables)}")
        self._connection.register("batch", batch)
        self._connection.execute(f"CREATE TEMP TABLE {self._tables[-1]} AS {self._from_batch}")
        self._connection.unregister("batch")
        unproven = self._connection.execute(f"SELECT piece FROM {self._tables[-1]} WHERE NOT proven ORDER BY piece")
        pieces = [piece for (piece,) in unproven.fetchall()]
        if pieces:
            self._connection.execute(f"DELETE FROM {self._tables[-1]} WHERE NOT proven")
        return pieces

    def drop(self, source: int, start: int, end: int) -> None:
        """Drop the batch's rows that begin in these bytes of an object: they are inside of another record."""
        self._connection.execute(
            f"DELETE FROM {self._tables[-1]} WHERE source = ? AND start >= ? AND start < ?", [source, start, end]
        )

    def add_shaped(self, records: Sequence[tuple[int, Found, dict[str, object]]]) -> None:
        """Add records of the batch that the strict path has read: source, place and fields."""
        if not records:
            return
        fields = [msgspec.json.encode(fields) for _, _, fields in records]
        table = Table.from_pydict(
            {
                "source": Array([source for source, _, _ in records], DataType.int32()),
                "line": Array([found.line for _, found, _ in records], DataType.int64()),
                "start": Array([found.start for _, found, _ in records], DataType.int64()),
                "length": Array([found.length for _, found, _ in records], DataType.int64()),
                "sent": Array(fields, DataType.binary()).cast(DataType.utf8()),
            }
        )
        self._connection.register("shaped", table)
        self._connection.execute(f"INSERT INTO {self._tables[-1]} {self._from_shaped}")

    def judge(self) -> tuple[int, list[tuple[int, Found, str]]]:
        """Drop the batch's rows that are not the day's.

        Returns:
            How many records there were, and each one that is not the day's: its source, its place with a detail, and
            a reason or `other_day`.
        """
        table = self._tables[-1]
        ((records,),) = self._connection.execute(f"SELECT count(*) FROM {table}").fetchall()
        others = self._connection.execute(
            f"SELECT source, start, length, source_line, detail, verdict FROM {table} WHERE verdict IS NOT NULL"
        ).fetchall()
        if others:
            self._connection.execute(f"DELETE FROM {table} WHERE verdict IS NOT NULL")
        return records, [
            (source, Found(start, length, line, detail=detail), verdict)
            for source, start, length, line, detail, verdict in others
        ]

    def lay(self) -> list[tuple[int, Path]]:
        """Write the rows as Parquet by bucket, and forget them."""
        if not self._tables:
            return []
        folder = self._scratch / f"rows-{self._folders}"
        columns = ", ".join((*meaning.ROW_COLUMNS, *meaning.LINEAGE, "bucket"))
        rows = " UNION ALL ".join(f"SELECT {columns} FROM {table}" for table in self._tables)
        # One writer with partitions: a COPY for each bucket, measured, takes three times as long.
        self._connection.execute(
            f"COPY ({rows}) TO {quote_text(str(folder))} (FORMAT parquet, {RUN_COMPRESSION}, PARTITION_BY (bucket))"
        )
        for table in self._tables:
            self._connection.execute(f"DROP TABLE {table}")
        self._tables, self._folders = [], self._folders + 1
        return [(int(path.parent.name.partition("=")[2]), path) for path in sorted(folder.glob("bucket=*/*"))]
