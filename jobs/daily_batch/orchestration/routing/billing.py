"""Price what a run used by list price (conf/prices.toml): a job's hours, or a function's time."""

from collections.abc import Callable, Mapping
from math import ceil

from daily_batch.domain.bill import Bill
from daily_batch.orchestration.routing.prices import FunctionPrices, Prices

MIB, GIB = 2**20, 2**30
# 0.1 and 0.001 have no exact float: rounding must not bill one step more for a whole number of steps.
_ROUNDING = 1e-9

Meter = Callable[[float], Bill | None]


def price_job(units: Mapping[str, float], prices: Prices) -> Bill:
    """Price a job by the usage that its service reports.

    Args:
        units: `vcpu_hours`, `memory_gb_hours` and `storage_gb_hours` of EMR Serverless, whose storage has no known
            price and is left out; or `node_hours` of Databricks, absent if the number of nodes is unknown.
    """
    if "vcpu_hours" in units:
        memory = units.get("memory_gb_hours", 0.0)
        return Bill(units=units, usd=units["vcpu_hours"] * prices.emr.vcpu_hour + memory * prices.emr.gb_hour)
    node_hour = prices.databricks.whole_node_hour if prices.databricks else None
    if "node_hours" not in units or node_hour is None:
        return Bill(units=units)
    return Bill(units=units, usd=units["node_hours"] * node_hour)


def price_function(seconds: float, *, memory_bytes: int, prices: FunctionPrices) -> Bill:
    """Price one invocation of a function: its configured memory for its duration, rounded up to billing steps."""
    steps = ceil(max(seconds, prices.minimum_seconds) / prices.step_seconds - _ROUNDING)
    gb_seconds = steps * prices.step_seconds * memory_bytes / GIB
    return Bill(units={"gb_seconds": gb_seconds, "requests": 1}, usd=gb_seconds * prices.gb_second + prices.request)


def find_meter(environ: Mapping[str, str], *, memory_mb: int, prices: Prices) -> Meter:
    """Return how this process's time is priced: as Lambda, as Functions on Flex Consumption, or not at all.

    The estimate covers the day's own run only. The service also bills start and end of the invocation: Lambda's REPORT
    lines and the invoice have the exact numbers.

    Args:
        environ: Environment variables, which distinguish Lambda from Functions.
        memory_mb: Memory of an instance, for a cloud that does not report it.
        prices: List prices.
    """
    lambda_mb = int(environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE") or 0)
    if lambda_mb:
        return lambda seconds: price_function(seconds, memory_bytes=lambda_mb * MIB, prices=prices.function)
    flex = prices.flex
    if flex is not None and memory_mb and environ.get("WEBSITE_SKU") == "FlexConsumption":
        return lambda seconds: price_function(seconds, memory_bytes=memory_mb * MIB, prices=flex)
    return lambda seconds: None
