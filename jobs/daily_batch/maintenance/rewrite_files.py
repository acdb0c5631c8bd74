"""The rows of one data file: which of them are a person's, and the others written anew, as the kernel writes them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

from daily_batch.domain.contract import MESSAGES, REJECTS, Table
from daily_batch.domain.run import DataFile, RunSpec, TableFormat
from daily_batch.maintenance.subject import Person
from daily_batch.pipeline.transform.duckdb_session import connect, quote_text
from daily_batch.pipeline.transform.reduce_bucket import PARTIALS, merge_aggregates
from daily_batch.pipeline.transform.write import OutputStore, write_rows
from daily_batch.settings import Settings

# In which order a publisher lays rows down.
ORDERS = {MESSAGES: "room_id, timestamp, message_id", REJECTS: "source_key, source_line"}
# What the day's aggregates need of a message.
COUNTED = (
    *("room_id", "user_id", "timestamp", "hour", "role", "message_length", "tokens_used"),
    "attachment_count",
)
FETCHED = 200


@dataclass(frozen=True, kw_only=True)
class Hits:
    """How many rows of a file are a person's, `doubtful` of them perhaps; `mentions` only name the id, and stay."""

    rows: int = 0
    doubtful: int = 0
    mentions: int = 0

    def __add__(self, other: "Hits") -> "Hits":
        """Both together."""
        return Hits(
            rows=self.rows + other.rows,
            doubtful=self.doubtful + other.doubtful,
            mentions=self.mentions + other.mentions,
        )

    def __bool__(self) -> bool:
        """Whether anything is to be removed."""
        return self.rows > 0


def search_file(path: Path, table: Table, person: Person, *, plan: RunSpec) -> Hits:
    """Count a person's rows in a file."""
    with connect(scratch=path.parent, spec=plan) as connection:
        doubtful = _mark(connection, path, table, person)
        mentioned = person.mentioned if table is MESSAGES else "false"
        ((rows, mentions),) = connection.execute(
            f"SELECT count(*) FILTER (theirs), count(*) FILTER (NOT theirs AND {mentioned}) FROM marked"
        ).fetchall()
        return Hits(rows=rows, doubtful=doubtful, mentions=mentions)


def rewrite_files(
    paths: Sequence[Path],
    table: Table,
    *,
    name: str,
    plan: RunSpec,
    output: OutputStore,
    scratch: Path,
    without: Person | None = None,
    counted: Path | None = None,
) -> DataFile | None:
    """Write the rows of some files of one day to one file, sorted as a publisher sorts; None when no row is left.

    Args:
        plan: as of the run that wrote the rows, whose id they keep.
        without: whose rows are left out.
        counted: where what the aggregates need of the rows that stay goes, as Parquet.
    """
    with connect(scratch=scratch, spec=plan) as connection:
        for number, path in enumerate(paths):
            _mark(connection, path, table, without, view=f"marked_{number}")
        kept = " UNION ALL BY NAME ".join(f"SELECT * FROM marked_{n} WHERE NOT theirs" for n in range(len(paths)))
        if counted:
            columns = ", ".join(COUNTED)
            connection.execute(f"COPY (SELECT {columns} FROM ({kept})) TO {quote_text(str(counted))} (FORMAT parquet)")
        query = f"FROM ({kept}) ORDER BY {ORDERS[table]}"
        return write_rows(connection, query, table=table, name=name, spec=plan, output=output, scratch=scratch)


def extract_counted(path: Path, counted: Path, *, plan: RunSpec) -> None:
    """Lay down what the aggregates need of a file of messages, as Parquet."""
    with connect(scratch=path.parent, spec=plan) as connection:
        _mark(connection, path, MESSAGES, None)
        columns = ", ".join(COUNTED)
        connection.execute(f"COPY (SELECT {columns} FROM marked) TO {quote_text(str(counted))} (FORMAT parquet)")


def count_again(
    counted: Sequence[Path], *, plan: RunSpec, output: OutputStore, scratch: Path
) -> dict[str, tuple[DataFile, ...]]:
    """The day's aggregates of the messages that are left, by the kernel's own sums."""
    with connect(scratch=scratch, spec=plan) as connection:
        paths = ", ".join(quote_text(str(path)) for path in counted)
        types = ", ".join(
            f"NULL::{column.type} AS {column.name}" for column in MESSAGES.columns if column.name in COUNTED
        )
        source = f"read_parquet([{paths}])" if counted else f"(SELECT {types}) WHERE false"
        connection.execute(f"CREATE VIEW kept AS FROM {source}")
        partials = {name: scratch / f"{name}.parquet" for name in PARTIALS}
        for name, path in partials.items():
            connection.execute(f"COPY ({PARTIALS[name]}) TO {quote_text(str(path))} (FORMAT parquet)")
    return merge_aggregates([partials], spec=plan, output=output, scratch=scratch)


def count_rows(paths: Sequence[Path]) -> int:
    """How many rows there are in some files."""
    if not paths:
        return 0
    with duckdb.connect() as connection:
        listed = ", ".join(quote_text(str(path)) for path in paths)
        ((rows,),) = connection.execute(f"SELECT count(*) FROM read_parquet([{listed}])").fetchall()
        return int(rows)


def read_run(path: Path) -> tuple[str, int] | None:
    """The run that wrote a file's rows, and when it began in microseconds; None for a file without rows."""
    with duckdb.connect() as connection:
        query = f"SELECT run_id, epoch_us(processed_at) FROM read_parquet({quote_text(str(path))}) LIMIT 1"
        return next(iter(connection.execute(query).fetchall()), None)


def _mark(
    connection: duckdb.DuckDBPyConnection, path: Path, table: Table, person: Person | None, *, view: str = "marked"
) -> int:
    """Make a view of a file with every column of the table, and `theirs`; return how many of those are doubtful."""
    source = f"read_parquet({quote_text(str(path))}, file_row_number = true, hive_partitioning = false)"
    known = {name for name, *_ in connection.execute(f"DESCRIBE FROM {source}").fetchall()}
    # A file that is older than a column of the contract lacks it.
    columns = ", ".join(c.name if c.name in known else f"NULL::{c.type} AS {c.name}" for c in table.columns)
    doubtful, condition = 0, "false"
    if person is not None and table is REJECTS:
        theirs, doubtful = _find_rejects(connection, source, person)
        connection.execute(f"CREATE TEMP TABLE rows_of_{view} (number BIGINT)")
        if theirs:
            numbers = ", ".join(f"({number})" for number in theirs)
            connection.execute(f"INSERT INTO rows_of_{view} VALUES {numbers}")
        condition = f"file_row_number IN (FROM rows_of_{view})"
    elif person is not None:
        condition = person.condition(table)
    connection.execute(f"CREATE VIEW {view} AS SELECT {columns}, {condition} AS theirs FROM {source}")
    return doubtful


def _find_rejects(connection: duckdb.DuckDBPyConnection, source: str, person: Person) -> tuple[list[int], int]:
    names = ("file_row_number", "source_key", "source_line", "detail", "raw", "raw_truncated")
    rows = connection.execute(f"SELECT {', '.join(names)} FROM {source}")
    found: list[int] = []
    doubtful = 0
    while batch := rows.fetchmany(FETCHED):
        for number, key, line, detail, raw, truncated in batch:
            why = person.owns_reject(
                key=key, line=line, detail=detail or "", raw=bytes(raw or b""), truncated=truncated
            )
            doubtful += why == "doubtful"
            if why:
                found.append(number)
    return found, doubtful


# A day, the run whose rows are written, and when that began in microseconds since 1970 UTC.
MakePlan = Callable[[date, str, int], RunSpec]


def plan_upkeep(settings: Settings, *, tenant: str, table_format: TableFormat) -> MakePlan:
    """Plans of any day; what concerns the reading of objects is left empty, for none is read."""

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
