"""What a person sees while a run is at work, on standard error: bars on a terminal, else a line now and then."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

QUIET_SECONDS = 2.0


News = Callable[[str, int, int, str], None]


@contextmanager
def show_progress() -> Iterator[Callable[[str], News]]:
    """Gives a label's progress: a bar on a terminal, lines elsewhere."""
    if not sys.stderr.isatty():
        yield LineProgress
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        yield lambda label: BarProgress(bars, label)


class BarProgress:
    """A bar with share, rate and time left of the stage that a label is in."""

    def __init__(self, bars: Progress, label: str) -> None:
        self._bars = bars
        self._label = label
        self._stage = ""
        self._started = 0.0
        self._task = bars.add_task(label, total=None, told="")

    def __call__(self, stage: str, done: int, total: int, unit: str) -> None:
        """Take news of a stage: `done` of `total` units (0: unknown)."""
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._started = stage, now
            self._bars.reset(self._task, description=f"{self._label} {stage}", told="")
        told = _tell(done, total, unit, now - self._started)
        self._bars.update(self._task, completed=done, total=total or None, told=told)


class LineProgress:
    """Prints how far a stage is and how fast it goes; never message content."""

    def __init__(self, label: str, *, stream: TextIO | None = None) -> None:
        self._label = label
        self._stream = stream
        self._stage = ""
        self._done = 0
        self._started = self._printed = 0.0

    def __call__(self, stage: str, done: int, total: int, unit: str) -> None:
        """Take news of a stage: `done` of `total` units (0: unknown); without a unit the stage is the news."""
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._done, self._started, self._printed = stage, -1, now, 0.0
        finished = total > 0 and done >= total
        if done == self._done or (not finished and now - self._printed < QUIET_SECONDS):
            return
        self._done, self._printed = done, now
        told = _tell(done, total, unit, now - self._started)
        print(f"{self._label} {stage}{told and f': {told}'}", file=self._stream or sys.stderr, flush=True)


def _tell(done: int, total: int, unit: str, spent: float) -> str:
    if not unit:  # a word, not a measure
        return ""
    share = f"{done:,}/{total:,}" if total else f"{done:,}"
    rate = f", {done / spent:,.{0 if done > 10 * spent else 1}f} a second" if spent > 1 else ""
    return f"{share} {unit}{rate}"
