"""What predictions rest on: measured constants and list prices, from conf/predictions.toml and conf/prices.toml."""

import tomllib
from functools import cache
from importlib import resources
from typing import Annotated, TypeVar

import msgspec

from daily_batch.errors import UsageError

# Neither infinite nor NaN: both would pass for numbers, and a NaN through every bound but an upper one.
Amount = Annotated[float, msgspec.Meta(ge=0, le=1e15)]
Positive = Annotated[float, msgspec.Meta(gt=0, le=1e15)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Stored(_Table, frozen=True, kw_only=True):
    """How a day is stored: bytes a message, and what its objects and tables cost in requests."""

    export_message_bytes: Positive
    object_message_bytes: Positive
    objects_per_list: Positive
    files_written: Count


class Local(_Table, frozen=True, kw_only=True):
    """The local runner: seconds of one core, memory, and bytes in the temporary folder."""

    cores: Positive
    start_seconds: Amount
    object_core_seconds: Amount
    message_core_seconds: Amount
    memory_base_bytes: Count
    memory_message_bytes: Amount
    memory_most_bytes: Count
    temp_message_bytes: Amount


class Spark(_Table, frozen=True, kw_only=True):
    """The Spark runner, on a local master: seconds until it computes, and of one core for a message."""

    start_seconds: Amount
    message_core_seconds: Amount


class Emr(_Table, frozen=True, kw_only=True):
    """An EMR Serverless job as it is assumed to be; nothing here is measured."""

    start_seconds: Amount
    driver_vcpu: Count
    driver_gb: Count
    executor_vcpu: Count
    executor_gb: Count
    executor_seconds: Positive
    max_executors: Count


class Databricks(_Table, frozen=True, kw_only=True):
    """A run on a cluster of the bundle's nodes as it is assumed to be; nothing here is measured."""

    start_seconds: Amount
    node_vcpu: Count
    node_gb: Count
    worker_seconds: Positive
    max_workers: Count


class Predictions(_Table, frozen=True, kw_only=True):
    """conf/predictions.toml, where each constant is explained."""

    stored: Stored
    local: Local
    spark: Spark
    emr: Emr
    databricks: Databricks | None = None


class FunctionPrices(_Table, frozen=True, kw_only=True):
    """A function: USD for a GB-second and for a request, how its time is counted, and what is free in a month."""

    gb_second: Amount
    request: Amount
    minimum_seconds: Amount = 0
    step_seconds: Positive = 0.001
    free_gb_seconds: Amount = 0
    free_requests: Amount = 0


class StorePrices(_Table, frozen=True, kw_only=True):
    """An object store: USD for one request."""

    get: Amount
    put: Amount
    list: Amount


class EmrPrices(_Table, frozen=True, kw_only=True):
    """EMR Serverless: USD for an hour of a vCPU and of a GB, and the seconds that each worker pays at least."""

    vcpu_hour: Amount
    gb_hour: Amount
    minimum_seconds: Amount


class DatabricksPrices(_Table, frozen=True, kw_only=True):
    """Databricks: USD for a DBU, and for an hour of a node its DBUs and its virtual machine's USD, where known."""

    dbu: Amount
    node_dbus: Amount | None = None
    node_hour: Amount | None = None

    @property
    def whole_node_hour(self) -> float | None:
        """USD for an hour of a node, its virtual machine included; None where a price is not known."""
        if self.node_dbus is None or self.node_hour is None:
            return None
        return self.node_dbus * self.dbu + self.node_hour


class Prices(_Table, frozen=True, kw_only=True):
    """conf/prices.toml, where each price has its date and source. What is None is not predicted.

    `function`, `store` and `emr` are of AWS, the others of Azure.
    """

    function: FunctionPrices
    store: StorePrices
    emr: EmrPrices
    flex: FunctionPrices | None = None
    blob: StorePrices | None = None
    databricks: DatabricksPrices | None = None


_T = TypeVar("_T", Predictions, Prices)


@cache
def load_predictions() -> Predictions:
    """The measured constants that come with the package."""
    return parse_constants(_read("predictions.toml"), Predictions, origin="predictions.toml")


@cache
def load_prices() -> Prices:
    """The prices that come with the package."""
    return parse_constants(_read("prices.toml"), Prices, origin="prices.toml")


def parse_constants(text: str, into: type[_T], *, origin: str) -> _T:
    """The constants of a TOML text.

    Raises:
        UsageError: it is no TOML, or a constant is missing, unknown, of another type or out of bounds; it is named.
    """
    try:
        return msgspec.convert(tomllib.loads(text), into)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise UsageError(
            f"{origin}: {error}", next_step=f"correct conf/{origin}; docs/routing.md explains it"
        ) from error


def _read(name: str) -> str:
    return (resources.files("daily_batch") / name).read_text(encoding="utf-8")
