"""What a day would take on either runner: seconds, memory, temporary disk, and list price."""

from dataclasses import dataclass
from math import ceil

from daily_batch.domain.run import Layout
from daily_batch.orchestration.routing.prices import Predictions, Prices

HOUR = 3_600
LISTED = 1_000  # keys in one answer to LIST
# The disk of a worker of EMR Serverless, and how much more than the local runner lays down a shuffle may take.
LEAST_DISK_GB, MOST_DISK_GB = 20, 200
SHUFFLE_ROOM = 3


@dataclass(frozen=True, kw_only=True)
class Volume:
    """What the manifest found: objects, and their bytes as stored."""

    layout: Layout
    objects: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class FunctionLimits:
    """What this process may use; 0 seconds: no limit. `cores` may be a fraction, as a small function's are."""

    memory_bytes: int
    seconds: float
    cores: float
    temp_bytes: int


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a runner would take for a day; memory is the least that it can do with."""

    seconds: float
    memory_bytes: int
    cost_usd: float


def predict_messages(volume: Volume, predictions: Predictions) -> int:
    """Messages in a day: one for each object, or by the usual stored bytes of an exported message."""
    if volume.layout == "messages":
        return volume.objects
    return ceil(volume.bytes / predictions.stored.export_message_bytes)


def predict_temp_bytes(volume: Volume, predictions: Predictions) -> int:
    """What the local runner lays down in its temporary folder."""
    return ceil(_usual_messages(volume, predictions) * predictions.local.temp_message_bytes)


def predict_local(volume: Volume, *, limits: FunctionLimits, predictions: Predictions, prices: Prices) -> Prediction:
    """The day in this process, priced as a function of `limits`."""
    local = predictions.local
    messages = _usual_messages(volume, predictions)
    work = volume.objects * local.object_core_seconds + messages * local.message_core_seconds
    # Beyond the cores that it was measured on the local runner gains nothing that is known.
    seconds = local.start_seconds / min(limits.cores, 1) + work / min(limits.cores, local.cores)
    memory = local.memory_base_bytes + messages * local.memory_message_bytes
    gb_seconds = limits.memory_bytes / 2**30 * seconds
    cost = (
        gb_seconds * prices.function.gb_second + prices.function.request + price_requests(volume, predictions, prices)
    )
    return Prediction(seconds=seconds, memory_bytes=ceil(min(memory, local.memory_most_bytes)), cost_usd=cost)


def predict_spark(volume: Volume, *, predictions: Predictions, prices: Prices) -> Prediction:
    """The day as a job of its own on EMR Serverless."""
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
    """Seconds of one core. The kernel is the same as in this process, so is what an object's GET costs it."""
    work = volume.objects * predictions.local.object_core_seconds
    return work + _usual_messages(volume, predictions) * predictions.spark.message_core_seconds


def predict_executors(volume: Volume, predictions: Predictions) -> int:
    """Executors that a day keeps busy, one for each `executor_seconds` of all its cores, whatever any quota allows."""
    emr = predictions.emr
    work = predict_spark_work(volume, predictions)
    return count_workers(work, cores=emr.executor_vcpu, seconds=emr.executor_seconds)


def count_workers(work: float, *, cores: float, seconds: float) -> int:
    """Workers that so many seconds of one core keep busy, one for each `seconds` of all its cores."""
    return max(ceil(work / (cores * seconds)), 1)


def predict_disk_gb(volume: Volume, predictions: Predictions, *, executors: int) -> int:
    """Disk of each executor for its part of the shuffle, with room to spare, in GB that EMR Serverless takes."""
    needed = ceil(SHUFFLE_ROOM * predict_temp_bytes(volume, predictions) / executors / 1e9)
    return min(max(needed, LEAST_DISK_GB), MOST_DISK_GB)


def price_requests(volume: Volume, predictions: Predictions, prices: Prices) -> float:
    """One GET an object; LISTs and PUTs by what a measured day needed."""
    stored = predictions.stored
    per_list = stored.objects_per_list if volume.layout == "messages" else LISTED
    lists = 1 + ceil(volume.objects / per_list)
    store = prices.store
    return volume.objects * store.get + lists * store.list + stored.files_written * store.put


def _usual_messages(volume: Volume, predictions: Predictions) -> float:
    """The day in messages of the usual size, for what is spent on text and not on objects."""
    stored = predictions.stored
    usual = stored.object_message_bytes if volume.layout == "messages" else stored.export_message_bytes
    return volume.bytes / usual
