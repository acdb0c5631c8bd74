"""Write rows to one Parquet file in a table's folder, under a name that no commit contains yet, with statistics."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import duckdb

from daily_batch.domain.calendar import to_us
from daily_batch.domain.contract import MESSAGES, RUN_COLUMNS, Column, Table
from daily_batch.domain.keys import analytics_folder, staged_path
from daily_batch.domain.run import ColumnStatistics, DataFile, RunSpec
from daily_batch.pipeline.transform.duckdb_session import quote_text
from daily_batch.pipeline.transform.fields import ARRAYS
from daily_batch.pipeline.transform.normalize import local_hour
from daily_batch.pipeline.transform.statistics import timestamp_maximum, timestamp_minimum

# A message row takes about a kilobyte: a group holds 30 MB of content, and a reader of one room reads one group.
ROW_GROUP = 30_720
# A row group is in memory several times; a task with little memory writes smaller ones.
ROW_GROUP_SHARE = 8_192
SMALL_ZSTD = "COMPRESSION zstd, COMPRESSION_LEVEL 1"


class OutputStore(Protocol):
    """The part of an obstore store that writing uses."""

    def put(self, path: str, file: Path) -> Any:
        """Store a local file atomically."""


def size_row_group(spec: RunSpec) -> int:
    """Return the rows of a Parquet file's row groups, which suit a task's memory to write and to read."""
    return min(ROW_GROUP, spec.limits.memory_bytes // ROW_GROUP_SHARE)


def partition_folder(spec: RunSpec) -> str:
    """Return the day's folder in a table: Delta's partition, or the Hive partitions that Athena and Synapse read."""
    year, month, day = spec.date.split("-")
    return f"date={spec.date}" if spec.table_format == "delta" else f"year={year}/month={month}/day={day}"


@dataclass(frozen=True)
class LocalFile:
    """A Parquet file of a table on the local disk, to be uploaded."""

    local: Path
    table: Table
    file: DataFile

    def upload(self, *, spec: RunSpec, output: OutputStore) -> DataFile:
        """Store the file in its table's folder, and delete the local one."""
        # No commit refers to a new Delta file. A plain Parquet file is staged outside the readers' folders until the
        # audit passes.
        path = self.file.path
        stored = path if spec.table_format == "delta" else staged_path(path, spec.date)
        output.put(f"{analytics_folder(spec.tenant)}/{self.table.name}/{stored}", self.local)
        self.local.unlink()
        return self.file


def write_rows(
    connection: duckdb.DuckDBPyConnection,
    query: str,
    *,
    table: Table,
    name: str,
    spec: RunSpec,
    output: OutputStore,
    scratch: Path,
) -> DataFile | None:
    """Write a query's rows to the output as `write_file` does; return None if there are no rows."""
    written = write_file(connection, query, table=table, name=name, spec=spec, scratch=scratch)
    return written.upload(spec=spec, output=output) if written else None


def write_file(
    connection: duckdb.DuckDBPyConnection, query: str, *, table: Table, name: str, spec: RunSpec, scratch: Path
) -> LocalFile | None:
    """Write a query's rows to a local file and add `RUN_COLUMNS`; return None if there are no rows.

    Args:
        name: Distinguishes the files of a run. A retried task never overwrites the file of an earlier attempt.
    """
    constants = {
        "date": f"DATE '{spec.date}'",
        "tenant_id": quote_text(spec.tenant),
        "run_id": quote_text(spec.run_id),
        "processed_at": f"make_timestamptz({spec.processed_us})",
    }
    # Delta keeps the partition value in its log and in the folder's name.
    columns = [column for column in table.columns if spec.table_format == "parquet" or column.name != "date"]
    present = next(column.name for column in columns if column.name not in constants)
    chosen = ", ".join(_select_nullable(column, constants.get(column.name), present) for column in columns)
    local = scratch / f"{table.name}-{name}.parquet"
    row_group = size_row_group(spec)
    row = connection.execute(
        f"COPY (SELECT {chosen} FROM ({query})) TO {quote_text(str(local))}"
        f" (FORMAT parquet, {SMALL_ZSTD}, ROW_GROUP_SIZE {row_group}, RETURN_STATS)"
    ).fetchall()
    if not row or row[0][1] == 0:
        local.unlink(missing_ok=True)
        return None
    _, count, size, _, statistics, *_ = row[0]
    indexed = [column for column in columns if column.name in table.statistics]
    file = DataFile(
        path=f"{partition_folder(spec)}/{spec.run_id}-{name}-{uuid.uuid4().hex[:12]}.parquet",
        rows=count,
        bytes=size,
        statistics={column.name: _bounds(column, statistics[f'"{column.name}"']) for column in indexed},
    )
    return LocalFile(local, table, file)


def _select_nullable(column: Column, constant: str | None, present: str) -> str:
    """Select a column so that every file declares it OPTIONAL.

    DuckDB 2.0.0 writes REQUIRED where its statistics show no null, so that the schema would depend on the day's values,
    and it has no option against that. Its optimizer assumes that a CASE without ELSE can be null, and does not copy the
    branch that is always taken. A constant needs a condition on some column (`present`), or it would be folded.
    """
    if constant is None:
        return f"CASE WHEN {column.name} IS NOT NULL THEN {column.name}::{column.type} END AS {column.name}"
    value = f"{constant}::{column.type}"
    return f"CASE WHEN {present} IS NOT NULL THEN {value} WHEN {present} IS NULL THEN {value} END AS {column.name}"


def _bounds(column: Column, found: Mapping[str, str]) -> ColumnStatistics:
    # A bound that DuckDB truncated is not valid for other readers.
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


_TYPES = {"text": "VARCHAR", "integer": "BIGINT", "number": "DOUBLE"}


def typed_array(name: str) -> str:
    """Return the SQL expression that converts an array column's JSON text to the contract's type."""
    types = json.dumps([{field: _TYPES[kind] for field, kind in ARRAYS[name].items()}])
    return f"json_transform({name}, '{types}')"


ATTACHMENT_COUNT = "coalesce(json_array_length(attachments), 0)::INTEGER"


def published_columns(spec: RunSpec) -> str:
    """Return the select list of `messages` over a normalized row, without the columns that are constant for a run."""
    derived = {
        "hour": local_hour(spec),
        "has_attachments": f"{ATTACHMENT_COUNT} > 0",
        "attachment_count": ATTACHMENT_COUNT,
        "flags": "CASE WHEN flags IS NULL THEN [] ELSE string_split(flags, ',') END",
        **{name: typed_array(name) for name in ARRAYS},
    }
    names = [name for name in MESSAGES.names if name not in RUN_COLUMNS]
    return ", ".join(f"{derived[name]} AS {name}" if name in derived else name for name in names)
