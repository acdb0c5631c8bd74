"""Give all Python processes of a local cloud one shared clock: the machine's time plus an offset in a file.

Where LOCAL_CLOUD_CLOCK names no file, processes use the machine's time, as programs in other languages always do.
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
    """Set the time of this process and of every process that is started with `environment`."""

    file: Path

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that make a process follow this clock."""
        return {VARIABLE: str(self.file.resolve())}

    def set(self, moment: datetime) -> None:
        """Set the clock to a moment, from which it runs on."""
        new = self.file.with_suffix(".new")
        new.write_text(repr(moment.timestamp() - _TIME.machine()))
        new.replace(self.file)
        _TIME.follow(self.file)

    def forward(self, by: timedelta) -> None:
        """Advance the clock."""
        self.set(datetime.now(UTC) + by)

    def restore(self) -> None:
        """Return this process to the machine's time."""
        _TIME.move(0.0)


class _Time:
    """The offset of this process's time. Thread-safe."""

    def __init__(self) -> None:
        self._moved = 0.0
        self._travel: time_machine.travel | None = None
        self._read: tuple[int, int] | None = None
        self._lock = threading.Lock()

    @property
    def moved(self) -> float:
        return self._moved

    def machine(self) -> float:
        return time.time() - self._moved

    def follow(self, file: Path) -> None:
        """Move to the time in a file, which is replaced when it changes."""
        found = file.stat()
        if (found.st_ino, found.st_mtime_ns) != self._read:
            self.move(float(file.read_text()))
            self._read = (found.st_ino, found.st_mtime_ns)

    def move(self, seconds: float) -> None:
        with self._lock:
            self._read = None
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
    """Return the machine's time, which programs that do not follow the shared clock use."""
    return datetime.fromtimestamp(_TIME.machine(), UTC)


def to_shared_time(moment: datetime) -> datetime:
    """Convert a moment of the machine's time to the shared time."""
    return moment + timedelta(seconds=_TIME.moved)


def sync_clock() -> None:
    """Set this process's time to the shared time, if there is one."""
    if file := os.environ.get(VARIABLE):
        _TIME.follow(Path(file))
