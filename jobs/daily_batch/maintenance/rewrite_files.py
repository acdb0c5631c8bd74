"""Find a subject's rows in a data file, and rewrite the other rows as the pipeline writes them."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

import duckdb
from arro3.core import Array, DataType
from arro3.core import Table as ArrowTable

from daily_batch.domain.contract import MESSAGES, REJECTS, TURNS, Table
from daily_batch.domain.run import DataFile, RunSpec, TableFormat
from daily_batch.maintenance.subject import ID_TABLE, Subject
from daily_batch.pipeline.transform.aggregate import save_partials
from daily_batch.pipeline.transform.duckdb_session import connect, quote_text
from daily_batch.pipeline.transform.merge_parts import group_by_name, merge_aggregates
from daily_batch.pipeline.transform.turns import MESSAGE_ORDER, TURN_COLUMNS, create_turns
from daily_batch.pipeline.transform.write import OutputStore, write_rows
from daily_batch.settings import Settings

# The order in which a run writes rows.
SORT_ORDERS = {MESSAGES: MESSAGE_ORDER, REJECTS: "source_key, source_line", TURNS: "room_id, turn"}
# The columns of a message that turns and the day's aggregates need.
AGGREGATED_COLUMNS = (*TURN_COLUMNS, "hour", "attachment_count")
BATCH_ROWS = 200


@dataclass(frozen=True, kw_only=True)
class Hits:
    """How many rows of a file are the subject's (`doubtful` of them perhaps), and how many only mention the id."""

    rows: int = 0
    doubtful: int = 0
    mentions: int = 0

    def __add__(self, other: "Hits") -> "Hits":
        """Return the sum of both."""
        return Hits(
            rows=self.rows + other.rows,
            doubtful=self.doubtful + other.doubtful,
            mentions=self.mentions + other.mentions,
        )

    def __bool__(self) -> bool:
        """Whether there are rows to remove."""
        return self.rows > 0


def search_file(connection: duckdb.DuckDBPyConnection, path: Path, table: Table, subject: Subject) -> Hits:
    """Count the subject's rows in a file; a connection can search one file after the other."""
    doubtful = _mark(connection, path, table, subject)
    mentioned = (subject.mention_condition if table is MESSAGES else None) or "false"
    ((rows, mentions),) = connection.execute(
        f"SELECT count(*) FILTER (is_match), count(*) FILTER (NOT is_match AND {mentioned}) FROM marked"
    ).fetchall()
    return Hits(rows=rows, doubtful=doubtful, mentions=mentions)


def rewrite_files(
    paths: Sequence[Path],
    table: Table,
    *,
    name: str,
    spec: RunSpec,
    output: OutputStore,
    scratch: Path,
    exclude: Subject | None = None,
    projection: Path | None = None,
) -> DataFile | None:
    """Write the rows of some files of one day to one sorted file; return None if no row remains.

    Args:
        spec: of the run that wrote the rows; they keep its id.
        exclude: whose rows are omitted.
        projection: where to write the columns that the aggregates need of the remaining rows, as Parquet.
    """
    with connect(scratch=scratch, spec=spec) as connection:
        for number, path in enumerate(paths):
            _mark(connection, path, table, exclude, view=f"marked_{number}")
        kept = " UNION ALL BY NAME ".join(f"SELECT * FROM marked_{n} WHERE NOT is_match" for n in range(len(paths)))
        if projection:
            columns = ", ".join(AGGREGATED_COLUMNS)
            target = quote_text(str(projection))
            connection.execute(f"COPY (SELECT {columns} FROM ({kept})) TO {target} (FORMAT parquet)")
        query = f"FROM ({kept}) ORDER BY {SORT_ORDERS[table]}"
        return write_rows(connection, query, table=table, name=name, spec=spec, output=output, scratch=scratch)


def project_messages(path: Path, projection: Path, *, spec: RunSpec) -> None:
    """Write the columns that the aggregates need of a file of messages, as Parquet."""
    with connect(scratch=path.parent, spec=spec) as connection:
        _mark(connection, path, MESSAGES, None)
        columns = ", ".join(AGGREGATED_COLUMNS)
        connection.execute(f"COPY (SELECT {columns} FROM marked) TO {quote_text(str(projection))} (FORMAT parquet)")


def recompute_aggregates(
    projections: Sequence[Path], *, spec: RunSpec, output: OutputStore, scratch: Path
) -> dict[str, tuple[DataFile, ...]]:
    """Write the turns and the day's aggregates of the remaining messages, by the pipeline's own queries."""
    with connect(scratch=scratch, spec=spec) as connection:
        paths = ", ".join(quote_text(str(path)) for path in projections)
        types = ", ".join(
            f"NULL::{column.type} AS {column.name}" for column in MESSAGES.columns if column.name in AGGREGATED_COLUMNS
        )
        source = f"read_parquet([{paths}])" if projections else f"(SELECT {types}) WHERE false"
        connection.execute(f"CREATE VIEW kept AS FROM {source}")
        create_turns(connection, f"FROM kept ORDER BY {MESSAGE_ORDER}")
        turns = write_rows(connection, "FROM turns", table=TURNS, name="all", spec=spec, output=output, scratch=scratch)
        partials = save_partials(connection, scratch)
    aggregates = merge_aggregates(group_by_name(partials), spec=spec, output=output, scratch=scratch)
    return {TURNS.name: (turns,) if turns else (), **aggregates}


def count_rows(paths: Sequence[Path]) -> int:
    """Return the number of rows in some Parquet files."""
    if not paths:
        return 0
    with closing(_database().cursor()) as connection:
        listed = ", ".join(quote_text(str(path)) for path in paths)
        ((rows,),) = connection.execute(f"SELECT count(*) FROM read_parquet([{listed}])").fetchall()
        return int(rows)


def read_run(path: Path) -> tuple[str, int] | None:
    """Return the id of the run that wrote a file's rows, and its start in µs since 1970 UTC; None without rows."""
    with closing(_database().cursor()) as connection:
        query = f"SELECT run_id, epoch_us(processed_at) FROM read_parquet({quote_text(str(path))}) LIMIT 1"
        return next(iter(connection.execute(query).fetchall()), None)


@cache
def _database() -> duckdb.DuckDBPyConnection:
    """Open a database for what reads no more than a row or a count: to open one takes longer than that."""
    return duckdb.connect(config={"threads": 1, "enable_external_file_cache": False})


def _mark(
    connection: duckdb.DuckDBPyConnection, path: Path, table: Table, subject: Subject | None, *, view: str = "marked"
) -> int:
    """Create a view of a file with every column of the table and `is_match`; return how many matches are doubtful."""
    source = f"read_parquet({quote_text(str(path))}, file_row_number = true, hive_partitioning = false)"
    present = {name for name, *_ in connection.execute(f"DESCRIBE FROM {source}").fetchall()}
    # A file that is older than a column of the contract does not have it.
    columns = ", ".join(c.name if c.name in present else f"NULL::{c.type} AS {c.name}" for c in table.columns)
    doubtful, condition = 0, "false"
    if subject is not None and table is REJECTS:
        matches, doubtful = _find_rejects(connection, source, subject)
        connection.execute(f"CREATE OR REPLACE TEMP TABLE rows_of_{view} (number BIGINT)")
        if matches:
            numbers = ", ".join(f"({number})" for number in matches)
            connection.execute(f"INSERT INTO rows_of_{view} VALUES {numbers}")
        condition = f"file_row_number IN (FROM rows_of_{view})"
    elif subject is not None:
        condition = subject.condition(table)
        connection.register(
            "listed_ids", ArrowTable.from_arrays([Array(sorted(subject.ids), DataType.utf8())], names=["id"])
        )
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {ID_TABLE} AS FROM listed_ids")
    connection.execute(f"CREATE OR REPLACE TEMP VIEW {view} AS SELECT {columns}, {condition} AS is_match FROM {source}")
    return doubtful


def _find_rejects(connection: duckdb.DuckDBPyConnection, source: str, subject: Subject) -> tuple[list[int], int]:
    names = ("file_row_number", "source_key", "source_line", "detail", "raw", "raw_truncated")
    rows = connection.execute(f"SELECT {', '.join(names)} FROM {source}")
    found: list[int] = []
    doubtful = 0
    while batch := rows.fetchmany(BATCH_ROWS):
        for number, key, line, detail, raw, truncated in batch:
            match = subject.match_reject(
                key=key, line=line, detail=detail or "", raw=bytes(raw or b""), truncated=truncated
            )
            doubtful += match == "doubtful"
            if match:
                found.append(number)
    return found, doubtful


# Takes a day, the id of the run whose rows are written, and its start in microseconds since 1970 UTC.
MakeSpec = Callable[[date, str, int], RunSpec]


def make_spec_factory(settings: Settings, *, tenant: str, table_format: TableFormat) -> MakeSpec:
    """Return a factory of run specs for any day; the fields about reading objects are empty, as none is read."""

    def make(day: date, run_id: str, processed_us: int) -> RunSpec:
        return RunSpec(
            tenant=tenant,
            date=day.isoformat(),
            zone=settings.timezone,
            naive_zone=settings.naive_timezone,
            start_us=0,
            end_us=0,
            slack_us=0,
            layout="export",
            table_format=table_format,
            buckets=1,
            run_id=run_id,
            processed_us=processed_us,
            limits=settings.limits,
        )

    return make
