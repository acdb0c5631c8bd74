"""DuckDB as the kernel uses it: one connection a task, bounded in threads, memory and disk."""

from pathlib import Path

import duckdb
from arro3.core import Table


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


def load(connection: duckdb.DuckDBPyConnection, name: str, table: Table) -> None:
    """Make an Arrow table a view of that name, in place of what was there."""
    connection.register(name, table)


def quote_text(text: str) -> str:
    """A text as an SQL literal; for the few statements that take no parameters."""
    return "'" + text.replace("'", "''") + "'"
