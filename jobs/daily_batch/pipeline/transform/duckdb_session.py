"""Open DuckDB for the kernel: in memory, with bounded threads, memory and disk, and without network access."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb

from daily_batch.domain.run import RunSpec


def connect(*, scratch: Path, spec: RunSpec, tasks: int = 1) -> duckdb.DuckDBPyConnection:
    """Open a database that spills to `scratch`.

    A query runs in the thread that calls it. The spec's limits are those of one task.

    Args:
        tasks: Number of tasks that use the database at the same time, each with a `cursor` of its own.
    """
    config: dict[str, str | bool | int | float | list[str]] = {
        "threads": 1,
        "memory_limit": f"{spec.limits.memory_bytes * tasks}B",
        "temp_directory": str(scratch),
        "autoinstall_known_extensions": False,
        "preserve_insertion_order": True,
    }
    connection = duckdb.connect(config=config)
    if spec.spill_bytes:  # DuckDB 2.0.0 accepts it in `config` and shows it, but does not apply it
        connection.execute(f"SET max_temp_directory_size = '{spec.spill_bytes * tasks}B'")
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")
    return connection


@contextmanager
def shared_database(*, scratch: Path, spec: RunSpec, tasks: int) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a database for several threads, and close it.

    After an error a thread may still use it: if Ctrl-C comes while a pool starts a thread, the pool does not know the
    thread and does not wait for it. DuckDB then refuses to close, which must not hide the error.
    """
    database = connect(scratch=scratch, spec=spec, tasks=tasks)
    try:
        yield database
    except BaseException:
        with suppress(duckdb.ResourceInUseException):
            database.close()
        raise
    database.close()


def cursor(database: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """Open another connection to the same database for another thread."""
    connection = database.cursor()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")
    return connection


def limit_memory(database: duckdb.DuckDBPyConnection, size: int) -> None:
    """Set the memory limit of all connections of a database, in bytes."""
    database.execute(f"SET GLOBAL memory_limit = '{size}B'")


def add_columns(source: str, *layers: Mapping[str, str]) -> str:
    """Return a query that adds columns to `source`; each layer (name -> expression) may use the previous ones."""
    for layer in layers:
        added = ", ".join(f"{expression} AS {name}" for name, expression in layer.items())
        source = f"(SELECT *, {added} FROM {source})"
    return source


def quote_text(text: str) -> str:
    """Return a text as an SQL literal, for the statements that take no parameters."""
    return "'" + text.replace("'", "''") + "'"
