"""The tables of Application Insights: telemetry becomes rows, which a KQL engine queries.

That Azure makes such rows of what is sent is its documentation's word (data model and schema of the tables).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import Any

import duckdb
import duckdb_kql

from tests.local_cloud.azure.application_insights import CustomMetric
from tests.local_cloud.common.clock import machine_now

Row = dict[str, Any]

# The columns of the tables that our queries use.
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
    """Return a row of customMetrics at a moment."""
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
def ask(rows: Mapping[str, Sequence[Row]], *, now: datetime) -> Iterator[Callable[[str], list[Row]]]:
    """Yield a function that runs a query at a moment; rows are shifted to the engine's own clock, which `ago` reads."""
    moved = machine_now() - now
    with duckdb_kql.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for table in TABLES:
            _fill(connection, table, [{**row, "timestamp": row["timestamp"] + moved} for row in rows.get(table, ())])

        def run(query: str) -> list[Row]:
            found = connection.sql(_translate(query))
            return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]

        yield run


@cache
def _translate(query: str) -> str:
    return duckdb_kql.to_sql(query, {table: list(columns) for table, columns in TABLES.items()})


def _fill(connection: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Row]) -> None:
    columns = TABLES[table]
    kinds = ", ".join(f'"{name}" {_SQL[kind]}' for name, kind in columns.items())
    connection.execute(f'CREATE TABLE "{table}" ({kinds})')
    assert all(set(row) == set(columns) for row in rows), table
    if rows:
        marks = ", ".join("?" * len(columns))
        values = [[_plain(row[name]) for name in columns] for row in rows]
        connection.executemany(f'INSERT INTO "{table}" VALUES ({marks})', values)


def _plain(value: Any) -> Any:
    return value.astimezone(UTC).replace(tzinfo=None) if isinstance(value, datetime) else value
