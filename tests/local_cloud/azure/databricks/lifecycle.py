"""The state machine of Databricks job runs."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from tests.local_cloud.azure.databricks.job_runs import JobRun, Program, RunOutcome

POLL_SECONDS = 0.05
TIMED_OUT = RunOutcome(state="TIMEDOUT", details="Run timed out.")
CANCELED = RunOutcome(state="CANCELED", details="Run cancelled.")
SKIPPED = RunOutcome(state="SKIPPED", details="A run of this job is already active.")


@dataclass(frozen=True, kw_only=True)
class Lifecycle:
    """Move the runs of one job through their states, each in its own thread.

    `slots` limits how many run at once; `simulated` returns the outcome of a simulated run.
    """

    program: Program
    slots: threading.Semaphore
    simulated: Callable[[JobRun], RunOutcome | None]

    def start(self, run: JobRun) -> None:
        """Start a run."""
        if self.slots.acquire(blocking=False):
            run.move("PENDING")
            threading.Thread(target=self._work, args=(run,), daemon=True).start()
        elif run.queues:
            run.move("QUEUED")
            threading.Thread(target=self._wait, args=(run,), daemon=True).start()
        else:
            run.move("TERMINATED", SKIPPED)

    def cancel(self, run: JobRun) -> None:
        """Request the cancellation of a run, which ends later."""
        if run.outcome is None and not run.cancelled.is_set():
            run.move("TERMINATING")
            run.cancelled.set()

    def _wait(self, run: JobRun) -> None:
        while not run.cancelled.is_set():
            if self.slots.acquire(timeout=POLL_SECONDS):
                run.move("PENDING")
                self._work(run)
                return
        run.move("TERMINATED", CANCELED)

    def _work(self, run: JobRun) -> None:
        try:
            simulated = self.simulated(run)
            outcome = self._simulate(run, simulated) if simulated else self._run_with_retries(run)
            run.move("TERMINATED", CANCELED if run.cancelled.is_set() else outcome)
        finally:
            self.slots.release()

    def _simulate(self, run: JobRun, outcome: RunOutcome) -> RunOutcome:
        if outcome.state in ("QUEUED", "PENDING"):
            run.move(outcome.state)
            run.cancelled.wait()
            return CANCELED
        if outcome.state in ("SKIPPED", "INTERNAL_ERROR"):
            return outcome
        run.move("RUNNING")
        limit = _limit(run)
        if outcome.state == "RUNNING" or (limit is not None and outcome.seconds > limit):
            run.cancelled.wait(limit)
            return TIMED_OUT
        run.cancelled.wait(outcome.seconds)
        return outcome

    def _run_with_retries(self, run: JobRun) -> RunOutcome:
        """Run the task with its retries."""
        outcome = self._attempt(run)
        while outcome.state == "FAILED" and run.attempt < run.task.get("max_retries", 0) and not run.cancelled.is_set():
            run.attempt += 1
            outcome = self._attempt(run)
        return outcome

    def _attempt(self, run: JobRun) -> RunOutcome:
        """Run the task's program until it ends, times out or is cancelled."""
        try:
            self.program.start(run)
            run.move("RUNNING")
            limit, waited = _limit(run), 0.0
            while (outcome := self.program.poll(run)) is None:
                waited += POLL_SECONDS
                if run.cancelled.wait(POLL_SECONDS):
                    return CANCELED
                if limit is not None and waited > limit:
                    return TIMED_OUT
        except OSError as error:
            return RunOutcome(state="INTERNAL_ERROR", code="CLUSTER_ERROR", details=type(error).__name__)
        else:
            return outcome
        finally:
            self.program.kill(run)


def _limit(run: JobRun) -> float | None:
    """Return the time limit in seconds, or None; 0 means none in the API."""
    return run.settings.get("timeout_seconds") or run.task.get("timeout_seconds") or None
