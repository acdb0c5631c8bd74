"""Reduce: a bucket of whole rooms, deduplicated, sorted and written, with what the day's aggregates need of it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from daily_batch.domain.contract import (
    MESSAGES,
    REJECTS,
    ROOMS_DAILY,
    SUMMARY_DAILY,
    TOTALS,
    USERS_DAILY,
    Flag,
    Reason,
    Table,
)
from daily_batch.domain.run import DataFile, RunSpec
from daily_batch.pipeline.transform.duckdb_session import connect, quote_text
from daily_batch.pipeline.transform.fields import ARRAYS, MAX_BIGINT
from daily_batch.pipeline.transform.normalize import ROW_COLUMNS, local_hour
from daily_batch.pipeline.transform.outcomes import Counts
from daily_batch.pipeline.transform.row_buffer import RowSet
from daily_batch.pipeline.transform.write import (
    ATTACHMENT_COUNT,
    RUN_COLUMNS,
    OutputStore,
    published_columns,
    typed_array,
    write_rows,
)

LINEAGE_COLUMNS = ("source_key", "source_line")
KEY_HASH = "hash(room_id, message_id)"
# Which of two records with one key wins; the last terms make it the same in whatever order they come.
PRECEDENCE = "timestamp DESC, modified_us DESC, source_key DESC, source_line DESC, start DESC"

SUMS = {
    "messages": "count(*)",
    "user_messages": "count(*) FILTER (role = 'user')",
    "assistant_messages": "count(*) FILTER (role = 'assistant')",
    "total_length": "coalesce(sum(message_length), 0)",
    "tokens_used": "coalesce(sum(tokens_used), 0)",
    "attachments": "coalesce(sum(attachment_count), 0)",
    "first_at": "min(timestamp)",
    "last_at": "max(timestamp)",
}
# Partial sums may be larger than any BIGINT. Parquet has no HUGEINT: DuckDB would write a DOUBLE.
SUM_TYPE = "DECIMAL(38, 0)"
TOTAL_NAMES = tuple(column.name for column in TOTALS)


@dataclass(frozen=True)
class ReduceResult:
    """What came of a bucket: its file, partial aggregates by name and the places `wanted` (Parquet), and counts."""

    files: tuple[DataFile, ...]
    partials: Mapping[str, Path]
    wanted: Path
    counts: Counts


def reduce_bucket(
    bucket: int,
    rows: RowSet,
    *,
    connection: duckdb.DuckDBPyConnection,
    plan: RunSpec,
    output: OutputStore,
    scratch: Path,
) -> ReduceResult:
    """Write the publishable rows of one bucket.

    Args:
        rows: tables of `connection`, and the bucket's own files, in any order, from every task of the map.
        connection: used for this bucket alone.
    """
    counts = _separate(connection, rows.select(bucket), plan)
    wanted = scratch / f"wanted-{bucket}.parquet"
    _save(connection, WANTED, wanted)
    file = write_rows(
        connection,
        # Typed and derived behind the sort, which carries less then.
        f"SELECT {published_columns(plan)} FROM (FROM kept_rows ORDER BY room_id, timestamp, message_id)",
        table=MESSAGES,
        name=f"{bucket:05d}",
        plan=plan,
        output=output,
        scratch=scratch,
    )
    partials = {name: scratch / f"{name}-{bucket}.parquet" for name in PARTIALS}
    for name, path in partials.items():
        _save(connection, PARTIALS[name], path)
    counts.written = file.rows if file else 0
    counts.flags = Counter(dict(connection.execute(FLAG_COUNTS).fetchall()))
    return ReduceResult((file,) if file else (), partials, wanted, counts)


def _separate(connection: duckdb.DuckDBPyConnection, rows: str, plan: RunSpec) -> Counts:
    """Make the views `kept_rows`, with what the aggregates need of it `kept`, and the table `losers`.

    `losers` is what is not kept; `same` tells duplicates from superseded.
    """
    connection.execute(f"CREATE TEMP VIEW run AS {rows}")
    # By hash, which is cheaper to group than two texts: two keys with one hash only mean that more rows are compared.
    connection.execute(f"CREATE TEMP TABLE twice AS SELECT {KEY_HASH} AS key FROM run GROUP BY key HAVING count(*) > 1")
    # Without any, nothing is compared: the scan of all columns for it would be the dearest step but the last.
    ((some,),) = connection.execute("SELECT count(*) > 0 FROM twice").fetchall()
    contenders = f"run SEMI JOIN twice ON {KEY_HASH} = key" if some else "run WHERE false"
    # The few rows whose key comes twice are compared as a whole: a body is every column but its lineage.
    body = ", ".join(
        typed_array(name) if name in ARRAYS else name for name in ROW_COLUMNS if name not in LINEAGE_COLUMNS
    )
    connection.execute(f"""
        CREATE TEMP TABLE losers AS
        SELECT source_key, source_line, start, length, copy > 1 AS same FROM (
            SELECT *, row_number() OVER (PARTITION BY room_id, message_id ORDER BY {PRECEDENCE}) AS place,
                   row_number() OVER (PARTITION BY {body} ORDER BY {PRECEDENCE}) AS copy
            FROM (SELECT * FROM {contenders}))
        WHERE place > 1
    """)
    ((same, other),) = connection.execute(
        "SELECT count(*) FILTER (same), count(*) FILTER (NOT same) FROM losers"
    ).fetchall()
    without = " ANTI JOIN losers USING (source_key, source_line, start)" if some else ""
    connection.execute(f"CREATE TEMP VIEW kept_rows AS FROM run{without}")
    connection.execute(f"""
        CREATE TEMP TABLE kept AS SELECT room_id, user_id, role, timestamp, {local_hour(plan)} AS hour, message_length,
            {ATTACHMENT_COUNT} AS attachment_count, tokens_used, flags
        FROM kept_rows
    """)
    return Counts(duplicates=same, superseded=other)


FLAG_COUNTS = "SELECT flag, count(*) FROM (SELECT unnest(string_split(flags, ',')) AS flag FROM kept) GROUP BY flag"


def _grouped(*keys: str, unique: str = "", where: str = "") -> str:
    sums = ", ".join(
        f"CAST({expression} AS {'TIMESTAMPTZ' if name.endswith('_at') else SUM_TYPE}) AS {name}"
        for name, expression in SUMS.items()
    )
    extra = f", {unique}" if unique else ""
    return f"SELECT {', '.join(keys)}{extra}, {sums} FROM kept {where} GROUP BY {', '.join(keys)}"


# Whose original bytes go to rejects: only here is known which records lost, and which with a repair were published.
WANTED = f"""
    SELECT source_key, source_line, start, length, '{Reason.SUPERSEDED}' AS reason FROM losers WHERE NOT same
    UNION ALL
    SELECT source_key, source_line, start, length, '{Flag.REPLACED_SURROGATE}' FROM kept_rows
    WHERE contains(flags, '{Flag.REPLACED_SURROGATE}')
"""
PARTIALS = {
    "rooms": _grouped("room_id", unique="count(DISTINCT user_id) AS unique_users"),
    "users": _grouped("user_id", unique="count(DISTINCT room_id) AS unique_rooms", where="WHERE user_id IS NOT NULL"),
    "hours": "SELECT hour, role, count(*) AS messages FROM kept GROUP BY hour, role",
}


def _column_types(table: Table) -> str:
    sums = {column.name for column in TOTALS if column.type == "BIGINT"}
    return ", ".join(
        f"{column.name} {SUM_TYPE if column.name in sums else column.type}"
        for column in table.columns
        if column.name not in RUN_COLUMNS
    )


PARTIAL_COLUMNS = {
    "rooms": _column_types(ROOMS_DAILY),
    "users": _column_types(USERS_DAILY),
    "hours": "hour INTEGER, role VARCHAR, messages BIGINT",
}


def _save(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> None:
    connection.execute(f"COPY ({query}) TO {quote_text(str(path))} (FORMAT parquet)")


def _sum(name: str) -> str:
    if name.endswith("_at"):
        return f"{'min' if name == 'first_at' else 'max'}({name}) AS {name}"
    return f"{_fitting(f'coalesce(sum({name}), 0)')} AS {name}"


def _fitting(total: str) -> str:
    """A sum that does not fit its column is null."""
    return f"CASE WHEN {total} <= {MAX_BIGINT} THEN CAST({total} AS BIGINT) END"


ADDED = ", ".join(_sum(name) for name in TOTAL_NAMES)
FITTING = ", ".join(f"{name if name.endswith('_at') else _fitting(name)} AS {name}" for name in TOTAL_NAMES)
COMBINED = {
    ROOMS_DAILY: f"SELECT room_id, unique_users, {FITTING} FROM rooms ORDER BY room_id",
    # A room lies in one bucket, so a user's rooms in different buckets are different rooms.
    USERS_DAILY: f"""
        SELECT user_id, sum(unique_rooms) AS unique_rooms, {ADDED} FROM users GROUP BY user_id ORDER BY user_id""",
    SUMMARY_DAILY: f"""
        SELECT (SELECT count(DISTINCT user_id) FROM users) AS unique_users, count(*) AS unique_rooms, {ADDED},
               sum(total_length)::BIGINT / sum(messages)::BIGINT AS average_length,
               (SELECT list(coalesce(n, 0) ORDER BY h) FROM range(24) AS every(h)
                LEFT JOIN (SELECT hour, sum(messages) AS n FROM hours GROUP BY hour) ON h = hour) AS messages_by_hour,
               (SELECT coalesce(list({{'role': role, 'messages': n}} ORDER BY role), [])
                FROM (SELECT role, sum(messages) AS n FROM hours GROUP BY role)) AS messages_by_role
        FROM rooms""",
}


def merge_aggregates(
    partials: Sequence[Mapping[str, Path]], *, plan: RunSpec, output: OutputStore, scratch: Path
) -> dict[str, tuple[DataFile, ...]]:
    """The day's aggregates from the buckets' partial ones, by table name; an empty day has a summary of zeros."""
    files: dict[str, tuple[DataFile, ...]] = {}
    with connect(scratch=scratch, plan=plan) as connection:
        for name, columns in PARTIAL_COLUMNS.items():
            connection.execute(f"CREATE TEMP TABLE {name} ({columns})")
            if partials:
                paths = ", ".join(quote_text(str(part[name])) for part in partials)
                connection.execute(f"INSERT INTO {name} BY NAME FROM read_parquet([{paths}])")
        for table, query in COMBINED.items():
            file = write_rows(connection, query, table=table, name="all", plan=plan, output=output, scratch=scratch)
            files[table.name] = (file,) if file else ()
    return files


def write_rejects(
    parts: Sequence[Path], *, name: str, plan: RunSpec, output: OutputStore, scratch: Path
) -> tuple[DataFile, ...]:
    """One file of rejects from the files of the map's tasks."""
    if not parts:
        return ()
    paths = ", ".join(quote_text(str(path)) for path in parts)
    with connect(scratch=scratch, plan=plan) as connection:
        query = f"FROM read_parquet([{paths}]) ORDER BY source_key, source_line"
        file = write_rows(connection, query, table=REJECTS, name=name, plan=plan, output=output, scratch=scratch)
    return (file,) if file else ()
