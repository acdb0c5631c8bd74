"""DuckDB as the kernel uses it: in memory, bounded in threads, memory and disk, and never on the network."""

from collections.abc import Mapping
from pathlib import Path

import duckdb

from daily_batch.domain.run import RunSpec


def connect(*, scratch: Path, plan: RunSpec, tasks: int = 1) -> duckdb.DuckDBPyConnection:
    """Open a database that spills to `scratch`; `tasks` may use it at once, each by a `cursor` of its own.

    A query runs in the thread that asks for it. The plan's limits are those of one task.
    """
    config: dict[str, str | bool | int | float | list[str]] = {
        "threads": 1,
        "memory_limit": f"{plan.limits.memory_bytes * tasks}B",
        "temp_directory": str(scratch),
        "autoinstall_known_extensions": False,
        "preserve_insertion_order": True,
    }
    connection = duckdb.connect(config=config)
    if plan.spill_bytes:  # in `config` DuckDB 2.0.0 takes it, shows it, and does not keep it
        connection.execute(f"SET max_temp_directory_size = '{plan.spill_bytes * tasks}B'")
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")
    return connection


def cursor(database: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """Open another connection to the same database, for another thread."""
    connection = database.cursor()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")
    return connection


def limit_memory(database: duckdb.DuckDBPyConnection, size: int) -> None:
    """Let all connections of a database use `size` bytes from now on."""
    database.execute(f"SET GLOBAL memory_limit = '{size}B'")


def add_columns(source: str, *layers: Mapping[str, str]) -> str:
    """A query over `source` with more columns, name to expression; each layer may use those of the one before."""
    for layer in layers:
        added = ", ".join(f"{expression} AS {name}" for name, expression in layer.items())
        source = f"(SELECT *, {added} FROM {source})"
    return source


def quote_text(text: str) -> str:
    """A text as an SQL literal; for the few statements that take no parameters."""
    return "'" + text.replace("'", "''") + "'"
