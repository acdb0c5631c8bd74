"""Several drivers at once, as real processes, on a local disk and on an S3 server."""

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
from daily_batch.pipeline.publish import delta, parquet
from daily_batch.pipeline.publish.delta_log import DaySnapshot
from tests.support.data_files import DAY, publish_as_driver, write_file


class Place(NamedTuple):
    """Where a table lies: what delta-rs needs and the store of its folder."""

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
def place(request, tmp_path) -> Place:
    if request.param == "disk":
        return Place(str(tmp_path / "table"), {})
    options = request.getfixturevalue("s3_options")
    return Place(f"s3://tables/{tmp_path.name}", {**options, "allow_http": "true"})


def upload(place: Place, file: DataFile, scratch: Path) -> None:
    obstore.put(place.store(), file.path, (scratch / file.path).read_bytes())


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    """Four drivers, without what this process has open."""
    with ProcessPoolExecutor(max_workers=4, mp_context=multiprocessing.get_context("spawn")) as executor:
        yield executor


def race(
    pool: ProcessPoolExecutor, place: Place, scratch: Path, jobs: list[tuple[date, str]], seen: DaySnapshot | None
) -> list[str]:
    """Let each driver publish its file of its day; return each one's run id, or why it was refused."""
    files = [write_file(scratch, f"{run}-0.parquet", day=day, rows=3) for day, run in jobs]
    for file in files:
        upload(place, file, scratch)
    running = [
        pool.submit(publish_as_driver, place.location, place.options, day, file, run, seen)
        for file, (day, run) in zip(files, jobs, strict=True)
    ]
    return [future.result() for future in running]


def live_names(place: Place) -> set[str]:
    uris = DeltaTable(place.location, storage_options=place.options).file_uris()
    return {uri.rpartition("/")[2] for uri in uris}


def test_different_days_at_once_all_land(pool, place, tmp_path):
    jobs = [(DAY + timedelta(days=n), f"run{n}") for n in range(8)]
    assert race(pool, place, tmp_path / "scratch", jobs, seen=None) == [run for _, run in jobs]
    assert live_names(place) == {f"{run}-0.parquet" for _, run in jobs}


@pytest.mark.parametrize("found", ["no table", "an empty day", "a published day"])
def test_of_runs_that_race_for_one_day_one_wins_and_the_others_say_so(pool, place, tmp_path, found):
    scratch = tmp_path / "scratch"
    if found != "no table":
        before = DAY if found == "a published day" else DAY + timedelta(days=1)
        race(pool, place, scratch, [(before, "before")], seen=None)
    seen = delta.observe_day(table=ROOMS_DAILY, location=place.location, storage_options=place.options, day=DAY)
    runs = [f"run{n}" for n in range(4)]
    outcomes = race(pool, place, scratch, [(DAY, run) for run in runs], seen=seen)
    [winner] = [outcome for outcome in outcomes if outcome in runs]
    for refusal in (outcome for outcome in outcomes if outcome not in runs):
        assert f"tenant=acme day=2025-08-12: run {winner} published" in refusal
    kept = {"before-0.parquet"} if found == "an empty day" else set()
    assert live_names(place) == {f"{winner}-0.parquet"} | kept
    rows = polars.scan_delta(place.location, storage_options=place.options or None).filter(date=DAY).collect()
    assert rows.height == 3


def test_plain_parquet_is_published_on_s3(tmp_path, s3_options):
    store = S3Store("tables", prefix="plain", config=s3_options, client_options={"allow_http": True})
    for run in ("run1", "run2"):
        path = f"{parquet.day_folder(DAY)}/{run}-0.parquet"
        body = json.dumps(run).encode()
        obstore.put(store, f"messages/{parquet.staged_path(path, str(DAY))}", body)
        file = DataFile(path=path, rows=1, bytes=len(body), statistics={})
        parquet.publish_day(store=store, table_folder="messages", day=DAY, files=[file], run_id=run)
    left = [meta["path"] for batch in obstore.list(store) for meta in batch]
    assert left == ["messages/year=2025/month=08/day=12/run2-0.parquet"]
