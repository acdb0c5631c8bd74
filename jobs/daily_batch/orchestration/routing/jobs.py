"""Predict what a day takes as a Spark job on each service: workers, seconds, disk, requests, and list price."""

from dataclasses import dataclass
from math import ceil

from daily_batch.orchestration.routing.predict import (
    Prediction,
    Requests,
    Volume,
    count_requests,
    count_typical_messages,
    predict_messages,
    predict_temp_bytes,
    price_requests,
)
from daily_batch.orchestration.routing.prices import Emr, Predictions, Prices, StoreLimits
from daily_batch.pipeline.partitioning import (
    EXPANSION,
    count_buckets,
    count_chunks,
    count_files,
    count_merges,
    share_memory,
)
from daily_batch.settings import Settings

HOUR = 3_600
# The disk sizes that EMR Serverless offers for a worker.
MIN_DISK_GB, MAX_DISK_GB = 20, 200
# The disk that a shuffle may use, as a multiple of the local runner's temporary disk.
SHUFFLE_DISK_FACTOR = 3
# obstore's put sends a larger file in parts of this size, one request each.
PART_BYTES = 5 * 2**20


@dataclass(frozen=True, kw_only=True)
class JobPrediction:
    """What a day takes as a job.

    Attributes:
        workers: The machines beside the driver, which EMR Serverless calls executors.
        seconds: From the request to the end.
        memory_bytes: The memory of driver and workers.
        disk_gb: The temporary disk that each worker needs.
        node_hours: The hours of driver and workers.
        requests: The requests to the store.
        usd: The price; None if a price is not known.
    """

    workers: int
    seconds: float
    memory_bytes: int
    disk_gb: int
    node_hours: float
    requests: Requests
    usd: float | None


def predict_emr(volume: Volume, *, vcpus: int, predictions: Predictions, prices: Prices) -> JobPrediction:
    """Predict a day on EMR Serverless; `vcpus` are what the account's quota leaves for one job."""
    emr = predictions.emr
    executors = min(count_executors(volume, predictions), fit_executors(vcpus, emr))
    seconds = emr.start_seconds + predict_seconds(
        volume, predictions, cores=executors * emr.executor_vcpu, store=predictions.s3
    )
    vcpu = emr.driver_vcpu + executors * emr.executor_vcpu
    gb = emr.driver_gb + executors * emr.executor_gb
    hours = max(seconds, prices.emr.minimum_seconds) / HOUR
    requests = count_job_requests(volume, predictions)
    return JobPrediction(
        workers=executors,
        seconds=seconds,
        memory_bytes=gb * 2**30,
        disk_gb=predict_disk_gb(volume, predictions, executors=executors),
        node_hours=(1 + executors) * hours,
        requests=requests,
        usd=hours * (vcpu * prices.emr.vcpu_hour + gb * prices.emr.gb_hour) + price_requests(requests, prices),
    )


def predict_databricks(volume: Volume, *, predictions: Predictions, prices: Prices | None) -> JobPrediction | None:
    """Predict a day on the bundle's Databricks cluster; None if no cluster is described.

    Args:
        prices: With the store's prices on Azure; None if they are not known.
    """
    cluster, store = predictions.databricks, predictions.blob
    if cluster is None or store is None:
        return None
    workers = _count_workers(
        volume, predictions, cores=cluster.node_vcpu, worker_seconds=cluster.worker_seconds, store=store
    )
    workers = min(workers, cluster.max_workers)
    seconds = cluster.start_seconds + predict_seconds(
        volume, predictions, cores=workers * cluster.node_vcpu, store=store
    )
    requests, hours = count_job_requests(volume, predictions), (1 + workers) * seconds / HOUR
    node_hour = prices.databricks.whole_node_hour if prices and prices.databricks else None
    usd = None if prices is None or node_hour is None else hours * node_hour + price_requests(requests, prices)
    return JobPrediction(
        workers=workers,
        seconds=seconds,
        memory_bytes=(1 + workers) * cluster.node_gb * 2**30,
        disk_gb=predict_shuffle_gb(volume, predictions, workers=workers),
        node_hours=hours,
        requests=requests,
        usd=usd,
    )


def predict_spark(volume: Volume, *, vcpus: int, predictions: Predictions, prices: Prices) -> Prediction:
    """Predict a day on EMR Serverless, in the terms of the local runner's prediction."""
    job = predict_emr(volume, vcpus=vcpus, predictions=predictions, prices=prices)
    return Prediction(seconds=job.seconds, memory_bytes=job.memory_bytes, cost_usd=job.usd or 0.0)


def predict_seconds(volume: Volume, predictions: Predictions, *, cores: float, store: StoreLimits) -> float:
    """Return the seconds of a job once its driver runs: Spark's start, the driver's listing, and the tasks.

    A chunk is read by one task, so a day of few chunks keeps few cores busy.
    """
    spark = predictions.spark
    tasks = _predict_work(volume, predictions) / max(min(cores, _count_chunks(volume)), 1)
    listing = volume.objects * spark.list_object_seconds
    return spark.start_seconds + listing + max(tasks, _predict_store_seconds(volume, predictions, store))


def count_executors(volume: Volume, predictions: Predictions) -> int:
    """Return the executors that a day keeps busy, or that its shuffle needs for their disks, without any quota."""
    emr = predictions.emr
    busy = _count_workers(
        volume, predictions, cores=emr.executor_vcpu, worker_seconds=emr.executor_seconds, store=predictions.s3
    )
    return max(busy, ceil(predict_shuffle_gb(volume, predictions, workers=1) / MAX_DISK_GB))


def fit_executors(vcpus: int, emr: Emr) -> int:
    """Return the executors that fit into the vCPUs of a job; at least one, without which the job is refused."""
    return max((vcpus - emr.driver_vcpu) // emr.executor_vcpu, 1)


def predict_disk_gb(volume: Volume, predictions: Predictions, *, executors: int) -> int:
    """Return the disk of each executor for its share of the shuffle, in GB that EMR Serverless offers."""
    return fit_disk(predict_shuffle_gb(volume, predictions, workers=executors))


def predict_shuffle_gb(volume: Volume, predictions: Predictions, *, workers: int) -> int:
    """Return each worker's share of the shuffle, in GB."""
    return ceil(SHUFFLE_DISK_FACTOR * predict_temp_bytes(volume, predictions) / workers / 1e9)


def fit_disk(needed_gb: int) -> int:
    """Return the disk nearest to what is needed that EMR Serverless offers for a worker, in GB."""
    return min(max(needed_gb, MIN_DISK_GB), MAX_DISK_GB)


def count_job_requests(volume: Volume, predictions: Predictions) -> Requests:
    """Return the requests of a day that runs as a job with the default settings.

    Beside those of any day: each chunk of the manifest is staged and read, and the files of a large day are many, and
    sent in parts. Parquet is at most as large as gzip.
    """
    base = count_requests(volume, predictions)
    chunks = _count_chunks(volume)
    parts = predict_messages(volume, predictions) * predictions.stored.export_message_bytes / PART_BYTES
    # Messages and turns of each further bucket, rooms and users of each further part.
    files = 2 * (count_job_buckets(volume) - 1 + count_job_merges(volume) - 1)
    return Requests(get=base.get + chunks, list=base.list, put=base.put + chunks + max(files, ceil(parts) - 1))


def count_job_buckets(volume: Volume) -> int:
    """Return the buckets of a day that runs as a job with the default settings: the tasks of its reduce."""
    text = _text_bytes(volume)
    files = count_files(text, Settings.target_file_bytes)
    return count_buckets(files, text, sort_bytes=share_memory(Settings.memory_bytes))


def count_job_merges(volume: Volume) -> int:
    """Return the parts in which a job merges the aggregates of a day."""
    return count_merges(_text_bytes(volume))


def _text_bytes(volume: Volume) -> int:
    return volume.bytes * (EXPANSION if volume.layout == "export" else 1)


def _count_workers(
    volume: Volume, predictions: Predictions, *, cores: float, worker_seconds: float, store: StoreLimits
) -> int:
    """Return the workers that a day keeps busy: one per `worker_seconds` of all its cores.

    Fewer where they would wait for the store, or where there are fewer chunks than cores.
    """
    seconds = max(worker_seconds, _predict_store_seconds(volume, predictions, store))
    busy = min(ceil(_predict_work(volume, predictions) / (cores * seconds)), ceil(_count_chunks(volume) / cores))
    return max(busy, 1)


def _predict_work(volume: Volume, predictions: Predictions) -> float:
    """Return the seconds of one core. An object's GET costs the same as in this process: the kernel is the same."""
    work = volume.objects * predictions.local.object_core_seconds
    return work + count_typical_messages(volume, predictions) * predictions.spark.message_core_seconds


def _count_chunks(volume: Volume) -> int:
    return count_chunks(volume.objects, volume.bytes)


def _predict_store_seconds(volume: Volume, predictions: Predictions, store: StoreLimits) -> float:
    """Return the seconds in which the store answers the requests of a day."""
    puts = count_job_requests(volume, predictions).put
    return max(volume.objects / store.gets_per_second, puts / store.puts_per_second) / store.partitions
