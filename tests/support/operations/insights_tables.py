"""Tables of Application Insights: convert telemetry to rows, and query them with a KQL engine.

The rows follow Azure's documentation of the data model and of the tables' schema.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import Any

import duckdb
import duckdb_kql

from tests.local_cloud.azure.application_insights import CustomMetric

Row = dict[str, Any]

# Columns that our queries use.
TABLES = {
    "traces": {
        "timestamp": "datetime",
        "message": "string",
        "severityLevel": "int",
        "operation_Name": "string",
        "cloud_RoleName": "string",
    },
    "requests": {
        "timestamp": "datetime",
        "name": "string",
        "success": "bool",
        "duration": "real",
        "operation_Name": "string",
        "cloud_RoleName": "string",
    },
    "exceptions": {"timestamp": "datetime", "type": "string", "operation_Name": "string", "cloud_RoleName": "string"},
    "customMetrics": {
        "timestamp": "datetime",
        "name": "string",
        "value": "real",
        "valueSum": "real",
        "valueCount": "int",
        "valueMin": "real",
        "valueMax": "real",
        "cloud_RoleName": "string",
    },
}
_SQL = {"datetime": "TIMESTAMP", "string": "VARCHAR", "int": "INTEGER", "real": "DOUBLE", "bool": "BOOLEAN"}


def make_row(metric: CustomMetric, at: datetime) -> Row:
    """Return the metric's row of customMetrics."""
    return {
        "timestamp": at,
        "name": metric.name,
        "value": metric.sum,
        "valueSum": metric.sum,
        "valueCount": metric.count,
        "valueMin": metric.sum if metric.min is None else metric.min,
        "valueMax": metric.sum if metric.max is None else metric.max,
        "cloud_RoleName": metric.role,
    }


@contextmanager
def open_engine(rows: Mapping[str, Sequence[Row]], *, now: datetime) -> Iterator[Callable[[str], list[Row]]]:
    """Load the rows and yield a function that runs a KQL query as of `now`."""
    with duckdb_kql.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        # What `ago` is translated to. A macro hides the function of that name, and with it the machine's clock.
        connection.execute(f"CREATE MACRO now() AS TIMESTAMPTZ '{now.isoformat()}'")
        for table in TABLES:
            _fill(connection, table, rows.get(table, ()))

        def run_query(query: str) -> list[Row]:
            result = connection.sql(_translate(query))
            return [dict(zip(result.columns, row, strict=True)) for row in result.fetchall()]

        yield run_query


@cache
def _translate(query: str) -> str:
    return duckdb_kql.to_sql(query, {table: list(columns) for table, columns in TABLES.items()})


def _fill(connection: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Row]) -> None:
    columns = TABLES[table]
    definitions = ", ".join(f'"{name}" {_SQL[kind]}' for name, kind in columns.items())
    connection.execute(f'CREATE TABLE "{table}" ({definitions})')
    assert all(set(row) == set(columns) for row in rows), table
    if rows:
        placeholders = ", ".join("?" * len(columns))
        values = [[_to_naive_utc(row[name]) for name in columns] for row in rows]
        connection.executemany(f'INSERT INTO "{table}" VALUES ({placeholders})', values)


def _to_naive_utc(value: Any) -> Any:
    return value.astimezone(UTC).replace(tzinfo=None) if isinstance(value, datetime) else value
