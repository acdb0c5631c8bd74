"""Which runner takes a tenant-day, and why, in words that a person can check."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from daily_batch.orchestration.routing.predict import (
    FunctionLimits,
    Prediction,
    Volume,
    predict_local,
    predict_messages,
    predict_spark,
    predict_temp_bytes,
)
from daily_batch.orchestration.routing.prices import Predictions, Prices
from daily_batch.settings import Settings

# The part of a time limit that a prediction may fill: a busy store or a slow neighbour takes the rest.
TIME_SHARE = 0.6


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Where the guide draws its lines, in messages a day, and the part of a time limit that may be planned with."""

    small_messages: int = Settings.small_messages
    large_messages: int = Settings.large_messages
    time_share: float = TIME_SHARE


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The runner of a day, the reasons in plain words, and what either runner would take."""

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
    choice: Literal["auto", "local", "spark"] = "auto",
) -> Decision:
    """Choose the runner of a day. A choice that was made wins; the reasons then also say what speaks against it."""
    messages = predict_messages(volume, predictions)
    local = predict_local(volume, limits=limits, predictions=predictions, prices=prices)
    spark = predict_spark(volume, predictions=predictions, prices=prices)
    temp_bytes = predict_temp_bytes(volume, predictions)
    too_much = tuple(_explain_spark(messages, local, temp_bytes, limits, thresholds))
    fits = tuple(_explain_local(messages, local, limits, thresholds))
    runner: Literal["local", "spark"]
    if choice == "auto":
        runner, reasons = ("spark", too_much) if too_much else ("local", fits)
    else:
        against = too_much if choice == "local" else () if too_much else fits
        runner, reasons = choice, (f"{choice} was asked for", *(f"although {reason}" for reason in against))
    return Decision(runner=runner, reasons=reasons, local=local, spark=spark)


def _explain_spark(
    messages: int, local: Prediction, temp_bytes: int, limits: FunctionLimits, thresholds: Thresholds
) -> Iterator[str]:
    """Why a day must go to Spark; nothing if it need not."""
    if messages > thresholds.large_messages:
        yield f"about {messages:,} messages, more than large_messages {thresholds.large_messages:,}"
    if limits.seconds and local.seconds > thresholds.time_share * limits.seconds:
        yield (
            f"predicted {local.seconds:,.0f} s, more than {thresholds.time_share:g} of the {limits.seconds:,.0f} s"
            " that a local run has"
        )
    if local.memory_bytes > limits.memory_bytes:
        yield f"needs {_mib(local.memory_bytes)} of memory, a local run has {_mib(limits.memory_bytes)}"
    if temp_bytes > limits.temp_bytes:
        yield f"needs {_mib(temp_bytes)} of temporary disk, a local run has {_mib(limits.temp_bytes)}"


def _explain_local(messages: int, local: Prediction, limits: FunctionLimits, thresholds: Thresholds) -> Iterator[str]:
    """Why a day may stay, when nothing speaks against it."""
    if messages <= thresholds.small_messages:
        yield f"about {messages:,} messages, within small_messages {thresholds.small_messages:,}: the free tier serves"
    else:
        yield f"about {messages:,} messages, within large_messages {thresholds.large_messages:,}"
    limit = f"of {limits.seconds:,.0f} s" if limits.seconds else "without a time limit"
    yield f"predicted {local.seconds:,.0f} s {limit}"
    yield f"needs {_mib(local.memory_bytes)} of memory, a local run has {_mib(limits.memory_bytes)}"


def _mib(amount: int) -> str:
    return f"{amount / 2**20:,.0f} MiB"
