"""Cooperative cancellation: long work calls a check every few milliseconds."""

from collections.abc import Callable

# Called between steps of work; raises an exception to end them.
CancelCheck = Callable[[], None]

# Text that takes at most about 5 ms to process. Each step costs a fixed number of bytes on top, so that many tiny steps
# count too.
CHECK_INTERVAL_BYTES = 2**15
STEP_COST_BYTES = 2**6


def never_cancel() -> None:
    """Do nothing: the check of a task that nothing cancels."""


class Pacer:
    """Calls `check` whenever a fixed amount of work has been done."""

    def __init__(self, check: CancelCheck) -> None:
        self._check = check
        self._remaining = CHECK_INTERVAL_BYTES

    def spend(self, size: int) -> None:
        """Count work on `size` bytes, and call the check when enough work has been counted."""
        self._remaining -= size + STEP_COST_BYTES
        if self._remaining < 0:
            self._remaining = CHECK_INTERVAL_BYTES
            self._check()
