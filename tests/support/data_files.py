"""Write data files for the tests of publishers with DuckDB, like the product: without Delta's `date` column."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import duckdb

from daily_batch.domain.contract import ROOMS_DAILY, Table
from daily_batch.domain.run import ColumnStatistics, DataFile
from daily_batch.errors import RetryableError
from daily_batch.pipeline.publish import delta
from daily_batch.pipeline.publish.delta_log import DaySnapshot, OpenDay

DAY = date(2025, 8, 12)
NEXT_DAY = date(2025, 8, 13)


def write_file(
    table_folder: Path,
    name: str,
    *,
    rows: int = 3,
    day: date = DAY,
    table: Table = ROOMS_DAILY,
    values: Mapping[str, str] | None = None,
    statistics: dict[str, ColumnStatistics] | None = None,
) -> DataFile:
    """Write a file of `rows` rows; `values` maps columns to SQL over `i` (0, 1, …), every other column is null."""
    expressions = {"room_id": "'room' || i", "messages": "i"} if values is None else values
    columns = ", ".join(
        f"CAST({expressions.get(column.name, 'NULL')} AS {column.type}) AS {column.name}"
        for column in table.columns
        if column.name != "date"
    )
    path = table_folder / f"date={day}" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as database:
        database.execute("SET TimeZone = 'UTC'; SET threads = 1")
        database.execute(f"COPY (SELECT {columns} FROM range({rows}) AS r(i)) TO '{path}' (FORMAT parquet)")
    return DataFile(path=f"date={day}/{name}", rows=rows, bytes=path.stat().st_size, statistics=statistics or {})


def publish_as_driver(
    location: str, options: dict[str, str], day: date, file: DataFile, run: str, snapshot: DaySnapshot | None
) -> str:
    """Publish one file in a process of its own; return the run id, or the error's text."""
    try:
        delta.publish_table(
            table=ROOMS_DAILY,
            location=location,
            storage_options=options,
            day=day,
            files=[file],
            run_id=run,
            metadata={},
            tenant="acme",
            opened=OpenDay(snapshot) if snapshot else None,
        )
    except RetryableError as error:
        return str(error)
    return run
