"""Decide which runner takes a tenant-day: pure functions of its volume, limits and prices (docs/routing.md)."""

from daily_batch.orchestration.routing.decide import Decision, Thresholds, decide
from daily_batch.orchestration.routing.predict import (
    FunctionLimits,
    Prediction,
    Volume,
    predict_disk_gb,
    predict_executors,
)
from daily_batch.orchestration.routing.prices import Predictions, Prices, load_predictions, load_prices

__all__ = [
    "Decision",
    "FunctionLimits",
    "Prediction",
    "Predictions",
    "Prices",
    "Thresholds",
    "Volume",
    "decide",
    "load_predictions",
    "load_prices",
    "predict_disk_gb",
    "predict_executors",
]
