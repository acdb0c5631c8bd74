"""Progress of a command on standard error: bars on a terminal, else a line every few seconds."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBars

if TYPE_CHECKING:
    from daily_batch.pipeline.runners.base import Progress

LINE_INTERVAL_SECONDS = 2.0


@contextmanager
def show_progress() -> "Iterator[Callable[[str], Progress]]":
    """Yield a function that opens the progress of a label: a bar on a terminal, lines elsewhere."""
    if not sys.stderr.isatty():
        yield LineProgress
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[amount]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with ProgressBars(*columns, console=Console(stderr=True), transient=True) as bars:
        yield lambda label: BarProgress(bars, label)


class BarProgress:
    """A bar with the share, rate and remaining time of a label's current stage."""

    def __init__(self, bars: ProgressBars, label: str) -> None:
        self._bars = bars
        self._label = label
        self._stage = ""
        self._started = 0.0
        self._task = bars.add_task(label, total=None, amount="")

    def __call__(self, stage: str, done: int, total: int, unit: str) -> None:
        """Show `done` of `total` units (0: unknown) of a stage."""
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._started = stage, now
            self._bars.reset(self._task, description=f"{self._label} {stage}", amount="")
        amount = _format_amount(done, total, unit, now - self._started)
        # Without a total a bar pulses: nothing is done yet, and something is being done.
        self._bars.update(self._task, completed=done, total=(total or None) if done else None, amount=amount)


class LineProgress:
    """Lines that say how far a stage is and how fast it runs; never message content."""

    def __init__(self, label: str, *, stream: TextIO | None = None) -> None:
        self._label = label
        self._stream = stream
        self._stage = ""
        self._done = 0
        self._started = self._printed = 0.0

    def __call__(self, stage: str, done: int, total: int, unit: str) -> None:
        """Print `done` of `total` units (0: unknown) of a stage; without a unit, the stage alone."""
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._done, self._started, self._printed = stage, -1, now, 0.0
        finished = total > 0 and done >= total
        if done == self._done or (not finished and now - self._printed < LINE_INTERVAL_SECONDS):
            return
        self._done, self._printed = done, now
        amount = _format_amount(done, total, unit, now - self._started)
        print(f"{self._label} {stage}{amount and f': {amount}'}", file=self._stream or sys.stderr, flush=True)


def _format_amount(done: int, total: int, unit: str, seconds: float) -> str:
    if not unit:
        return ""
    share = f"{done:,}/{total:,}" if total else f"{done:,}"
    rate = f", {done / seconds:,.{0 if done > 10 * seconds else 1}f} a second" if seconds > 1 else ""
    return f"{share} {unit}{rate}"
