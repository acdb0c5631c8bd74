"""What a run used, in the units that its service bills, and what that is by list price (conf/prices.toml)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil

from daily_batch.orchestration.routing.prices import FunctionPrices, Prices

MIB, GIB = 2**20, 2**30
# 0.1 and 1e-3 are no floats: a time that is a whole number of steps must not become one step more.
_NO_STEP = 1e-9

Meter = Callable[[float], "Bill | None"]


@dataclass(frozen=True, kw_only=True)
class Bill:
    """Units of use by name, and USD by list price; None where a price is not known."""

    units: Mapping[str, float]
    usd: float | None = None


def price_job(units: Mapping[str, float], prices: Prices) -> Bill:
    """The bill of a job, by what its service says of it.

    Args:
        units: `vcpu_hours`, `memory_gb_hours` and `storage_gb_hours` of EMR Serverless, whose storage has no known
            price and is left out; or `node_hours` of Databricks, missing where nobody knows how many nodes there were.
    """
    if "vcpu_hours" in units:
        memory = units.get("memory_gb_hours", 0.0)
        return Bill(units=units, usd=units["vcpu_hours"] * prices.emr.vcpu_hour + memory * prices.emr.gb_hour)
    node_hour = prices.databricks.whole_node_hour if prices.databricks else None
    if "node_hours" not in units or node_hour is None:
        return Bill(units=units)
    return Bill(units=units, usd=units["node_hours"] * node_hour)


def price_function(seconds: float, *, memory_bytes: int, prices: FunctionPrices) -> Bill:
    """One call of a function that was at work so long: its whole memory, for its time in whole steps."""
    steps = ceil(max(seconds, prices.minimum_seconds) / prices.step_seconds - _NO_STEP)
    gb_seconds = steps * prices.step_seconds * memory_bytes / GIB
    return Bill(units={"gb_seconds": gb_seconds, "requests": 1}, usd=gb_seconds * prices.gb_second + prices.request)


def find_meter(environ: Mapping[str, str], *, memory_mb: int, prices: Prices) -> Meter:
    """How this process's time is priced: as Lambda, as Functions on Flex Consumption, or, elsewhere, not at all.

    It is our own measure of the day alone. What starts the process and ends the call is billed too: the truth is in
    Lambda's REPORT lines and in the bill.

    Args:
        memory_mb: of an instance, where the cloud does not tell it.
    """
    lambda_mb = int(environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE") or 0)
    if lambda_mb:
        return lambda seconds: price_function(seconds, memory_bytes=lambda_mb * MIB, prices=prices.function)
    flex = prices.flex
    if flex is not None and memory_mb and environ.get("WEBSITE_SKU") == "FlexConsumption":
        return lambda seconds: price_function(seconds, memory_bytes=memory_mb * MIB, prices=flex)
    return lambda seconds: None


def add_bills(known: Mapping[str, float] | None, known_usd: float | None, more: Bill) -> Bill:
    """All runs of a day together; what is not known of one adds nothing."""
    units = dict(known or {})
    for name, amount in more.units.items():
        units[name] = round(units.get(name, 0) + amount, 9)
    usd = known_usd if more.usd is None else round((known_usd or 0) + more.usd, 9)
    return Bill(units=units, usd=usd)
