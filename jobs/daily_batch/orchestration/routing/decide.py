"""Choose the runner of a tenant-day, with reasons that can be checked."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from daily_batch.domain.run import RunnerChoice
from daily_batch.orchestration.routing.jobs import predict_spark
from daily_batch.orchestration.routing.predict import (
    FunctionLimits,
    Prediction,
    Volume,
    predict_local,
    predict_messages,
    predict_temp_bytes,
)
from daily_batch.orchestration.routing.prices import Predictions, Prices
from daily_batch.settings import Settings

# The share of a time limit that a prediction may use; a busy store or a slow neighbour may need the rest.
TIME_SHARE = 0.6


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """The guide's sizes of days, in messages, and the share of a time limit that a prediction may use."""

    small_messages: int = Settings.small_messages
    large_messages: int = Settings.large_messages
    time_share: float = TIME_SHARE


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The runner of a day, the reasons, and the prediction for each runner."""

    runner: Literal["local", "spark"]
    reasons: tuple[str, ...]
    local: Prediction
    spark: Prediction


def decide(
    volume: Volume,
    *,
    limits: FunctionLimits,
    thresholds: Thresholds,
    predictions: Predictions,
    prices: Prices,
    choice: RunnerChoice = "auto",
    vcpus: int = Settings.emr_vcpus,
) -> Decision:
    """Choose the runner of a day. A `choice` takes precedence; the reasons then include what speaks against it."""
    messages = predict_messages(volume, predictions)
    local = predict_local(volume, limits=limits, predictions=predictions, prices=prices)
    spark = predict_spark(volume, vcpus=vcpus, predictions=predictions, prices=prices)
    temp_bytes = predict_temp_bytes(volume, predictions)
    for_spark = tuple(_explain_spark(messages, local, temp_bytes, limits, thresholds))
    for_local = tuple(_explain_local(messages, local, limits, thresholds))
    runner: Literal["local", "spark"]
    if choice == "auto":
        runner, reasons = ("spark", for_spark) if for_spark else ("local", for_local)
    else:
        against = for_spark if choice == "local" else () if for_spark else for_local
        runner, reasons = choice, (f"{choice} was requested", *(f"although {reason}" for reason in against))
    return Decision(runner=runner, reasons=reasons, local=local, spark=spark)


def _explain_spark(
    messages: int, local: Prediction, temp_bytes: int, limits: FunctionLimits, thresholds: Thresholds
) -> Iterator[str]:
    """Yield the reasons why a day must run on Spark; none if it need not."""
    if messages > thresholds.large_messages:
        yield f"about {messages:,} messages, more than large_messages {thresholds.large_messages:,}"
    if limits.seconds and local.seconds > thresholds.time_share * limits.seconds:
        yield (
            f"predicted {local.seconds:,.0f} s, more than {thresholds.time_share:g} of the {limits.seconds:,.0f} s"
            " that a local run has"
        )
    if local.memory_bytes > limits.memory_bytes:
        yield f"needs {_format_mib(local.memory_bytes)} of memory, a local run has {_format_mib(limits.memory_bytes)}"
    if temp_bytes > limits.temp_bytes:
        yield f"needs {_format_mib(temp_bytes)} of temporary disk, a local run has {_format_mib(limits.temp_bytes)}"


def _explain_local(messages: int, local: Prediction, limits: FunctionLimits, thresholds: Thresholds) -> Iterator[str]:
    """Yield the reasons why a day may run locally, if it need not run on Spark."""
    if messages <= thresholds.small_messages:
        yield f"about {messages:,} messages, within small_messages {thresholds.small_messages:,}: the free tier serves"
    else:
        yield f"about {messages:,} messages, within large_messages {thresholds.large_messages:,}"
    limit = f"of {limits.seconds:,.0f} s" if limits.seconds else "without a time limit"
    yield f"predicted {local.seconds:,.0f} s {limit}"
    yield f"needs {_format_mib(local.memory_bytes)} of memory, a local run has {_format_mib(limits.memory_bytes)}"


def _format_mib(amount: int) -> str:
    return f"{amount / 2**20:,.0f} MiB"
