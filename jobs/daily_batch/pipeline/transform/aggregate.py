"""Aggregate messages and turns: partially for a bucket of whole rooms, then for the day."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb

from daily_batch.domain.contract import ROOMS_DAILY, RUN_COLUMNS, SUMMARY_DAILY, TOTALS, USERS_DAILY, Table
from daily_batch.domain.run import DataFile, RunSpec
from daily_batch.pipeline.transform.duckdb_session import connect, quote_text
from daily_batch.pipeline.transform.fields import MAX_BIGINT
from daily_batch.pipeline.transform.response_times import RANKS, RESPONSES_OF_ROOMS, summarize_responses
from daily_batch.pipeline.transform.write import OutputStore, write_rows

SUMS = {
    "messages": "count(*)",
    "user_messages": "count(*) FILTER (role = 'user')",
    "assistant_messages": "count(*) FILTER (role = 'assistant')",
    "other_messages": "count(*) FILTER (role NOT IN ('user', 'assistant') OR role IS NULL)",
    "user_length": "coalesce(sum(message_length) FILTER (role = 'user'), 0)",
    "total_length": "coalesce(sum(message_length), 0)",
    "tokens_used": "coalesce(sum(tokens_used), 0)",
    "attachments": "coalesce(sum(attachment_count), 0)",
    "first_at": "min(timestamp)",
    "last_at": "max(timestamp)",
}
# Partial sums may exceed any BIGINT. Parquet has no HUGEINT; DuckDB would write a DOUBLE.
SUM_TYPE = "DECIMAL(38, 0)"
TOTAL_NAMES = tuple(column.name for column in TOTALS)


def _group_query(*keys: str, unique: str = "", where: str = "") -> str:
    sums = ", ".join(
        f"CAST({expression} AS {'TIMESTAMPTZ' if name.endswith('_at') else SUM_TYPE}) AS {name}"
        for name, expression in SUMS.items()
    )
    extra = f", {unique}" if unique else ""
    return f"SELECT {', '.join(keys)}{extra}, {sums} FROM kept {where} GROUP BY {', '.join(keys)}"


_ROOMS = _group_query("room_id", unique="count(DISTINCT user_id) AS unique_users")
# Queries over the tables `kept` (messages) and `turns`.
PARTIALS = {
    "rooms": f"SELECT * FROM ({_ROOMS}) LEFT JOIN ({RESPONSES_OF_ROOMS}) USING (room_id)",
    "users": _group_query(
        "user_id", unique="count(DISTINCT room_id) AS unique_rooms", where="WHERE user_id IS NOT NULL"
    ),
    "hours": "SELECT hour, role, count(*) AS messages FROM kept GROUP BY hour, role",
    "responses": "SELECT user_id, response_ms FROM turns WHERE response_ms IS NOT NULL",
}


def save_partials(connection: duckdb.DuckDBPyConnection, paths: Mapping[str, Path]) -> None:
    """Write the partial aggregates of the tables `kept` and `turns`, which hold whole rooms, to Parquet files."""
    for name, path in paths.items():
        save_query(connection, PARTIALS[name], path)


def save_query(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> None:
    """Write the rows of a query to a Parquet file."""
    connection.execute(f"COPY ({query}) TO {quote_text(str(path))} (FORMAT parquet)")


def _column_types(table: Table) -> str:
    """Return the columns of a table of partial aggregates, whose sums may exceed the contract's types."""
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
    "responses": "user_id VARCHAR, response_ms BIGINT",
}


def _sum(name: str) -> str:
    if name.endswith("_at"):
        return f"{'min' if name == 'first_at' else 'max'}({name}) AS {name}"
    return f"{_null_if_overflow(f'coalesce(sum({name}), 0)')} AS {name}"


def _null_if_overflow(total: str) -> str:
    """Return the expression of a sum, null if it does not fit its column."""
    return f"CASE WHEN {total} <= {MAX_BIGINT} THEN CAST({total} AS BIGINT) END"


SUMMED = ", ".join(_sum(name) for name in TOTAL_NAMES)
NULL_IF_OVERFLOW = ", ".join(
    f"{name if name.endswith('_at') else _null_if_overflow(name)} AS {name}" for name in TOTAL_NAMES
)
RESPONSE_COLUMNS = "coalesce(answers, 0) AS answers, response_median_ms, response_p95_ms"
MERGED = {
    ROOMS_DAILY: f"SELECT room_id, unique_users, {NULL_IF_OVERFLOW}, {RESPONSE_COLUMNS} FROM rooms ORDER BY room_id",
    # A room is in exactly one bucket, so a user's rooms in different buckets are different rooms.
    USERS_DAILY: f"""
        SELECT user_id, unique_rooms, {", ".join(TOTAL_NAMES)}, {RESPONSE_COLUMNS} FROM (
            SELECT user_id, sum(unique_rooms) AS unique_rooms, {SUMMED} FROM users GROUP BY user_id)
        LEFT JOIN user_responses USING (user_id) ORDER BY user_id""",
    SUMMARY_DAILY: f"""
        SELECT (SELECT count(DISTINCT user_id) FROM users) AS unique_users, count(*) AS unique_rooms, {SUMMED},
               (SELECT count(*) FROM responses) AS answers,
               {", ".join(f"(SELECT {name} FROM day_responses) AS {name}" for name in RANKS)},
               sum(total_length)::BIGINT / sum(messages)::BIGINT AS average_length,
               (SELECT list(coalesce(n, 0) ORDER BY h) FROM range(24) AS every(h)
                LEFT JOIN (SELECT hour, sum(messages) AS n FROM hours GROUP BY hour) ON h = hour) AS messages_by_hour,
               (SELECT coalesce(list({{'role': role, 'messages': n}} ORDER BY role), [])
                FROM (SELECT role, sum(messages) AS n FROM hours GROUP BY role)) AS messages_by_role
        FROM rooms""",
}


def merge_aggregates(
    partials: Sequence[Mapping[str, Path]], *, spec: RunSpec, output: OutputStore, scratch: Path
) -> dict[str, tuple[DataFile, ...]]:
    """Write the day's aggregates from the buckets' partial ones, by table name; an empty day has a summary of zeros."""
    files: dict[str, tuple[DataFile, ...]] = {}
    with connect(scratch=scratch, spec=spec) as connection:
        for name, columns in PARTIAL_COLUMNS.items():
            connection.execute(f"CREATE TEMP TABLE {name} ({columns})")
            if partials:
                paths = ", ".join(quote_text(str(part[name])) for part in partials)
                connection.execute(f"INSERT INTO {name} BY NAME FROM read_parquet([{paths}])")
        of_users = "FROM responses WHERE user_id IS NOT NULL"
        summarize_responses(connection, of_users, by="user_id", name="user_responses")
        of_day = "SELECT 1 AS day, response_ms FROM responses"
        summarize_responses(connection, of_day, by="day", name="day_responses")
        for table, query in MERGED.items():
            file = write_rows(connection, query, table=table, name="all", spec=spec, output=output, scratch=scratch)
            files[table.name] = (file,) if file else ()
    return files
