"""Rows to one Parquet file in a table's folder, under a name that no commit knows yet, with its statistics."""

import json
import uuid
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import duckdb

from daily_batch.domain.calendar import to_us
from daily_batch.domain.contract import MESSAGES, Column, Table
from daily_batch.domain.keys import analytics_folder, staged_path
from daily_batch.domain.run import ColumnStatistics, DataFile, RunSpec
from daily_batch.pipeline.transform.duckdb_session import quote_text
from daily_batch.pipeline.transform.fields import ARRAYS
from daily_batch.pipeline.transform.normalize import local_hour
from daily_batch.pipeline.transform.statistics import timestamp_maximum, timestamp_minimum

# Rows of a message are about a kilobyte: 30 MB of content, of which a reader of one room skips all but one group.
ROW_GROUP = 30_720
# A group is in memory several times; a task with little memory writes smaller ones.
ROW_GROUP_SHARE = 8_192
SMALL_ZSTD = "COMPRESSION zstd, COMPRESSION_LEVEL 1"


class OutputStore(Protocol):
    """What writing needs of an obstore store."""

    def put(self, path: str, file: Path) -> Any:
        """Store a local file, whole or not at all."""


def partition_folder(plan: RunSpec) -> str:
    """The day's folder in a table: Delta's partition, or what Athena and Synapse read as Hive partitions."""
    year, month, day = plan.date.split("-")
    return f"date={plan.date}" if plan.table_format == "delta" else f"year={year}/month={month}/day={day}"


def write_rows(
    connection: duckdb.DuckDBPyConnection,
    query: str,
    *,
    table: Table,
    name: str,
    plan: RunSpec,
    output: OutputStore,
    scratch: Path,
) -> DataFile | None:
    """Write a query's rows, which lack `date`, `run_id` and `processed_at`; None when there are none.

    `name` tells files of a run apart; a retried task never overwrites what an earlier attempt wrote.
    """
    constants = {
        "date": f"DATE '{plan.date}'",
        "run_id": quote_text(plan.run_id),
        "processed_at": f"make_timestamptz({plan.processed_us})",
    }
    # Delta keeps the partition's value in its log and in the folder's name.
    columns = [column for column in table.columns if plan.table_format == "parquet" or column.name != "date"]
    present = next(column.name for column in columns if column.name not in constants)
    chosen = ", ".join(_select_nullable(column, constants.get(column.name), present) for column in columns)
    local = scratch / f"{table.name}-{name}.parquet"
    row_group = min(ROW_GROUP, plan.limits.memory_bytes // ROW_GROUP_SHARE)
    row = connection.execute(
        f"COPY (SELECT {chosen} FROM ({query})) TO {quote_text(str(local))}"
        f" (FORMAT parquet, {SMALL_ZSTD}, ROW_GROUP_SIZE {row_group}, RETURN_STATS)"
    ).fetchall()
    if not row or row[0][1] == 0:
        local.unlink(missing_ok=True)
        return None
    _, count, size, _, statistics, *_ = row[0]
    path = f"{partition_folder(plan)}/{plan.run_id}-{name}-{uuid.uuid4().hex[:12]}.parquet"
    # A Delta file is in no commit yet. A plain one waits where readers do not look, until the sums are known to hold.
    stored = path if plan.table_format == "delta" else staged_path(path, plan.date)
    output.put(f"{analytics_folder(plan.tenant)}/{table.name}/{stored}", local)
    local.unlink()
    indexed = [column for column in columns if column.name in table.statistics]
    return DataFile(
        path=path,
        rows=count,
        bytes=size,
        statistics={column.name: _bounds(column, statistics[f'"{column.name}"']) for column in indexed},
    )


def _select_nullable(column: Column, constant: str | None, present: str) -> str:
    """Select a column so that every file calls it OPTIONAL.

    DuckDB 2.0.0 writes REQUIRED where its statistics know of no null, so the schema would follow the day's values, and
    has no option against it. A CASE without ELSE may be null as far as they know; its branch that is always taken is
    not copied. A constant needs a condition on some column (`present`), or it would be folded.
    """
    if constant is None:
        return f"CASE WHEN {column.name} IS NOT NULL THEN {column.name}::{column.type} END AS {column.name}"
    value = f"{constant}::{column.type}"
    return f"CASE WHEN {present} IS NOT NULL THEN {value} WHEN {present} IS NULL THEN {value} END AS {column.name}"


def _bounds(column: Column, found: Mapping[str, str]) -> ColumnStatistics:
    # A bound that DuckDB cut is no bound for other readers.
    low = found.get("min") if found.get("min_is_exact") == "true" else None
    high = found.get("max") if found.get("max_is_exact") == "true" else None
    return ColumnStatistics(
        minimum=None if low is None else _to_json(low, column.type, up=False),
        maximum=None if high is None else _to_json(high, column.type, up=True),
        nulls=int(found["null_count"]),
    )


def _to_json(text: str, kind: str, *, up: bool) -> str | int:
    if kind in ("INTEGER", "BIGINT"):
        return int(text)
    if kind != "TIMESTAMPTZ":
        return text
    microseconds = to_us(datetime.fromisoformat(text))
    return timestamp_maximum(microseconds) if up else timestamp_minimum(microseconds)


# What is the same for a whole run is added where the files are written.
RUN_COLUMNS = ("date", "run_id", "processed_at")
_TYPES = {"text": "VARCHAR", "integer": "BIGINT", "number": "DOUBLE"}


def typed_array(name: str) -> str:
    """Return the expression of an array column: its JSON text as the contract's type."""
    types = json.dumps([{field: _TYPES[kind] for field, kind in ARRAYS[name].items()}])
    return f"json_transform({name}, '{types}')"


ATTACHMENT_COUNT = "coalesce(json_array_length(attachments), 0)::INTEGER"


def published_columns(plan: RunSpec) -> str:
    """Return the select list of `messages`, less what is the same for a whole run, over a row of the map."""
    derived = {
        "hour": local_hour(plan),
        "has_attachments": f"{ATTACHMENT_COUNT} > 0",
        "attachment_count": ATTACHMENT_COUNT,
        "flags": "CASE WHEN flags IS NULL THEN [] ELSE string_split(flags, ',') END",
        **{name: typed_array(name) for name in ARRAYS},
    }
    names = [name for name in MESSAGES.names if name not in RUN_COLUMNS]
    return ", ".join(f"{derived[name]} AS {name}" if name in derived else name for name in names)
