"""Merge the buckets' partial aggregates: parts with users and rooms of their own, then the day's summary.

A usual day is one part. A day of many messages has more, so that no process holds the aggregates of all of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from daily_batch.domain.contract import ROOMS_DAILY, RUN_COLUMNS, SUMMARY_DAILY, TOTALS, USERS_DAILY, Table
from daily_batch.domain.run import DataFile, RunSpec
from daily_batch.pipeline.transform.aggregate import SUM_TYPE, save_query
from daily_batch.pipeline.transform.duckdb_session import connect, quote_text
from daily_batch.pipeline.transform.fields import MAX_BIGINT
from daily_batch.pipeline.transform.response_times import RANKS, RESPONSES_OF_DAY, summarize_responses
from daily_batch.pipeline.transform.write import OutputStore, write_rows

# Parquet files of partial aggregates, by their names in PARTIALS or PART_SUMS.
Partials = Mapping[str, Sequence[Path]]
Files = dict[str, tuple[DataFile, ...]]
TOTAL_NAMES = tuple(column.name for column in TOTALS)


def _column_types(table: Table) -> str:
    """Return the columns of a table of partial aggregates, whose sums may exceed the contract's types."""
    return ", ".join(
        f"{column.name} {_sum_type(column.name, column.type)}"
        for column in table.columns
        if column.name not in RUN_COLUMNS
    )


def _sum_type(name: str, contract_type: str) -> str:
    return SUM_TYPE if name in TOTAL_NAMES and contract_type == "BIGINT" else contract_type


PARTIAL_COLUMNS = {
    "rooms": _column_types(ROOMS_DAILY),
    "users": _column_types(USERS_DAILY),
    "hours": "hour INTEGER, role VARCHAR, messages BIGINT",
    "responses": "user_id VARCHAR, response_ms BIGINT",
}


def _add(name: str) -> str:
    """Return the expression of a total over several rows."""
    if name.endswith("_at"):
        return f"{'min' if name == 'first_at' else 'max'}({name})"
    return f"coalesce(sum({name}), 0)"


def _null_if_overflow(total: str) -> str:
    """Return the expression of a sum, null if it does not fit its column."""
    return f"CASE WHEN {total} <= {MAX_BIGINT} THEN CAST({total} AS BIGINT) END"


def _final(name: str, total: str) -> str:
    return f"{total if name.endswith('_at') else _null_if_overflow(total)} AS {name}"


SUMMED = ", ".join(_final(name, _add(name)) for name in TOTAL_NAMES)
RESPONSE_COLUMNS = "coalesce(answers, 0) AS answers, response_median_ms, response_p95_ms"
MERGED = {
    ROOMS_DAILY: f"""
        SELECT room_id, unique_users, {", ".join(_final(name, name) for name in TOTAL_NAMES)}, {RESPONSE_COLUMNS}
        FROM rooms ORDER BY room_id""",
    # A room is in exactly one bucket, so a user's rooms in different buckets are different rooms.
    USERS_DAILY: f"""
        SELECT user_id, unique_rooms, {", ".join(TOTAL_NAMES)}, {RESPONSE_COLUMNS} FROM (
            SELECT user_id, sum(unique_rooms) AS unique_rooms, {SUMMED} FROM users GROUP BY user_id)
        LEFT JOIN user_responses USING (user_id) ORDER BY user_id""",
}
# What the day's summary needs of a part: few rows, however many messages there are.
PART_SUMS = {
    "totals": f"""
        SELECT count(*) AS unique_rooms, (SELECT count(DISTINCT user_id) FROM users) AS unique_users,
               {", ".join(f"{_add(name)} AS {name}" for name in TOTAL_NAMES)} FROM rooms""",
    "roles_by_hour": "SELECT hour, role, sum(messages)::BIGINT AS messages FROM hours GROUP BY hour, role",
    "response_times": "SELECT response_ms, count(*) AS answers FROM responses GROUP BY response_ms",
}
PART_SUM_COLUMNS = {
    "totals": "unique_rooms BIGINT, unique_users BIGINT, "
    + ", ".join(f"{column.name} {_sum_type(column.name, column.type)}" for column in TOTALS),
    "roles_by_hour": PARTIAL_COLUMNS["hours"],
    "response_times": "response_ms BIGINT, answers BIGINT",
}
_SUMMARY = f"""
    SELECT coalesce(sum(unique_users), 0)::BIGINT AS unique_users,
           coalesce(sum(unique_rooms), 0)::BIGINT AS unique_rooms, {SUMMED},
           (SELECT coalesce(sum(answers), 0)::BIGINT FROM response_times) AS answers,
           {", ".join(f"(SELECT {name} FROM day_responses) AS {name}" for name in RANKS)},
           sum(total_length)::BIGINT / nullif(sum(messages), 0)::BIGINT AS average_length,
           (SELECT list(coalesce(n, 0) ORDER BY h) FROM range(24) AS every(h)
            LEFT JOIN (SELECT hour, sum(messages) AS n FROM roles_by_hour GROUP BY hour) ON h = hour)
               AS messages_by_hour,
           (SELECT coalesce(list({{'role': role, 'messages': n}} ORDER BY role), [])
            FROM (SELECT role, sum(messages) AS n FROM roles_by_hour GROUP BY role)) AS messages_by_role
    FROM totals"""


@dataclass(frozen=True)
class MergedPart:
    """The data files of a part by table, and its sums: Parquet files by their names in PART_SUMS."""

    files: Files
    sums: Mapping[str, Path]


def group_by_name(files: Iterable[Mapping[str, Path]]) -> dict[str, list[Path]]:
    """Return the files of each name."""
    grouped: dict[str, list[Path]] = {}
    for each in files:
        for name, path in each.items():
            grouped.setdefault(name, []).append(path)
    return grouped


def merge_aggregates(partials: Partials, *, spec: RunSpec, output: OutputStore, scratch: Path) -> Files:
    """Merge a day as one part, and summarize it; an empty day has a summary of zeros."""
    part = merge_part(partials, name="all", spec=spec, output=output, scratch=scratch)
    return part.files | summarize_day(group_by_name([part.sums]), spec=spec, output=output, scratch=scratch)


def merge_part(partials: Partials, *, name: str, spec: RunSpec, output: OutputStore, scratch: Path) -> MergedPart:
    """Write the aggregates of a part's rooms and users.

    Args:
        partials: The part's files of all buckets.
        name: Distinguishes the part's data files.
    """
    with connect(scratch=scratch, spec=spec) as connection:
        _load(connection, partials, PARTIAL_COLUMNS)
        of_users = "FROM responses WHERE user_id IS NOT NULL"
        summarize_responses(connection, of_users, by="user_id", name="user_responses")
        files: Files = {}
        for table, query in MERGED.items():
            file = write_rows(connection, query, table=table, name=name, spec=spec, output=output, scratch=scratch)
            files[table.name] = (file,) if file else ()
        sums = {kind: scratch / f"{kind}-{name}.parquet" for kind in PART_SUMS}
        for kind, path in sums.items():
            save_query(connection, PART_SUMS[kind], path)
    return MergedPart(files, sums)


def summarize_day(sums: Partials, *, spec: RunSpec, output: OutputStore, scratch: Path) -> Files:
    """Write the day's summary from the sums of all its parts."""
    with connect(scratch=scratch, spec=spec) as connection:
        _load(connection, sums, PART_SUM_COLUMNS)
        connection.execute(f"CREATE TEMP TABLE day_responses AS {RESPONSES_OF_DAY}")
        file = write_rows(
            connection, _SUMMARY, table=SUMMARY_DAILY, name="all", spec=spec, output=output, scratch=scratch
        )
    return {SUMMARY_DAILY.name: (file,) if file else ()}


def _load(connection: duckdb.DuckDBPyConnection, files: Partials, tables: Mapping[str, str]) -> None:
    for name, columns in tables.items():
        connection.execute(f"CREATE TEMP TABLE {name} ({columns})")
        if paths := ", ".join(quote_text(str(path)) for path in files.get(name, ())):
            connection.execute(f"INSERT INTO {name} BY NAME FROM read_parquet([{paths}])")
