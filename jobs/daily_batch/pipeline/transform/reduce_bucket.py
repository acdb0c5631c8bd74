"""Reduce: deduplicate, sort and write a bucket of whole rooms, and aggregate it partially for the day's summaries."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from daily_batch.domain.codes import Flag, Reason
from daily_batch.domain.contract import MESSAGES, REJECTS, ROOMS_DAILY, SUMMARY_DAILY, TOTALS, USERS_DAILY, Table
from daily_batch.domain.run import DataFile, RunSpec
from daily_batch.pipeline.transform.duckdb_session import connect, quote_text
from daily_batch.pipeline.transform.fields import ARRAYS, MAX_BIGINT
from daily_batch.pipeline.transform.normalize import ROW_COLUMNS, local_hour
from daily_batch.pipeline.transform.outcomes import Counts
from daily_batch.pipeline.transform.row_buffer import RowSet
from daily_batch.pipeline.transform.unknown_fields import count_fields
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
# Order in which the first of several records with one key wins; the last terms make it independent of arrival order.
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
# Partial sums may exceed any BIGINT. Parquet has no HUGEINT; DuckDB would write a DOUBLE.
SUM_TYPE = "DECIMAL(38, 0)"
TOTAL_NAMES = tuple(column.name for column in TOTALS)


@dataclass(frozen=True)
class ReduceResult:
    """The outcome of a bucket: its data file, partial aggregates, and counts.

    `partials` maps the names in PARTIALS to Parquet files; `originals` is a Parquet file of record locations (see
    `original_bytes`).
    """

    files: tuple[DataFile, ...]
    partials: Mapping[str, Path]
    originals: Path
    counts: Counts


def reduce_bucket(
    bucket: int,
    rows: RowSet,
    *,
    connection: duckdb.DuckDBPyConnection,
    spec: RunSpec,
    output: OutputStore,
    scratch: Path,
) -> ReduceResult:
    """Write the published rows of one bucket.

    Args:
        rows: Tables of `connection` and the bucket's own files, from all tasks of the map, in any order.
        connection: Used for this bucket only.
    """
    counts = _deduplicate(connection, rows.select(bucket), spec)
    originals = scratch / f"originals-{bucket}.parquet"
    _save(connection, ORIGINALS, originals)
    file = write_rows(
        connection,
        # Columns are typed and derived after the sort, so that the sort moves less data.
        f"SELECT {published_columns(spec)} FROM (FROM kept_rows ORDER BY room_id, timestamp, message_id)",
        table=MESSAGES,
        name=f"{bucket:05d}",
        spec=spec,
        output=output,
        scratch=scratch,
    )
    partials = {name: scratch / f"{name}-{bucket}.parquet" for name in PARTIALS}
    for name, path in partials.items():
        _save(connection, PARTIALS[name], path)
    counts.written = file.rows if file else 0
    counts.flags = Counter(dict(connection.execute(FLAG_COUNTS).fetchall()))
    counts.unknown_fields, counts.other_unknown_fields = count_fields(connection)
    return ReduceResult((file,) if file else (), partials, originals, counts)


def _deduplicate(connection: duckdb.DuckDBPyConnection, rows: str, spec: RunSpec) -> Counts:
    """Create the view `kept_rows`, the table `kept` (its columns that the aggregates need), and the table `losers`.

    `losers` holds the rows that are not kept; its column `same` distinguishes duplicates from superseded records.
    """
    connection.execute(f"CREATE TEMP VIEW run AS {rows}")
    # Grouping by a hash is cheaper than by two texts; a hash collision only means that more rows are compared.
    connection.execute(f"CREATE TEMP TABLE twice AS SELECT {KEY_HASH} AS key FROM run GROUP BY key HAVING count(*) > 1")
    # Compare nothing if no key repeats: scanning all columns would be the second most expensive step.
    ((some,),) = connection.execute("SELECT count(*) > 0 FROM twice").fetchall()
    contenders = f"run SEMI JOIN twice ON {KEY_HASH} = key" if some else "run WHERE false"
    # The few rows with a repeated key are compared by body, which is every column except the lineage.
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
    ((duplicates, superseded),) = connection.execute(
        "SELECT count(*) FILTER (same), count(*) FILTER (NOT same) FROM losers"
    ).fetchall()
    without = " ANTI JOIN losers USING (source_key, source_line, start)" if some else ""
    connection.execute(f"CREATE TEMP VIEW kept_rows AS FROM run{without}")
    connection.execute(f"""
        CREATE TEMP TABLE kept AS SELECT room_id, user_id, role, timestamp, {local_hour(spec)} AS hour, message_length,
            {ATTACHMENT_COUNT} AS attachment_count, tokens_used, flags
        FROM kept_rows
    """)
    return Counts(duplicates=duplicates, superseded=superseded)


FLAG_COUNTS = "SELECT flag, count(*) FROM (SELECT unnest(string_split(flags, ',')) AS flag FROM kept) GROUP BY flag"


def _group_query(*keys: str, unique: str = "", where: str = "") -> str:
    sums = ", ".join(
        f"CAST({expression} AS {'TIMESTAMPTZ' if name.endswith('_at') else SUM_TYPE}) AS {name}"
        for name, expression in SUMS.items()
    )
    extra = f", {unique}" if unique else ""
    return f"SELECT {', '.join(keys)}{extra}, {sums} FROM kept {where} GROUP BY {', '.join(keys)}"


# Records whose original bytes go to rejects: only the reduce knows which records lost, and which repaired ones were
# published.
ORIGINALS = f"""
    SELECT source_key, source_line, start, length, '{Reason.SUPERSEDED}' AS reason FROM losers WHERE NOT same
    UNION ALL
    SELECT source_key, source_line, start, length, '{Flag.REPLACED_SURROGATE}' FROM kept_rows
    WHERE contains(flags, '{Flag.REPLACED_SURROGATE}')
"""
PARTIALS = {
    "rooms": _group_query("room_id", unique="count(DISTINCT user_id) AS unique_users"),
    "users": _group_query(
        "user_id", unique="count(DISTINCT room_id) AS unique_rooms", where="WHERE user_id IS NOT NULL"
    ),
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
    return f"{_null_if_overflow(f'coalesce(sum({name}), 0)')} AS {name}"


def _null_if_overflow(total: str) -> str:
    """Return the expression of a sum, null if it does not fit its column."""
    return f"CASE WHEN {total} <= {MAX_BIGINT} THEN CAST({total} AS BIGINT) END"


SUMMED = ", ".join(_sum(name) for name in TOTAL_NAMES)
NULL_IF_OVERFLOW = ", ".join(
    f"{name if name.endswith('_at') else _null_if_overflow(name)} AS {name}" for name in TOTAL_NAMES
)
MERGED = {
    ROOMS_DAILY: f"SELECT room_id, unique_users, {NULL_IF_OVERFLOW} FROM rooms ORDER BY room_id",
    # A room is in exactly one bucket, so a user's rooms in different buckets are different rooms.
    USERS_DAILY: f"""
        SELECT user_id, sum(unique_rooms) AS unique_rooms, {SUMMED} FROM users GROUP BY user_id ORDER BY user_id""",
    SUMMARY_DAILY: f"""
        SELECT (SELECT count(DISTINCT user_id) FROM users) AS unique_users, count(*) AS unique_rooms, {SUMMED},
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
        for table, query in MERGED.items():
            file = write_rows(connection, query, table=table, name="all", spec=spec, output=output, scratch=scratch)
            files[table.name] = (file,) if file else ()
    return files


def write_rejects(
    parts: Sequence[Path], *, name: str, spec: RunSpec, output: OutputStore, scratch: Path
) -> tuple[DataFile, ...]:
    """Write one file of rejects from the files of the map's tasks."""
    if not parts:
        return ()
    paths = ", ".join(quote_text(str(path)) for path in parts)
    with connect(scratch=scratch, spec=spec) as connection:
        query = f"FROM read_parquet([{paths}]) ORDER BY source_key, source_line"
        file = write_rows(connection, query, table=REJECTS, name=name, spec=spec, output=output, scratch=scratch)
    return (file,) if file else ()
