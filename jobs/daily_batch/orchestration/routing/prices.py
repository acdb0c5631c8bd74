"""Load the constants of predictions and the list prices from conf/predictions.toml and conf/prices.toml."""

import tomllib
from functools import cache
from importlib import resources
from typing import Annotated, TypeVar

import msgspec

from daily_batch.errors import UsageError

# The upper bound excludes infinity and NaN, which would pass as numbers: NaN fails only an upper bound.
Amount = Annotated[float, msgspec.Meta(ge=0, le=1e15)]
Positive = Annotated[float, msgspec.Meta(gt=0, le=1e15)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Stored(_Table, frozen=True, kw_only=True):
    """How a day is stored: bytes per message, objects per LIST request, manifest per object, and files written."""

    export_message_bytes: Positive
    object_message_bytes: Positive
    objects_per_list: Positive
    manifest_object_bytes: Positive
    files_written: Count


class Local(_Table, frozen=True, kw_only=True):
    """The local runner: seconds of one core, memory, and temporary disk."""

    cores: Positive
    start_seconds: Amount
    object_core_seconds: Amount
    message_core_seconds: Amount
    memory_base_bytes: Count
    memory_message_bytes: Amount
    memory_most_bytes: Count
    temp_message_bytes: Amount


class Spark(_Table, frozen=True, kw_only=True):
    """The Spark runner: seconds until it computes, of one core per message, and of the driver per listed object."""

    start_seconds: Amount
    message_core_seconds: Amount
    list_object_seconds: Amount


class StoreLimits(_Table, frozen=True, kw_only=True):
    """The requests per second that a store answers for each partition, and the partitions that hold a tenant."""

    gets_per_second: Positive
    puts_per_second: Positive
    partitions: Count


class Emr(_Table, frozen=True, kw_only=True):
    """An EMR Serverless job, as assumed: none of these values is measured."""

    start_seconds: Amount
    driver_vcpu: Count
    driver_gb: Count
    executor_vcpu: Count
    executor_gb: Count
    executor_seconds: Positive


class Databricks(_Table, frozen=True, kw_only=True):
    """A Databricks run on a cluster of the bundle's nodes, as assumed: none of these values is measured."""

    start_seconds: Amount
    node_vcpu: Count
    node_gb: Count
    worker_seconds: Positive
    max_workers: Count


class Predictions(_Table, frozen=True, kw_only=True):
    """The content of conf/predictions.toml, which explains each constant."""

    stored: Stored
    local: Local
    spark: Spark
    s3: StoreLimits
    emr: Emr
    blob: StoreLimits | None = None
    databricks: Databricks | None = None


class FunctionPrices(_Table, frozen=True, kw_only=True):
    """A function's prices: USD per GB-second and per request, how time is billed, and the monthly free tier."""

    gb_second: Amount
    request: Amount
    minimum_seconds: Amount = 0
    step_seconds: Positive = 0.001
    free_gb_seconds: Amount = 0
    free_requests: Amount = 0


class StorePrices(_Table, frozen=True, kw_only=True):
    """An object store's prices: USD per request."""

    get: Amount
    put: Amount
    list: Amount


class EmrPrices(_Table, frozen=True, kw_only=True):
    """EMR Serverless prices: USD per hour of a vCPU and of a GB, and the minimum billed seconds of a worker."""

    vcpu_hour: Amount
    gb_hour: Amount
    minimum_seconds: Amount


class DatabricksPrices(_Table, frozen=True, kw_only=True):
    """Databricks prices: USD per DBU; DBUs per node-hour and USD per hour of its virtual machine, if known."""

    dbu: Amount
    node_dbus: Amount | None = None
    node_hour: Amount | None = None

    @property
    def whole_node_hour(self) -> float | None:
        """USD per hour of a node with its virtual machine; None if a price is not known."""
        if self.node_dbus is None or self.node_hour is None:
            return None
        return self.node_dbus * self.dbu + self.node_hour


class Prices(_Table, frozen=True, kw_only=True):
    """The content of conf/prices.toml, which gives each price's date and source. Without a price, no cost is predicted.

    `function`, `store` and `emr` are prices of AWS, the others of Azure.
    """

    function: FunctionPrices
    store: StorePrices
    emr: EmrPrices
    flex: FunctionPrices | None = None
    blob: StorePrices | None = None
    databricks: DatabricksPrices | None = None


def at_azure_prices(prices: Prices) -> Prices | None:
    """Return the prices with Azure's store; None if its prices are not known."""
    return msgspec.structs.replace(prices, store=prices.blob) if prices.blob else None


_T = TypeVar("_T", Predictions, Prices)


@cache
def load_predictions() -> Predictions:
    """Return the package's constants."""
    return parse_constants(_read("predictions.toml"), Predictions, origin="predictions.toml")


@cache
def load_prices() -> Prices:
    """Return the package's prices."""
    return parse_constants(_read("prices.toml"), Prices, origin="prices.toml")


def parse_constants(text: str, into: type[_T], *, origin: str) -> _T:
    """Parse constants from a TOML text.

    Raises:
        UsageError: The text is not TOML, or a constant is missing, unknown, of another type or out of bounds; the
            message names it.
    """
    try:
        return msgspec.convert(tomllib.loads(text), into)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise UsageError(
            f"{origin}: {error}", next_step=f"correct conf/{origin}; docs/routing.md explains it"
        ) from error


def _read(name: str) -> str:
    return (resources.files("daily_batch") / name).read_text(encoding="utf-8")
