"""What a person sees while a run is at work: a line a stage on standard error, at most one every few seconds."""

import sys
import time
from typing import TextIO

QUIET_SECONDS = 2.0


class LineProgress:
    """Prints how far a stage is and how fast it goes; never message content."""

    def __init__(self, label: str, *, stream: TextIO | None = None) -> None:
        self._label = label
        self._stream = stream or sys.stderr
        self._stage = ""
        self._started = self._printed = time.monotonic()

    def __call__(self, stage: str, done: int, total: int, unit: str) -> None:
        """Take news of a stage: `done` of `total` units (0: unknown)."""
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._started, self._printed = stage, now if total else self._printed, 0.0
        finished = total and done >= total
        if not finished and total and now - self._printed < QUIET_SECONDS:
            return
        if not total and self._printed and now - self._printed < QUIET_SECONDS:
            return
        self._printed = now
        share = f"{done:,}/{total:,}" if total else f"{done:,}"
        spent = now - self._started
        rate = f", {done / spent:,.0f} {unit} a second" if spent > 1 else ""
        print(f"{self._label} {stage}: {share} {unit}{rate}", file=self._stream, flush=True)
