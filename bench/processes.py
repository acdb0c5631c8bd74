"""Sample the processes of a session: memory and CPU time by kind of process."""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

SAMPLE_SECONDS = 0.25
# Of Spark: the Python driver, the JVM, which in local mode is also the executor, and PySpark's daemon with its workers.
Kind = Literal["python", "jvm", "workers"]


class Process(NamedTuple):
    """A process as it is now: proportional set size in MiB, and its own user and system seconds so far."""

    pid: int
    kind: Kind
    mib: float
    cpu_seconds: float


@dataclass(frozen=True, kw_only=True)
class Usage:
    """The highest sum of a session's memory, the highest sum of each kind's, and the CPU seconds of all processes."""

    peak_mib: float
    peak_mib_by_kind: Mapping[str, float]
    cpu_seconds: float


class SessionSampler:
    """Samples a session's processes in a thread; unlike a sum of RSS, proportional sets count shared pages once.

    CPU of a process that ends between two samples counts up to the last one.
    """

    def __init__(self, session: int) -> None:
        self._session = session
        self._peak = 0.0
        self._peaks: dict[str, float] = defaultdict(float)
        self._cpu: dict[int, float] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def stop(self) -> Usage:
        """End the sampling and return what it found."""
        self._done.set()
        self._thread.join()
        return Usage(
            peak_mib=self._peak, peak_mib_by_kind=dict(sorted(self._peaks.items())), cpu_seconds=sum(self._cpu.values())
        )

    def _sample(self) -> None:
        while not self._done.wait(SAMPLE_SECONDS):
            processes = list_session(self._session)
            self._cpu |= {process.pid: process.cpu_seconds for process in processes}
            sums = sum_by_kind(processes)
            self._peak = max(self._peak, sum(sums.values()))
            for kind, mib in sums.items():
                self._peaks[kind] = max(self._peaks[kind], mib)


def sum_by_kind(processes: Iterable[Process]) -> dict[str, float]:
    """Return the memory of processes by their kind, MiB."""
    sums: dict[str, float] = defaultdict(float)
    for process in processes:
        sums[process.kind] += process.mib
    return dict(sums)


def list_session(session: int) -> list[Process]:
    """Return the processes of a session (Linux; none elsewhere)."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().partition("(")[2].rpartition(")")
            fields = rest.split()
            if int(fields[3]) != session:
                continue
            command = (stat.parent / "cmdline").read_bytes()
            mib = _pss_mib(stat.parent)
        except OSError:  # the process ended after the listing
            continue
        ticks = int(fields[11]) + int(fields[12])
        found.append(Process(int(stat.parent.name), find_kind(name, command), mib, ticks / os.sysconf("SC_CLK_TCK")))
    return found


def find_kind(name: str, command: bytes) -> Kind:
    """Return the kind of a process by its name and command line; the workers have the daemon's, which forks them."""
    if name == "java":
        return "jvm"
    return "workers" if b"pyspark" in command and (b"daemon" in command or b"worker" in command) else "python"


def _pss_mib(folder: Path) -> float:
    lines = (folder / "smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
