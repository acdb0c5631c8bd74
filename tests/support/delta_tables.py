"""Publish, snapshot and read the Delta table rooms_daily in a local folder."""

from datetime import date
from pathlib import Path

import polars

from daily_batch.domain.contract import ROOMS_DAILY, Table
from daily_batch.domain.run import DataFile
from daily_batch.pipeline.publish import delta, open_table
from daily_batch.pipeline.publish.delta_log import DaySnapshot, OpenDay
from daily_batch.pipeline.publish.result import PublishResult
from tests.support.data_files import DAY


def publish(
    folder: Path,
    *files: DataFile,
    run: str = "run1",
    day: date = DAY,
    table: Table = ROOMS_DAILY,
    snapshot: DaySnapshot | None = None,
    token: int | None = None,
    fenced: bool = False,
) -> PublishResult:
    return delta.publish_table(
        table=table,
        location=str(folder),
        storage_options={},
        day=day,
        files=files,
        run_id=run,
        metadata={"runner": "local"},
        tenant="acme",
        token=token,
        fenced=fenced,
        opened=OpenDay(snapshot) if snapshot else None,
    )


def take_snapshot(folder: Path, day: date = DAY) -> DaySnapshot:
    opened = open_table.open_day(table=ROOMS_DAILY, location=str(folder), storage_options={}, day=day, tenant="acme")
    return opened.snapshot


def read_rooms(folder: Path) -> list[tuple[str, str]]:
    """Return date and room of every row, read with polars."""
    frame = polars.scan_delta(str(folder)).select(polars.col("date").cast(polars.String), "room_id").collect()
    return sorted(frame.rows())
