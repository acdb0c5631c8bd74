"""How a run of a Databricks job goes from one state to the next."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from tests.local_cloud.azure.databricks.job_runs import Ending, JobRun, Program

LOOK_SECONDS = 0.05
TIMED_OUT = Ending(state="TIMEDOUT", details="Run timed out.")
CANCELED = Ending(state="CANCELED", details="Run cancelled.")
SKIPPED = Ending(state="SKIPPED", details="A run of this job is already active.")


@dataclass(frozen=True, kw_only=True)
class Walk:
    """Takes the runs of one job through their states, each in a thread of its own.

    `slots` are as many as may run at once; `pretend` tells what a run comes to that is not really run.
    """

    program: Program
    slots: threading.Semaphore
    pretend: Callable[[JobRun], Ending | None]

    def begin(self, run: JobRun) -> None:
        """Let the run go its way."""
        if self.slots.acquire(blocking=False):
            run.move("PENDING")
            threading.Thread(target=self._work, args=(run,), daemon=True).start()
        elif run.queues:
            run.move("QUEUED")
            threading.Thread(target=self._wait, args=(run,), daemon=True).start()
        else:
            run.move("TERMINATED", SKIPPED)

    def cancel(self, run: JobRun) -> None:
        """Ask for the run's end; it comes later."""
        if run.ending is None and not run.cancelled.is_set():
            run.move("TERMINATING")
            run.cancelled.set()

    def _wait(self, run: JobRun) -> None:
        while not run.cancelled.is_set():
            if self.slots.acquire(timeout=LOOK_SECONDS):
                run.move("PENDING")
                self._work(run)
                return
        run.move("TERMINATED", CANCELED)

    def _work(self, run: JobRun) -> None:
        try:
            pretended = self.pretend(run)
            ending = self._pretend(run, pretended) if pretended else self._try(run)
            run.move("TERMINATED", CANCELED if run.cancelled.is_set() else ending)
        finally:
            self.slots.release()

    def _pretend(self, run: JobRun, ending: Ending) -> Ending:
        if ending.state in ("QUEUED", "PENDING"):
            run.move(ending.state)
            run.cancelled.wait()
            return CANCELED
        if ending.state in ("SKIPPED", "INTERNAL_ERROR"):
            return ending
        run.move("RUNNING")
        limit = _limit(run)
        if ending.state == "RUNNING" or (limit is not None and ending.seconds > limit):
            run.cancelled.wait(limit)
            return TIMED_OUT
        run.cancelled.wait(ending.seconds)
        return ending

    def _try(self, run: JobRun) -> Ending:
        """Run the task, again if it may."""
        ending = self._attempt(run)
        while ending.state == "FAILED" and run.attempt < run.task.get("max_retries", 0) and not run.cancelled.is_set():
            run.attempt += 1
            ending = self._attempt(run)
        return ending

    def _attempt(self, run: JobRun) -> Ending:
        """Run the task's program, until it or its time ends or it is cancelled."""
        try:
            self.program.start(run)
            run.move("RUNNING")
            limit, waited = _limit(run), 0.0
            while (ending := self.program.poll(run)) is None:
                waited += LOOK_SECONDS
                if run.cancelled.wait(LOOK_SECONDS):
                    return CANCELED
                if limit is not None and waited > limit:
                    return TIMED_OUT
        except OSError as error:
            return Ending(state="INTERNAL_ERROR", code="CLUSTER_ERROR", details=type(error).__name__)
        else:
            return ending
        finally:
            self.program.end(run)


def _limit(run: JobRun) -> float | None:
    """In seconds, if there is one; the API's 0 is none."""
    return run.settings.get("timeout_seconds") or run.task.get("timeout_seconds") or None
