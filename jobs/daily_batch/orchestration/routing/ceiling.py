"""Compare the predicted cost of a day's job with the ceiling, `max_usd`, before the job is submitted."""

from dataclasses import dataclass
from math import ceil

from daily_batch.errors import TerminalError
from daily_batch.orchestration.routing.jobs import predict_databricks, predict_emr
from daily_batch.orchestration.routing.predict import Volume
from daily_batch.orchestration.routing.prices import Predictions, Prices, at_azure_prices
from daily_batch.settings import Settings

# Services that bill each job; a job of this machine's spark-submit costs nothing.
BILLED = ("emr-serverless", "databricks")


@dataclass(frozen=True, kw_only=True)
class JobCost:
    """The predicted cost of one run of a day's job, and the ceiling.

    Attributes:
        service: The Spark service, as the setting `spark` names it.
        usd: The predicted list price; None if it is not known.
        max_usd: The ceiling; 0: none.
        refused: Why the job is not submitted; empty if it is.
        next_step: What a person can do about it.
    """

    service: str
    usd: float | None
    max_usd: float
    refused: str = ""
    next_step: str = ""


def predict_job_cost(
    volume: Volume | None, settings: Settings, *, predictions: Predictions, prices: Prices
) -> JobCost | None:
    """Return what the day's job is predicted to cost; None if its Spark bills nothing.

    Args:
        volume: The day's volume; None if it could not be listed.
        settings: With the service, the quota and the ceiling.
    """
    if settings.spark not in BILLED:
        return None
    usd = _predict_usd(volume, settings, predictions, prices) if volume else None
    refused, next_step = _find_refusal(volume, usd, settings) if settings.max_usd else ("", "")
    return JobCost(service=settings.spark, usd=usd, max_usd=settings.max_usd, refused=refused, next_step=next_step)


def find_refusal(cost: JobCost | None) -> TerminalError | None:
    """Return the error with which a run refuses to submit the job; None if it submits it."""
    return TerminalError(cost.refused, next_step=cost.next_step) if cost and cost.refused else None


def _predict_usd(volume: Volume, settings: Settings, predictions: Predictions, prices: Prices) -> float | None:
    if settings.spark == "emr-serverless":
        return predict_emr(volume, vcpus=settings.emr_vcpus, predictions=predictions, prices=prices).usd
    job = predict_databricks(volume, predictions=predictions, prices=at_azure_prices(prices))
    return job.usd if job else None


def _find_refusal(volume: Volume | None, usd: float | None, settings: Settings) -> tuple[str, str]:
    """Return why the ceiling refuses the job, and the next step; empty if it does not. Doubt refuses, too."""
    ceiling = f"max_usd is {settings.max_usd:,.12g}"
    if volume is None:
        step = "see what the day costs with makoto-batch plan, then run it with MAKOTO_MAX_USD=0"
        return f"the day was not listed, so the cost of its job is not known, and {ceiling}", step
    if usd is None:
        step = "set node_dbus, node_hour and [blob] in conf/prices.toml, or run the day with MAKOTO_MAX_USD=0"
        return f"the cost of a job on {settings.spark} is not known, and {ceiling}", step
    if usd <= settings.max_usd:
        return "", ""
    cheaper = ", or store such days as exports" if volume.layout == "messages" else ""
    what = f"the job on {settings.spark} is predicted to cost {_format_usd(usd)} USD, and {ceiling}"
    return what, f"run the day with MAKOTO_MAX_USD={ceil(usd)} if it may cost that much{cheaper} (docs/costs.md)"


def _format_usd(amount: float) -> str:
    return f"{amount:,.2f}" if amount >= 1 else f"{amount:.4f}"
