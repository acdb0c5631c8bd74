"""Aggregate the messages and turns of a bucket of whole rooms partially; `merge_parts` merges the buckets'."""

from pathlib import Path

import duckdb

from daily_batch.pipeline.transform.duckdb_session import quote_text
from daily_batch.pipeline.transform.response_times import RESPONSES_OF_ROOMS

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
# Users have messages in many buckets, so that these are divided by user; the others belong to one bucket.
_BY_USER = ("users", "responses")


def save_partials(
    connection: duckdb.DuckDBPyConnection, folder: Path, *, bucket: int = 0, parts: int = 1
) -> list[dict[str, Path]]:
    """Write the partial aggregates of the tables `kept` and `turns`, which hold whole rooms, to Parquet files.

    Returns:
        For each part of the merge, the files by their names in PARTIALS. Each user is in one part.
    """
    saved: list[dict[str, Path]] = [{} for _ in range(parts)]

    def save(part: int, name: str, query: str) -> None:
        saved[part][name] = folder / f"{name}-{bucket}-{part}.parquet"
        save_query(connection, query, saved[part][name])

    for name, query in PARTIALS.items():
        if parts == 1 or name not in _BY_USER:
            save(bucket % parts, name, query)
            continue
        by_part = f"SELECT *, hash(user_id) % {parts} AS part FROM ({query})"
        connection.execute(f"CREATE TEMP TABLE {name}_by_part AS {by_part}")
        for part in range(parts):
            save(part, name, f"SELECT * EXCLUDE part FROM {name}_by_part WHERE part = {part}")
    return saved


def save_query(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> None:
    """Write the rows of a query to a Parquet file."""
    connection.execute(f"COPY ({query}) TO {quote_text(str(path))} (FORMAT parquet)")
