"""Predicted jobs: what bounds their workers and their time, their disk, and their requests, each computed by hand."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from daily_batch.domain.run import SourceObject
from daily_batch.orchestration.routing import Predictions, Volume
from daily_batch.orchestration.routing.jobs import (
    JobPrediction,
    count_executors,
    count_job_buckets,
    count_job_requests,
    predict_emr,
)
from daily_batch.orchestration.routing.prices import load_predictions, parse_constants
from daily_batch.orchestration.spark_jobs.emr_request import DRIVER, EXECUTOR
from daily_batch.pipeline.discover.chunks import cut_chunks
from daily_batch.pipeline.partitioning import CHUNK_BYTES, CHUNK_OBJECTS, count_chunks
from tests.support.day_runs import ROOT
from tests.support.routing_constants import CONSTANTS, make_prices

LISTING = "list_object_seconds = 0.00002"
PREDICTIONS = parse_constants(
    CONSTANTS.replace("list_object_seconds = 0", LISTING), Predictions, origin="predictions.toml"
)


def objects(count: int) -> Volume:
    return Volume(layout="messages", objects=count, bytes=count * 800)


def exports(messages: int, *, files: int) -> Volume:
    return Volume(layout="export", objects=files, bytes=messages * 200)


def predict(volume: Volume, *, vcpus: int = 16) -> JobPrediction:
    return predict_emr(volume, vcpus=vcpus, predictions=PREDICTIONS, prices=make_prices())


@pytest.mark.parametrize(("vcpus", "executors"), [(6, 1), (16, 3), (100, 24), (400, 26), (1, 1)])
def test_a_job_gets_the_executors_that_its_vcpus_allow(vcpus: int, executors: int) -> None:
    day = exports(300_000_000, files=3_000)  # 30,001.5 core seconds, one executor for each 1,200
    assert predict(day, vcpus=vcpus).workers == executors
    assert count_executors(day, PREDICTIONS) == 26


def test_objects_are_not_read_faster_than_the_store_answers() -> None:
    # 6,000 core seconds would keep five executors busy for 300 s; the store needs 2,000 s, so one is enough.
    day = predict(objects(10_000_000), vcpus=400)
    assert day.workers == 1
    assert day.seconds == pytest.approx(120 + 15 + 200 + 2_000)


def test_a_prefix_that_the_store_has_split_is_read_faster() -> None:
    split = CONSTANTS.replace("partitions = 1", "partitions = 10")
    predictions = parse_constants(split, Predictions, origin="predictions.toml")
    job = predict_emr(objects(10_000_000), vcpus=400, predictions=predictions, prices=make_prices())
    assert (job.workers, job.seconds) == (5, pytest.approx(120 + 15 + 6_000 / 20))


def test_the_driver_lists_alone() -> None:
    few, many = predict(objects(1_000_000)), predict(objects(100_000_000))
    assert few.seconds == pytest.approx(135 + 20 + 200)
    assert many.seconds == pytest.approx(135 + 2_000 + 20_000)


def test_a_day_of_few_files_keeps_few_cores_busy() -> None:
    one, many = exports(30_000_000, files=1), exports(30_000_000, files=300)
    assert (predict(one).workers, predict(many).workers) == (1, 3)
    assert predict(one).seconds == pytest.approx(135 + 3_000, rel=0.001)
    assert predict(many).seconds == pytest.approx(135 + 3_000 / 12, rel=0.001)


def test_few_executors_need_more_disk_each() -> None:
    day = exports(300_000_000, files=3_000)  # 307.2 GB on a local disk, three times that in a shuffle
    assert predict(day, vcpus=400).disk_gb == 36
    assert predict(day, vcpus=26).disk_gb == 154
    assert predict(day, vcpus=16).disk_gb == 200  # the largest


def test_a_shuffle_that_fills_the_largest_disk_gets_more_executors() -> None:
    # 200 million objects of 800 bytes: the store keeps less than one executor busy, and 615 GB of shuffle need four.
    assert predict(objects(200_000_000), vcpus=400).workers == 4
    assert predict(objects(50_000_000), vcpus=400).workers == 1


def test_a_job_stages_its_manifest_and_sends_large_files_in_parts() -> None:
    day = exports(100_000_000, files=1_000)  # 20 MB each: a chunk of its own
    requests = count_job_requests(day, PREDICTIONS)
    assert requests.get == 1_000 + 1_000
    assert requests.list == 1 + 1
    assert requests.put == 12 + 1_000 + 3_814  # 20 GB in parts of 5 MiB
    small = count_job_requests(exports(1_000, files=1), PREDICTIONS)
    assert (small.get, small.list, small.put) == (2, 2, 13)


def test_a_large_day_has_more_buckets() -> None:
    assert [count_job_buckets(exports(n, files=9)) for n in (1_000, 1_000_000, 10**8, 10**9)] == [1, 6, 256, 1_491]


@given(
    count=st.integers(1, 200),
    size=st.sampled_from([0, 1, 800, CHUNK_BYTES // 7, CHUNK_BYTES // 2, CHUNK_BYTES, 3 * CHUNK_BYTES]),
)
def test_chunks_of_equal_objects_are_counted_as_they_are_cut(count: int, size: int) -> None:
    items = [SourceObject(str(number), size, "", 0) for number in range(count)]
    cut = list(cut_chunks([items], chunk_bytes=CHUNK_BYTES, chunk_objects=CHUNK_OBJECTS))
    assert count_chunks(count, count * size) == len(cut)


@given(
    layout=st.sampled_from(["messages", "export"]),
    day=st.tuples(st.integers(0, 10**9), st.integers(0, 10**12)),
    more=st.tuples(st.integers(0, 10**9), st.integers(0, 10**12)),
)
def test_a_larger_day_makes_at_least_the_same_requests(
    layout: Any, day: tuple[int, int], more: tuple[int, int]
) -> None:
    small = count_job_requests(Volume(layout=layout, objects=day[0], bytes=day[1]), PREDICTIONS)
    objects, size = day[0] + more[0], day[1] + more[1]
    large = count_job_requests(Volume(layout=layout, objects=objects, bytes=size), PREDICTIONS)
    assert large.list >= small.list
    assert large.get >= objects
    assert large.put >= 12


def test_a_job_has_the_sizes_that_are_submitted_and_deployed() -> None:
    predictions = load_predictions()
    emr, cluster = predictions.emr, predictions.databricks
    assert (emr.driver_vcpu, emr.driver_gb) == (DRIVER.vcpu, DRIVER.gb)
    assert (emr.executor_vcpu, emr.executor_gb) == (EXECUTOR.vcpu, EXECUTOR.gb)
    variables = yaml.safe_load((ROOT / "databricks.yml").read_text(encoding="utf-8"))["variables"]
    assert cluster is not None
    assert cluster.max_workers == variables["max_workers"]["default"]
