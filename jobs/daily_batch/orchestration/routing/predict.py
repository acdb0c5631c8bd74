"""Predict what a day takes on each runner: seconds, memory, temporary disk, and list price."""

from dataclasses import dataclass
from math import ceil

from daily_batch.domain.run import Layout
from daily_batch.orchestration.routing.prices import Predictions, Prices

HOUR = 3_600
KEYS_PER_LIST = 1_000
# The disk sizes that EMR Serverless offers for a worker.
MIN_DISK_GB, MAX_DISK_GB = 20, 200
# The disk that a shuffle may use, as a multiple of the local runner's temporary disk.
SHUFFLE_DISK_FACTOR = 3


@dataclass(frozen=True, kw_only=True)
class Volume:
    """The volume of a day by its manifest: the number of objects, and their bytes as stored."""

    layout: Layout
    objects: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class FunctionLimits:
    """What this process may use. 0 seconds: no limit; `cores` may be a fraction, as in a small function."""

    memory_bytes: int
    seconds: float
    cores: float
    temp_bytes: int


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a runner takes for a day; the memory is the minimum that it needs."""

    seconds: float
    memory_bytes: int
    cost_usd: float


def predict_messages(volume: Volume, predictions: Predictions) -> int:
    """Return the number of messages: one per object, or by the typical stored size of an exported message."""
    if volume.layout == "messages":
        return volume.objects
    return ceil(volume.bytes / predictions.stored.export_message_bytes)


def predict_temp_bytes(volume: Volume, predictions: Predictions) -> int:
    """Return the temporary disk that the local runner uses."""
    return ceil(_count_typical_messages(volume, predictions) * predictions.local.temp_message_bytes)


def predict_local(volume: Volume, *, limits: FunctionLimits, predictions: Predictions, prices: Prices) -> Prediction:
    """Predict the day in this process, priced as a function of `limits`."""
    local = predictions.local
    messages = _count_typical_messages(volume, predictions)
    work = volume.objects * local.object_core_seconds + messages * local.message_core_seconds
    # No gain is known beyond the number of cores on which the local runner was measured.
    seconds = local.start_seconds / min(limits.cores, 1) + work / min(limits.cores, local.cores)
    memory = local.memory_base_bytes + messages * local.memory_message_bytes
    gb_seconds = limits.memory_bytes / 2**30 * seconds
    cost = (
        gb_seconds * prices.function.gb_second + prices.function.request + price_requests(volume, predictions, prices)
    )
    return Prediction(seconds=seconds, memory_bytes=ceil(min(memory, local.memory_most_bytes)), cost_usd=cost)


def predict_spark(volume: Volume, *, predictions: Predictions, prices: Prices) -> Prediction:
    """Predict the day as a job on EMR Serverless."""
    emr = predictions.emr
    work = predict_spark_work(volume, predictions)
    executors = min(predict_executors(volume, predictions), emr.max_executors)
    seconds = emr.start_seconds + predictions.spark.start_seconds + work / (executors * emr.executor_vcpu)
    vcpu = emr.driver_vcpu + executors * emr.executor_vcpu
    gb = emr.driver_gb + executors * emr.executor_gb
    hours = max(seconds, prices.emr.minimum_seconds) / HOUR
    cost = hours * (vcpu * prices.emr.vcpu_hour + gb * prices.emr.gb_hour)
    cost += price_requests(volume, predictions, prices)
    return Prediction(seconds=seconds, memory_bytes=gb * 2**30, cost_usd=cost)


def predict_spark_work(volume: Volume, predictions: Predictions) -> float:
    """Return the seconds of one core. An object's GET costs the same as in this process: the kernel is the same."""
    work = volume.objects * predictions.local.object_core_seconds
    return work + _count_typical_messages(volume, predictions) * predictions.spark.message_core_seconds


def predict_executors(volume: Volume, predictions: Predictions) -> int:
    """Return the executors that a day keeps busy: one per `executor_seconds` of all its cores, without any quota."""
    emr = predictions.emr
    work = predict_spark_work(volume, predictions)
    return count_workers(work, cores=emr.executor_vcpu, seconds=emr.executor_seconds)


def count_workers(work: float, *, cores: float, seconds: float) -> int:
    """Return the workers that `work` seconds of one core keep busy: one per `seconds` of all its cores."""
    return max(ceil(work / (cores * seconds)), 1)


def predict_disk_gb(volume: Volume, predictions: Predictions, *, executors: int) -> int:
    """Return the disk of each executor for its share of the shuffle, in GB that EMR Serverless offers."""
    needed = ceil(SHUFFLE_DISK_FACTOR * predict_temp_bytes(volume, predictions) / executors / 1e9)
    return min(max(needed, MIN_DISK_GB), MAX_DISK_GB)


def price_requests(volume: Volume, predictions: Predictions, prices: Prices) -> float:
    """Return the price of the requests: one GET per object; LISTs and PUTs as in a measured day."""
    stored = predictions.stored
    per_list = stored.objects_per_list if volume.layout == "messages" else KEYS_PER_LIST
    lists = 1 + ceil(volume.objects / per_list)
    store = prices.store
    return volume.objects * store.get + lists * store.list + stored.files_written * store.put


def _count_typical_messages(volume: Volume, predictions: Predictions) -> float:
    """Return the day's bytes as a number of messages of typical size, for costs that depend on the text."""
    stored = predictions.stored
    typical = stored.object_message_bytes if volume.layout == "messages" else stored.export_message_bytes
    return volume.bytes / typical
