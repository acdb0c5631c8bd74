"""One tenant, one business day: message objects in, clean tables and a receipt out.

The public API, which docs/python.md describes. Importing it is cheap: what a run needs is loaded by the first call.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from daily_batch.errors import (
    BatchError,
    HandOverError,
    LeaseHeldError,
    RetryableError,
    TerminalError,
    UsageError,
)

if TYPE_CHECKING:
    from daily_batch.api import plan_day, run_day
    from daily_batch.domain.receipt import Receipt
    from daily_batch.orchestration.plan_day import DayPlan

__all__ = [
    "BatchError",
    "DayPlan",
    "HandOverError",
    "LeaseHeldError",
    "Receipt",
    "RetryableError",
    "TerminalError",
    "UsageError",
    "plan_day",
    "run_day",
]

_LAZY = {
    "DayPlan": "daily_batch.orchestration.plan_day",
    "Receipt": "daily_batch.domain.receipt",
    "plan_day": "daily_batch.api",
    "run_day": "daily_batch.api",
}

if not TYPE_CHECKING:  # type checkers would accept any name

    def __getattr__(name: str) -> object:
        """Load a name of the API when it is first used."""
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_LAZY[name]), name)
