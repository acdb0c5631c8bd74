"""DuckDB as the kernel uses it: one connection a task, bounded in threads, memory and disk."""

from collections.abc import Mapping
from pathlib import Path

import duckdb


def connect(*, scratch: Path, memory_bytes: int, threads: int = 1) -> duckdb.DuckDBPyConnection:
    """An in-memory database that spills to `scratch` and never loads an extension from the network."""
    connection = duckdb.connect(
        config={
            "threads": threads,
            "memory_limit": f"{memory_bytes // 2**20}MiB",
            "temp_directory": str(scratch),
            "autoinstall_known_extensions": False,
            "preserve_insertion_order": True,
        }
    )
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
