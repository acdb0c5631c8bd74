"""The limits that a growing day meets, each from its constant, and the day at which it meets them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from msgspec.structs import replace

from bench.costs import volume_of
from bench.measure import ROOT
from daily_batch.domain.codes import Flag, Reason
from daily_batch.domain.run import Layout
from daily_batch.orchestration.routing import Predictions, Volume, load_predictions, load_prices
from daily_batch.orchestration.routing.costs import JOB_SECONDS, LAMBDA
from daily_batch.orchestration.routing.jobs import (
    MAX_DISK_GB,
    JobPrediction,
    count_job_buckets,
    count_job_merges,
    predict_databricks,
    predict_emr,
    predict_shuffle_gb,
)
from daily_batch.orchestration.routing.predict import FunctionLimits
from daily_batch.orchestration.routing.prices import at_azure_prices
from daily_batch.orchestration.routing.route import UNLISTED
from daily_batch.orchestration.spark_jobs.emr_request import DRIVER_DISK_GB
from daily_batch.pipeline.partitioning import MAX_BUCKETS, count_chunks
from daily_batch.pipeline.transform.outcomes import Counts
from daily_batch.settings import Settings

EMR, DATABRICKS = "EMR Serverless", "Databricks"
SERVICES = (EMR, DATABRICKS)
# No day is larger: a limit that is met later is not shown.
LARGEST = 10**12
NO_LIMIT = 10**9
# Spark's default of spark.driver.maxResultSize.
MAX_RESULT_BYTES = 2**30
# What the driver gets of a part's aggregates: four million answers within ten minutes, each millisecond with its count.
PART_SUM_BYTES = 3_400_000
EXPORTS = "store such days as exports"
FAILS, FULL, SLOWER, SPILLS = "the job fails", "the disk may fill up", "slower", "buckets spill"

Predict = Callable[[Volume, Predictions], JobPrediction]


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A limit of a service, whether a day meets it, what then happens, and what to set."""

    service: str
    name: str
    is_met: Callable[[Volume], bool]
    beyond: str
    step: str

    @property
    def stops(self) -> bool:
        """Whether a day beyond it fails, or may."""
        return self.beyond in (FAILS, FULL)


def emr(volume: Volume, predictions: Predictions, *, vcpus: int = Settings.emr_vcpus) -> JobPrediction:
    """Predict a day on EMR Serverless."""
    return predict_emr(volume, vcpus=vcpus, predictions=predictions, prices=load_prices())


def databricks(volume: Volume, predictions: Predictions) -> JobPrediction:
    """Predict a day on Databricks."""
    job = predict_databricks(volume, predictions=predictions, prices=at_azure_prices(load_prices()))
    assert job is not None, "conf/predictions.toml describes a cluster"
    return job


def find_limits() -> tuple[Limit, ...]:
    """Return the limits of both services."""
    return (*_emr_limits(load_predictions()), *_databricks_limits(load_predictions()))


def find_size(layout: Layout, limit: Limit) -> int | None:
    """Return the messages of the smallest day that meets a limit, within a thousandth; None if no day does."""
    low, high = 0, LARGEST
    if not limit.is_met(volume_of(layout, high)):
        return None
    while high - low > max(low // 1_000, 1):
        middle = (low + high) // 2
        low, high = (low, middle) if limit.is_met(volume_of(layout, middle)) else (middle, high)
    return high


def find_first(layout: Layout, messages: int, service: str) -> Limit | None:
    """Return the limit at which the day fails, else the one that a growing day meets first; None if it meets none."""
    day = volume_of(layout, messages)
    met = [each for each in find_limits() if each.service == service and each.is_met(day)]

    def rank(limit: Limit) -> tuple[bool, bool, int]:
        return not limit.stops, limit.beyond == SPILLS, find_size(layout, limit) or LARGEST

    return min(met, key=rank, default=None)


def count_disk_gb(job: JobPrediction) -> int:
    """Return the disk of all workers of a job on EMR Serverless."""
    return DRIVER_DISK_GB + job.workers * job.disk_gb


def read_default(parameter: str) -> int:
    """Return the default of a numeric parameter of template.yaml."""
    template = (ROOT / "template.yaml").read_text(encoding="utf-8")
    found = re.search(rf"^  {parameter}:\n    Type: Number\n    Default: (\d+)$", template, re.MULTILINE)
    assert found is not None, parameter
    return int(found[1])


def _emr_limits(predictions: Predictions) -> Iterator[Limit]:
    s3, limit = predictions.s3, partial(Limit, service=EMR)
    yield limit(
        name=f"{Settings.emr_vcpus} vCPUs: `emr_vcpus`, quota L-D05C8A75",
        is_met=lambda day: emr(day, predictions, vcpus=NO_LIMIT).workers > emr(day, predictions).workers,
        beyond=SLOWER,
        step="raise the quota, then `EmrVcpus`, `EmrMemory`, `EmrDisk` as below",
    )
    yield limit(
        name=f"S3's {s3.gets_per_second:,.0f} GETs a second per partitioned prefix",
        is_met=partial(_waits_for_store, predict=emr),
        beyond=SLOWER,
        step=f"{EXPORTS}; or let AWS partition the prefix, and raise `partitions` in conf/predictions.toml",
    )
    yield from _listing_limits(LAMBDA, predictions)
    yield limit(
        name=f"{JOB_SECONDS // 60} minutes",
        is_met=lambda day: emr(day, predictions).seconds > JOB_SECONDS,
        beyond=FAILS,
        step="`JobTimeoutMinutes`",
    )
    yield limit(
        name=f"the driver's {DRIVER_DISK_GB} GB of disk, for the manifest",
        is_met=lambda day: _manifest_bytes(day, predictions) > DRIVER_DISK_GB * 10**9,
        beyond=FAILS,
        step=EXPORTS,
    )
    yield limit(
        name=f"an executor's {MAX_DISK_GB} GB of disk, for the shuffle",
        is_met=lambda day: predict_shuffle_gb(day, predictions, workers=emr(day, predictions).workers) > MAX_DISK_GB,
        beyond=FULL,
        step="more vCPUs, as below",
    )
    yield limit(
        name=f"the application's {read_default('EmrDisk')} GB: `EmrDisk`",
        is_met=lambda day: count_disk_gb(emr(day, predictions)) > read_default("EmrDisk"),
        beyond=FULL,
        step="`EmrDisk`, as below",
    )
    yield from _engine_limits(EMR)


def _databricks_limits(predictions: Predictions) -> Iterator[Limit]:
    cluster, blob, limit = predictions.databricks, predictions.blob, partial(Limit, service=DATABRICKS)
    assert cluster is not None and blob is not None, "conf/predictions.toml describes a cluster"
    endless = replace(predictions, databricks=replace(cluster, max_workers=NO_LIMIT))
    yield limit(
        name=f"{cluster.max_workers} workers: `max_workers`",
        is_met=lambda day: databricks(day, endless).workers > databricks(day, predictions).workers,
        beyond=SLOWER,
        step="raise the node type's quota, then `max_workers`",
    )
    yield limit(
        name=f"Blob Storage's {blob.gets_per_second:,.0f} requests a second per account",
        is_met=partial(_waits_for_store, predict=databricks),
        beyond=SLOWER,
        step=f"{EXPORTS}; or ask Azure for more, and raise `partitions` in conf/predictions.toml",
    )
    yield limit(
        name=f"{JOB_SECONDS // 60} minutes",
        is_met=lambda day: databricks(day, predictions).seconds > JOB_SECONDS,
        beyond=FAILS,
        step="`timeout_seconds` of the bundle's job, and `jobTimeoutMinutes`",
    )
    yield from _engine_limits(DATABRICKS)


def _listing_limits(function: FunctionLimits, predictions: Predictions) -> Iterator[Limit]:
    """Yield what the worker can list of a day; beyond that it submits a job of a fixed size."""
    limit = partial(
        Limit,
        service=EMR,
        beyond=f"{UNLISTED.executors} executors with {UNLISTED.disk_gb} GB",
        step="submit the day by `makoto-batch run`",
    )
    yield limit(
        name=f"the worker's {function.seconds:,.0f} s, for the listing",
        is_met=lambda day: day.objects * predictions.spark.list_object_seconds > function.seconds,
    )
    yield limit(
        name=f"the worker's {function.temp_bytes / 1e9:,.1f} GB of disk, for the manifest",
        is_met=lambda day: _manifest_bytes(day, predictions) > function.temp_bytes,
    )


def _engine_limits(service: str) -> Iterator[Limit]:
    """Yield the limits of Spark's driver and of our own partitioning."""
    counts = count_result_bytes()
    yield Limit(
        service=service,
        name=(
            f"`spark.driver.maxResultSize` 1 GB, for {counts:,} bytes a chunk"
            f" and {PART_SUM_BYTES:,} a part of the merge"
        ),
        is_met=lambda day: (
            count_chunks(day.objects, day.bytes) * counts + count_job_merges(day) * PART_SUM_BYTES > MAX_RESULT_BYTES
        ),
        beyond=FAILS,
        step=f"the setting, with more driver memory; {EXPORTS}",
    )
    yield Limit(
        service=service,
        name=f"{MAX_BUCKETS} buckets that fit into a task's memory",
        is_met=lambda day: count_job_buckets(day) >= MAX_BUCKETS,
        beyond=SPILLS,
        step="`memory_bytes`, with larger workers",
    )


def count_result_bytes() -> int:
    """Return the most bytes that the driver gets of a chunk: its counts, with every reason and every flag."""
    names = {"rejects": Reason, "flags": Flag}
    counters: dict[str, Any] = {name: Counter({str(code): 1_000 for code in codes}) for name, codes in names.items()}
    return len(json.dumps(Counts(**counters).to_dict()).encode())


def _waits_for_store(day: Volume, *, predict: Predict) -> bool:
    """Return whether a day would take less time if the store answered any number of requests."""
    predictions = load_predictions()
    assert predictions.blob is not None, "conf/predictions.toml describes Blob Storage"
    s3, blob = (replace(store, partitions=NO_LIMIT) for store in (predictions.s3, predictions.blob))
    return predict(day, replace(predictions, s3=s3, blob=blob)).seconds < predict(day, predictions).seconds


def _manifest_bytes(day: Volume, predictions: Predictions) -> float:
    return day.objects * predictions.stored.manifest_object_bytes
