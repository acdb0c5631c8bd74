"""DuckDB as the kernel uses it: one connection a task, bounded in threads, memory and disk."""

from collections.abc import Mapping
from pathlib import Path

import duckdb

from daily_batch.plan import DayPlan


def connect(*, scratch: Path, plan: DayPlan) -> duckdb.DuckDBPyConnection:
    """An in-memory database in one thread that spills to `scratch` and never loads an extension from the network."""
    config: dict[str, str | bool | int | float | list[str]] = {
        "threads": 1,
        "memory_limit": f"{plan.limits.memory_bytes}B",
        "temp_directory": str(scratch),
        "autoinstall_known_extensions": False,
        "preserve_insertion_order": True,
    }
    connection = duckdb.connect(config=config)
    if plan.spill_bytes:  # in `config` DuckDB 2.0.0 takes it, shows it, and does not keep it
        connection.execute(f"SET max_temp_directory_size = '{plan.spill_bytes}B'")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")
    return connection


def add_columns(source: str, *layers: Mapping[str, str]) -> str:
    """A query over `source` with more columns, name to expression; each layer may use those of the one before."""
    for layer in layers:
        added = ", ".join(f"{expression} AS {name}" for name, expression in layer.items())
        source = f"(SELECT *, {added} FROM {source})"
    return source


def quote_text(text: str) -> str:
    """A text as an SQL literal; for the few statements that take no parameters."""
    return "'" + text.replace("'", "''") + "'"
