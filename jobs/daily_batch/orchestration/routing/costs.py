"""Compute what days cost: predicted for each host on which a day can run, and summed by tenant and month.

Pure functions of volumes, prices and costs. docs/project/costs.md shows the resulting tables.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from msgspec.structs import replace

from daily_batch.orchestration.routing.billing import GIB, MIB
from daily_batch.orchestration.routing.jobs import MIN_DISK_GB, predict_databricks, predict_emr
from daily_batch.orchestration.routing.predict import FunctionLimits, Volume, predict_local, predict_temp_bytes
from daily_batch.orchestration.routing.prices import FunctionPrices, Predictions, Prices, at_azure_prices
from daily_batch.settings import Settings

MONTH_DAYS = 30
# As template.yaml and infra/azure/main.bicep deploy them, minus the 90 s that the end of a day needs. A Lambda function
# has one core per 1,769 MB; Flex Consumption gives two cores and 0.8 GB of temporary disk for 4,096 MB.
LAMBDA = FunctionLimits(memory_bytes=3_008 * MIB, seconds=810, cores=3_008 / 1_769, temp_bytes=4_096 * MIB)
FLEX = FunctionLimits(memory_bytes=4_096 * MIB, seconds=1_710, cores=2, temp_bytes=800_000_000)
# The time limit of a job in each service (databricks.yml has the same).
JOB_SECONDS = Settings.job_timeout_minutes * 60

NO_DBUS = "not predicted: the DBUs and the price of a node were not found"
NO_AZURE_PRICES = "not predicted: no price of Azure is known"
SINGAPORE = "prices of Singapore"
ASSUMED = "the cluster's start and size are assumed"
NO_STORAGE_PRICE = "without disk beyond 20 GB a worker, whose price was not found"


@dataclass(frozen=True, kw_only=True)
class HostCost:
    """The cost of a day on one host.

    Attributes:
        host: The host's name.
        runner: The runner on this host.
        seconds: The predicted time of a day.
        memory_bytes: The memory that a day needs.
        usd_day: The price of a day; None if the day cannot run there, or a price is not known.
        usd_month: The price of 30 such days.
        usd_month_after_free: The same minus the monthly free tier, if only this tenant uses it.
        obstacles: The reasons why the day cannot run there.
        notes: The assumptions behind the numbers.
    """

    host: str
    runner: str
    seconds: float
    memory_bytes: int
    usd_day: float | None
    usd_month: float | None
    usd_month_after_free: float | None
    obstacles: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MonthCost:
    """The cost of a tenant's days in a month (YYYY-MM); the costs of `unknown` of the days are not known."""

    tenant: str
    month: str
    days: int
    cost_usd: float
    unknown: int


def predict_costs(
    volume: Volume, *, predictions: Predictions, prices: Prices, vcpus: int = Settings.emr_vcpus
) -> tuple[HostCost, ...]:
    """Predict a day's cost on every host: Lambda, EMR Serverless (a job of `vcpus`), Azure Functions, Databricks."""
    azure = at_azure_prices(prices)
    flex = replace(azure, function=prices.flex) if azure and prices.flex else None
    return (
        _predict_function("Lambda", volume, LAMBDA, predictions, prices),
        _predict_emr(volume, predictions, prices, vcpus),
        _predict_function("Azure Functions", volume, FLEX, predictions, flex or prices, priced=flex is not None),
        *_predict_databricks(volume, predictions, azure),
    )


def sum_by_month(days: Iterable[tuple[str, date, float | None]]) -> tuple[MonthCost, ...]:
    """Sum the costs of days that have ended by tenant and month of the business day, sorted by both.

    Args:
        days: Tenant, business day and cost of each day; None: the cost is not known.
    """
    months: dict[tuple[str, str], list[float | None]] = {}
    for tenant, day, cost in days:
        months.setdefault((tenant, f"{day:%Y-%m}"), []).append(cost)
    return tuple(
        MonthCost(
            tenant=tenant,
            month=month,
            days=len(costs),
            cost_usd=sum(cost or 0 for cost in costs),
            unknown=costs.count(None),
        )
        for (tenant, month), costs in sorted(months.items())
    )


def _predict_function(
    host: str, volume: Volume, limits: FunctionLimits, predictions: Predictions, prices: Prices, *, priced: bool = True
) -> HostCost:
    local = predict_local(volume, limits=limits, predictions=predictions, prices=prices)
    temp_bytes = predict_temp_bytes(volume, predictions)
    obstacles = []
    if local.seconds > limits.seconds:
        obstacles.append(f"takes {local.seconds:,.0f} s of {limits.seconds:,.0f} s")
    if local.memory_bytes > limits.memory_bytes:
        obstacles.append(f"needs {local.memory_bytes / MIB:,.0f} MiB of memory")
    if temp_bytes > limits.temp_bytes:
        obstacles.append(f"needs {temp_bytes / 1e9:,.1f} GB of {limits.temp_bytes / 1e9:,.1f} GB of temporary disk")
    usd = local.cost_usd if priced else None
    gb_seconds = MONTH_DAYS * local.seconds * limits.memory_bytes / GIB
    note = () if prices.blob is None or prices.store != prices.blob else (SINGAPORE,)
    return _make_cost(
        host,
        "local",
        local.seconds,
        limits.memory_bytes,
        usd,
        free=_price_free(gb_seconds, prices.function),
        obstacles=tuple(obstacles),
        notes=note if priced else (NO_AZURE_PRICES,),
    )


def _price_free(gb_seconds: float, prices: FunctionPrices) -> float:
    """Return what the free tier saves in a month of one call a day."""
    time = min(gb_seconds, prices.free_gb_seconds) * prices.gb_second
    return time + min(MONTH_DAYS, prices.free_requests) * prices.request


def _predict_emr(volume: Volume, predictions: Predictions, prices: Prices, vcpus: int) -> HostCost:
    job = predict_emr(volume, vcpus=vcpus, predictions=predictions, prices=prices)
    return _make_cost(
        "EMR Serverless",
        "spark",
        job.seconds,
        job.memory_bytes,
        job.usd,
        obstacles=_find_time_obstacle(job.seconds),
        notes=("start assumed",) if job.disk_gb <= MIN_DISK_GB else ("start assumed", NO_STORAGE_PRICE),
    )


def _predict_databricks(volume: Volume, predictions: Predictions, prices: Prices | None) -> Iterable[HostCost]:
    job = predict_databricks(volume, predictions=predictions, prices=prices)
    if job is None:
        return
    yield _make_cost(
        "Databricks",
        "spark",
        job.seconds,
        job.memory_bytes,
        job.usd,
        obstacles=_find_time_obstacle(job.seconds),
        notes=(f"{job.node_hours:,.2f} node-hours", ASSUMED if job.usd is not None else NO_DBUS),
    )


def _find_time_obstacle(seconds: float) -> tuple[str, ...]:
    return (f"takes {seconds:,.0f} s of {JOB_SECONDS:,} s",) if seconds > JOB_SECONDS else ()


def _make_cost(
    host: str,
    runner: str,
    seconds: float,
    memory_bytes: int,
    usd: float | None,
    *,
    free: float = 0.0,
    obstacles: tuple[str, ...],
    notes: tuple[str, ...],
) -> HostCost:
    day = None if obstacles else usd
    month = None if day is None else MONTH_DAYS * day
    return HostCost(
        host=host,
        runner=runner,
        seconds=seconds,
        memory_bytes=memory_bytes,
        usd_day=day,
        usd_month=month,
        usd_month_after_free=None if month is None else max(month - free, 0.0),
        obstacles=obstacles,
        notes=notes,
    )
