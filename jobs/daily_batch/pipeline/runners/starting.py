"""Start a runner in the background: its process reads settings, takes the lease and lists the day meanwhile."""

import atexit
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from threading import Thread

from daily_batch.domain.run import RunSpec
from daily_batch.pipeline.discover.manifest import Manifest
from daily_batch.pipeline.runners.base import Progress, Runner, RunResult
from daily_batch.storage.stores import Storage

# A process that ends while Spark starts would print what its libraries leak; a cluster may never answer.
MAX_WAIT_SECONDS = 30.0


class StartingRunner:
    """A runner that starts at once, and that `run` waits for. An error of the start is raised by `run`.

    Attributes:
        name: The runner's name.
    """

    def __init__(self, name: str, start: Callable[[], Runner]) -> None:
        self.name = name
        self._started: Future[Runner] = Future()
        # A daemon: a process that has failed meanwhile waits for it only so long.
        thread = Thread(target=self._start, args=(start,), name=f"start-{name}", daemon=True)
        thread.start()
        atexit.register(thread.join, MAX_WAIT_SECONDS)

    def _start(self, start: Callable[[], Runner]) -> None:
        try:
            self._started.set_result(start())
        except BaseException as error:
            self._started.set_exception(error)

    def run(
        self, manifest: Manifest, *, spec: RunSpec, storage: Storage, scratch: Path, progress: Progress
    ) -> RunResult:
        """See `Runner.run`."""
        started = self._started.result()
        return started.run(manifest, spec=spec, storage=storage, scratch=scratch, progress=progress)
