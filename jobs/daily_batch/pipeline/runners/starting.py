"""Start Spark in the background: its process reads settings, takes the lease and lists the day meanwhile."""

import atexit
import sys
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from threading import Thread

from daily_batch.domain.run import RunSpec
from daily_batch.pipeline.discover.manifest import Manifest
from daily_batch.pipeline.runners.base import Progress, Runner, RunResult
from daily_batch.storage.stores import Storage

# Spark's start and its first job take five seconds on a quiet machine.
PATIENCE_SECONDS, CANCEL_SECONDS = 10.0, 0.5


class StartingRunner:
    """A Spark runner that starts at once, and that `run` waits for. An error of the start is raised by `run`."""

    name = "spark"

    def __init__(self, start: Callable[[], Runner]) -> None:
        self._started: Future[Runner] = Future()
        # A daemon, because a process that fails meanwhile first cancels what it waits for.
        self._thread = Thread(target=self._start, args=(start,), name="start-spark", daemon=True)
        self._thread.start()
        atexit.register(self._end)

    def _start(self, start: Callable[[], Runner]) -> None:
        try:
            self._started.set_result(start())
        except BaseException as error:
            self._started.set_exception(error)

    def _end(self) -> None:
        """Wait for the start: a process that ended before it would print what its libraries leak.

        Spark starts in any case. Its first job, which starts the workers, may wait for a cluster forever.
        """
        self._thread.join(PATIENCE_SECONDS)
        while self._thread.is_alive():
            with suppress(Exception):
                _cancel_jobs()
            self._thread.join(CANCEL_SECONDS)

    def run(
        self, manifest: Manifest, *, spec: RunSpec, storage: Storage, scratch: Path, progress: Progress
    ) -> RunResult:
        """See `Runner.run`."""
        started = self._started.result()
        return started.run(manifest, spec=spec, storage=storage, scratch=scratch, progress=progress)


def _cancel_jobs() -> None:
    """Cancel the jobs of this process's Spark, if it has one that has started."""
    pyspark = sys.modules.get("pyspark")
    context = pyspark.SparkContext._active_spark_context if pyspark else None
    if context is not None:
        context.cancelAllJobs()
