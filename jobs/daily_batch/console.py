"""What a person sees while a run is at work: a line a stage on standard error, at most one every few seconds."""

import sys
import time
from typing import TextIO

QUIET_SECONDS = 2.0


class LineProgress:
    """Prints how far a stage is and how fast it goes; never message content."""

    def __init__(self, label: str, *, stream: TextIO | None = None) -> None:
        self._label = label
        self._stream = stream
        self._stage = ""
        self._done = 0
        self._started = self._printed = 0.0

    def __call__(self, stage: str, done: int, total: int, unit: str) -> None:
        """Take news of a stage: `done` of `total` units (0: unknown)."""
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._done, self._started, self._printed = stage, -1, now, 0.0
        finished = total > 0 and done >= total
        if done == self._done or (not finished and now - self._printed < QUIET_SECONDS):
            return
        self._done, self._printed = done, now
        share = f"{done:,}/{total:,}" if total else f"{done:,}"
        spent = now - self._started
        rate = f", {done / spent:,.{0 if done > 10 * spent else 1}f} a second" if spent > 1 else ""
        print(f"{self._label} {stage}: {share} {unit}{rate}", file=self._stream or sys.stderr, flush=True)
