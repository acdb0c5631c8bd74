"""Test concurrent drivers: processes that publish to a local disk and to an S3 server."""

import json
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import boto3
import obstore
import polars
import pytest
from deltalake import DeltaTable
from moto.server import ThreadedMotoServer
from obstore.store import LocalStore, S3Store

from daily_batch.domain.contract import ROOMS_DAILY
from daily_batch.domain.run import DataFile
from daily_batch.pipeline.publish import open_table, parquet
from daily_batch.pipeline.publish.delta_log import DaySnapshot
from tests.support.data_files import DAY, publish_as_driver, write_file


class TableLocation(NamedTuple):
    """A table's URL and storage options, and the store of its folder."""

    location: str
    options: dict[str, str]

    def store(self) -> LocalStore | S3Store:
        if not self.options:
            return LocalStore(self.location, mkdir=True)
        bucket, _, prefix = self.location.removeprefix("s3://").partition("/")
        config = {name: value for name, value in self.options.items() if name != "allow_http"}
        return S3Store(bucket, prefix=prefix, config=config, client_options={"allow_http": True})


@pytest.fixture(scope="module")
def s3_options() -> Iterator[dict[str, str]]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    options = {
        "aws_endpoint_url": f"http://{host}:{port}",
        "aws_region": "us-east-1",
        "aws_access_key_id": "test",
        "aws_secret_access_key": "test",
    }
    client = boto3.client(
        "s3",
        endpoint_url=options["aws_endpoint_url"],
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    client.create_bucket(Bucket="tables")
    yield options
    server.stop()


@pytest.fixture(params=["disk", "s3"])
def table(request, tmp_path) -> TableLocation:
    if request.param == "disk":
        return TableLocation(str(tmp_path / "table"), {})
    options = request.getfixturevalue("s3_options")
    return TableLocation(f"s3://tables/{tmp_path.name}", {**options, "allow_http": "true"})


def upload(table: TableLocation, file: DataFile, scratch: Path) -> None:
    obstore.put(table.store(), file.path, (scratch / file.path).read_bytes())


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    """Start four driver processes, spawned so that they inherit no open file of this process."""
    with ProcessPoolExecutor(max_workers=4, mp_context=multiprocessing.get_context("spawn")) as executor:
        yield executor


def race(
    pool: ProcessPoolExecutor,
    table: TableLocation,
    scratch: Path,
    jobs: list[tuple[date, str]],
    snapshot: DaySnapshot | None,
) -> list[str]:
    """Publish one file per job, all at once; return each driver's run id, or the text of its error."""
    files = [write_file(scratch, f"{run}-0.parquet", day=day, rows=3) for day, run in jobs]
    for file in files:
        upload(table, file, scratch)
    futures = [
        pool.submit(publish_as_driver, table.location, table.options, day, file, run, snapshot)
        for file, (day, run) in zip(files, jobs, strict=True)
    ]
    return [future.result() for future in futures]


def live_file_names(table: TableLocation) -> set[str]:
    uris = DeltaTable(table.location, storage_options=table.options).file_uris()
    return {uri.rpartition("/")[2] for uri in uris}


def test_concurrent_runs_of_different_days_all_succeed(pool, table, tmp_path):
    jobs = [(DAY + timedelta(days=n), f"run{n}") for n in range(8)]
    assert race(pool, table, tmp_path / "scratch", jobs, snapshot=None) == [run for _, run in jobs]
    assert live_file_names(table) == {f"{run}-0.parquet" for _, run in jobs}


@pytest.mark.parametrize("initial", ["no table", "an empty day", "a published day"])
def test_one_of_the_concurrent_runs_of_a_day_wins_and_the_others_fail(pool, table, tmp_path, initial):
    scratch = tmp_path / "scratch"
    if initial != "no table":
        before = DAY if initial == "a published day" else DAY + timedelta(days=1)
        race(pool, table, scratch, [(before, "before")], snapshot=None)
    opened = open_table.open_day(table=ROOMS_DAILY, location=table.location, storage_options=table.options, day=DAY)
    snapshot = opened.snapshot
    runs = [f"run{n}" for n in range(4)]
    results = race(pool, table, scratch, [(DAY, run) for run in runs], snapshot=snapshot)
    [winner] = [result for result in results if result in runs]
    for error in (result for result in results if result not in runs):
        assert f"tenant=acme day=2025-08-12: run {winner} published" in error
    other_day = {"before-0.parquet"} if initial == "an empty day" else set()
    assert live_file_names(table) == {f"{winner}-0.parquet"} | other_day
    rows = polars.scan_delta(table.location, storage_options=table.options or None).filter(date=DAY).collect()
    assert rows.height == 3


def test_parquet_day_is_replaced_on_s3(tmp_path, s3_options):
    store = S3Store("tables", prefix="plain", config=s3_options, client_options={"allow_http": True})
    for run in ("run1", "run2"):
        path = f"{parquet.day_folder(DAY)}/{run}-0.parquet"
        body = json.dumps(run).encode()
        obstore.put(store, f"messages/{parquet.staged_path(path, str(DAY))}", body)
        file = DataFile(path=path, rows=1, bytes=len(body), statistics={})
        parquet.publish_day(store=store, table_folder="messages", day=DAY, files=[file], run_id=run)
    remaining = [meta["path"] for batch in obstore.list(store) for meta in batch]
    assert remaining == ["messages/year=2025/month=08/day=12/run2-0.parquet"]
