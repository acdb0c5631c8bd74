"""A check at every few milliseconds of work."""

from collections.abc import Callable

# Called between pieces of work; raises to end them.
CancelCheck = Callable[[], None]

# Bytes of text that take at most some 5 ms; a step of work counts as so many bytes, however few it is about.
CHECKED_BYTES = 2**15
STEP_BYTES = 2**6


def never_cancel() -> None:
    """The check of a task that nothing ends."""


class Pace:
    """Calls `check` after so much work."""

    def __init__(self, check: CancelCheck) -> None:
        self._check = check
        self._left = CHECKED_BYTES

    def spend(self, size: int) -> None:
        """Take note of work on `size` bytes."""
        self._left -= size + STEP_BYTES
        if self._left < 0:
            self._left = CHECKED_BYTES
            self._check()
