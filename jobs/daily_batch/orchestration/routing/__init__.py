"""Decide which runner takes a tenant-day: pure functions of its volume, limits and prices (docs/routing.md)."""

from daily_batch.orchestration.routing.decide import Decision, Thresholds, decide
from daily_batch.orchestration.routing.jobs import count_executors, predict_disk_gb
from daily_batch.orchestration.routing.predict import FunctionLimits, Prediction, Volume
from daily_batch.orchestration.routing.prices import Predictions, Prices, load_predictions, load_prices

__all__ = [
    "Decision",
    "FunctionLimits",
    "Prediction",
    "Predictions",
    "Prices",
    "Thresholds",
    "Volume",
    "count_executors",
    "decide",
    "load_predictions",
    "load_prices",
    "predict_disk_gb",
]
