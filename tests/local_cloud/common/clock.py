"""A time that the Python processes of a local cloud share: the machine's, moved by the seconds that a file holds.

Where LOCAL_CLOUD_CLOCK names no file, it is the machine's own. Programs in other languages keep the machine's.
"""

import os
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import time_machine

VARIABLE = "LOCAL_CLOUD_CLOCK"


@dataclass(frozen=True)
class Clock:
    """Sets the time of this process, and of those that are given `environment`."""

    file: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to keep the same time."""
        return {VARIABLE: str(self.file.resolve())}

    def set(self, moment: datetime) -> None:
        """Let it be this moment; time goes on from there."""
        new = self.file.with_suffix(".new")
        new.write_text(repr(moment.timestamp() - _TIME.machine()))
        new.replace(self.file)
        _TIME.follow(self.file)

    def forward(self, by: timedelta) -> None:
        """Let it be so much later."""
        self.set(datetime.now(UTC) + by)

    def restore(self) -> None:
        """Give this process the machine's time again."""
        _TIME.move(0.0)


class _Time:
    """How this process's time is moved; threads may share it."""

    def __init__(self) -> None:
        self._moved = 0.0
        self._travel: time_machine.travel | None = None
        self._lock = threading.Lock()

    @property
    def moved(self) -> float:
        return self._moved

    def machine(self) -> float:
        return time.time() - self._moved

    def follow(self, file: Path) -> None:
        self.move(float(file.read_text()))

    def move(self, seconds: float) -> None:
        with self._lock:
            if seconds == self._moved:
                return
            if self._travel:
                self._travel.stop()
            self._travel = None
            if seconds:
                self._travel = time_machine.travel(time.time() + seconds, tick=True)
                self._travel.start()
            self._moved = seconds


_TIME = _Time()


def machine_now() -> datetime:
    """The machine's own time, as programs see it that do not share ours."""
    return datetime.fromtimestamp(_TIME.machine(), UTC)


def as_shared(moment: datetime) -> datetime:
    """A moment of the machine's own time in the one that is shared."""
    return moment + timedelta(seconds=_TIME.moved)


def keep_time() -> None:
    """Move this process's time to the one that is shared, if any is."""
    if file := os.environ.get(VARIABLE):
        _TIME.follow(Path(file))
