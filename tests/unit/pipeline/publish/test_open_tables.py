"""Test the table that stays open from the start of a run to its commit."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from deltalake import DeltaTable

from bench.s3_server import BUCKET, running_server
from daily_batch.domain.contract import ROOMS_DAILY
from daily_batch.domain.run import DataFile
from daily_batch.errors import RetryableError
from daily_batch.pipeline.publish import delta, open_table
from daily_batch.pipeline.publish.delta_log import OpenDay
from daily_batch.pipeline.publish.result import PublishResult
from tests.support.data_files import DAY, write_file
from tests.support.delta_tables import publish, read_rooms


class LoggedTable:
    """A table on an S3 server that logs its requests."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        self.location = f"s3://{BUCKET}/rooms_daily"
        self.options = {name.lower(): value for name, value in environment.items()}
        self._log = log

    def count_requests(self, call: Callable[[], object]) -> int:
        before = len(self._log.read_text().splitlines())
        call()
        return len(self._log.read_text().splitlines()) - before

    def open(self, days: int) -> OpenDay:
        return open_table.open_day(
            table=ROOMS_DAILY,
            location=self.location,
            storage_options=self.options,
            day=DAY + timedelta(days=days),
            tenant="acme",
        )

    def publish(self, days: int, opened: OpenDay, *, token: int | None = None) -> PublishResult:
        day = DAY + timedelta(days=days)
        return delta.publish_table(
            table=ROOMS_DAILY,
            location=self.location,
            storage_options=self.options,
            day=day,
            files=[DataFile(path=f"date={day}/{days}.parquet", rows=1, bytes=1, statistics={})],
            run_id=f"run{days}",
            metadata={},
            tenant="acme",
            token=token,
            opened=opened,
        )


@pytest.fixture
def table(tmp_path: Path) -> Iterator[LoggedTable]:
    log = tmp_path / "requests.log"
    with running_server("--latency-ms", "0", "--log", str(log)) as environment:
        yield LoggedTable(environment, log)


def test_a_commit_takes_as_many_requests_with_a_long_log_as_with_a_short_one(table: LoggedTable) -> None:
    requests = []
    for days in range(25):  # several checkpoints
        opened = table.open(days)
        requests.append(table.count_requests(lambda days=days, opened=opened: table.publish(days, opened, token=1)))
    usual = requests[1]
    assert usual <= 8
    checkpoints = [number for number in requests[1:] if number > usual]
    assert len(checkpoints) <= 2
    live = DeltaTable(table.location, storage_options=table.options).file_uris()
    assert len(live) == 25


def test_a_token_in_the_open_table_costs_no_request(table: LoggedTable) -> None:
    table.publish(0, table.open(0), token=3)
    fenced, plain = table.open(1), table.open(2)
    with_token = table.count_requests(lambda: table.publish(1, fenced, token=4))
    table.publish(3, table.open(3))
    without_token = table.count_requests(lambda: table.publish(2, plain))
    assert with_token <= without_token


@pytest.mark.parametrize("recreated", [False, True])
def test_a_table_that_was_moved_away_meanwhile_is_not_written_over(tmp_path: Path, recreated: bool) -> None:
    folder = tmp_path / "rooms_daily"
    for number in range(3):
        publish(folder, write_file(folder, f"{number}.parquet"), run=f"run{number}")
    opened = open_table.open_day(table=ROOMS_DAILY, location=str(folder), storage_options={}, day=DAY)
    shutil.move(folder, tmp_path / "moved")
    if recreated:
        publish(folder, write_file(folder, "new.parquet", rows=1), run="new")
    rows = read_rooms(folder) if recreated else []
    mine = write_file(folder, "mine.parquet")
    with pytest.raises(RetryableError, match="changed while this run was running"):
        delta.publish_table(
            table=ROOMS_DAILY,
            location=str(folder),
            storage_options={},
            day=DAY,
            files=[mine],
            run_id="mine",
            metadata={},
            opened=opened,
        )
    versions = sorted(int(path.stem) for path in (folder / "_delta_log").glob("*.json"))
    assert versions == list(range(len(versions)))
    assert read_rooms(folder) == rows


def test_renewed_credentials_open_the_table_again(table: LoggedTable) -> None:
    table.publish(0, table.open(0))
    first = table.open(1)
    usual = table.count_requests(lambda: table.publish(1, first))
    second = table.open(2)
    table.options = {**table.options, "aws_session_token": "renewed"}
    assert table.count_requests(lambda: table.publish(2, second)) > usual
