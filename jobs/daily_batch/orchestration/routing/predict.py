"""Predict what a day takes in this process: seconds, memory, temporary disk, and list price."""

from dataclasses import dataclass
from math import ceil

from daily_batch.domain.run import Layout
from daily_batch.orchestration.routing.prices import Predictions, Prices

KEYS_PER_LIST = 1_000


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


@dataclass(frozen=True, kw_only=True)
class Requests:
    """The number of requests to the object store, by price."""

    get: int
    list: int
    put: int


def predict_messages(volume: Volume, predictions: Predictions) -> int:
    """Return the number of messages: one per object, or by the typical stored size of an exported message."""
    if volume.layout == "messages":
        return volume.objects
    return ceil(volume.bytes / predictions.stored.export_message_bytes)


def predict_temp_bytes(volume: Volume, predictions: Predictions) -> int:
    """Return the temporary disk that the local runner uses."""
    return ceil(count_typical_messages(volume, predictions) * predictions.local.temp_message_bytes)


def predict_local(volume: Volume, *, limits: FunctionLimits, predictions: Predictions, prices: Prices) -> Prediction:
    """Predict the day in this process, priced as a function of `limits`."""
    local = predictions.local
    messages = count_typical_messages(volume, predictions)
    work = volume.objects * local.object_core_seconds + messages * local.message_core_seconds
    # No gain is known beyond the number of cores on which the local runner was measured.
    seconds = local.start_seconds / min(limits.cores, 1) + work / min(limits.cores, local.cores)
    memory = local.memory_base_bytes + messages * local.memory_message_bytes
    gb_seconds = limits.memory_bytes / 2**30 * seconds
    cost = (
        gb_seconds * prices.function.gb_second
        + prices.function.request
        + price_requests(count_requests(volume, predictions), prices)
    )
    return Prediction(seconds=seconds, memory_bytes=ceil(min(memory, local.memory_most_bytes)), cost_usd=cost)


def count_requests(volume: Volume, predictions: Predictions) -> Requests:
    """Return the requests of a day: one GET per object; LISTs and PUTs as in a measured day."""
    stored = predictions.stored
    per_list = stored.objects_per_list if volume.layout == "messages" else KEYS_PER_LIST
    return Requests(get=volume.objects, list=1 + ceil(volume.objects / per_list), put=stored.files_written)


def price_requests(requests: Requests, prices: Prices) -> float:
    """Return the price of requests to the store."""
    store = prices.store
    return requests.get * store.get + requests.list * store.list + requests.put * store.put


def count_typical_messages(volume: Volume, predictions: Predictions) -> float:
    """Return the day's bytes as a number of messages of typical size, for costs that depend on the text."""
    stored = predictions.stored
    typical = stored.object_message_bytes if volume.layout == "messages" else stored.export_message_bytes
    return volume.bytes / typical
