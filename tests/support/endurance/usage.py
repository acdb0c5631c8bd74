"""Measure CPU time and memory of this process and of all processes below it, by role."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil

SAMPLE_SECONDS = 1.0
TEST = "the test itself"
# A process has the role of the first part that its command line contains, otherwise its parent's.
ROLES: Mapping[str, str] = {
    "tests.local_cloud.aws.server": "AWS services (moto, EMR Serverless, IAM)",
    "local.main.ServerRunner": "DynamoDB Local",
    "tests.local_cloud.aws.lambda_runtime": "functions",
    "tests.local_cloud.azure.functions.runtime": "functions",
    "azurite_server": "Azurite",
    "blob_gateway": "Azurite's gateway",
    "cosmosdb_server": "Cosmos DB",
    "SparkSubmit": "Spark",
}


@dataclass
class Usage:
    """CPU seconds by role so far, and the largest resident memory of all processes together, in bytes.

    A process that ends is counted up to its last sample.
    """

    peak_bytes: int = 0
    _began: float = field(default_factory=time.monotonic)
    _seconds: dict[tuple[int, float], tuple[str, float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def elapsed(self) -> float:
        """Return the seconds since the first process was measured."""
        return time.monotonic() - self._began

    def seconds(self) -> dict[str, float]:
        """Return the CPU seconds of each role, most first."""
        self.sample()
        total: dict[str, float] = {}
        with self._lock:
            for role, seconds in self._seconds.values():
                total[role] = total.get(role, 0.0) + seconds
        return dict(sorted(total.items(), key=lambda each: -each[1]))

    def sample(self) -> None:
        """Read the counters of all processes."""
        with self._lock:
            self.peak_bytes = max(self.peak_bytes, self._read(psutil.Process(), TEST))

    def _read(self, process: psutil.Process, inherited: str) -> int:
        """Read a process and those below it, and return their resident bytes."""
        try:
            with process.oneshot():
                command, times = " ".join(process.cmdline()), process.cpu_times()
                resident, children = process.memory_info().rss, process.children()
                key = (process.pid, process.create_time())
        except psutil.Error:  # it has just ended
            return 0
        found = (role for part, role in ROLES.items() if part in command)
        role = TEST if inherited == TEST and process.pid == psutil.Process().pid else next(found, inherited)
        self._seconds[key] = (role, times.user + times.system)
        return resident + sum(self._read(each, role) for each in children)


@contextmanager
def measure_usage() -> Iterator[Usage]:
    """Sample in the background until the context ends."""
    usage, ended = Usage(), threading.Event()

    def sample() -> None:
        while not ended.wait(SAMPLE_SECONDS):
            usage.sample()

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield usage
    finally:
        ended.set()
        thread.join()
