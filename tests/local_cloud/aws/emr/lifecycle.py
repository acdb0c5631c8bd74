"""The state machine of EMR Serverless' job runs."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.local_cloud.aws.emr.job_runs import ENDED, JobRun, JobStartError, Outcome, Program, write_event

POLL_SECONDS = 0.05


@dataclass
class Lifecycle:
    """Move job runs through their states, each in its own thread; every change becomes an EventBridge event.

    `minute` returns the seconds in a minute of executionTimeoutMinutes.
    """

    program: Program
    region: str
    account: str
    slots: threading.Semaphore
    simulated: Callable[[JobRun], Outcome | None]
    minute: Callable[[], float]
    events: list[dict[str, Any]]

    def start(self, run: JobRun) -> None:
        """Start a run."""
        self._emit(run, "SUBMITTED", previous="")
        threading.Thread(target=self._drive, args=(run,), daemon=True).start()

    def cancel(self, run: JobRun) -> None:
        """Request the cancellation of a run."""
        self.move(run, "CANCELLING")
        run.cancelled.set()

    def move(self, run: JobRun, state: str, details: str = "") -> None:
        """Change the state and record the event."""
        if run.state == "CANCELLING" and state not in ENDED:
            return
        if run.working_since is not None and state not in ("RUNNING", "CANCELLING"):
            run.worked.append((datetime.now(UTC) - run.working_since).total_seconds())
            run.working_since = None
        previous, run.state = run.state, state
        run.details, run.updated = details[:256], datetime.now(UTC)
        self._emit(run, state, previous=previous)

    def _drive(self, run: JobRun) -> None:
        if not self.slots.acquire(blocking=False):
            self.move(run, "QUEUED")
            while not run.cancelled.is_set() and not self.slots.acquire(timeout=POLL_SECONDS):
                pass
            if run.cancelled.is_set():
                self.move(run, "CANCELLED")
                return
        try:
            self._work(run)
        finally:
            self.slots.release()

    def _work(self, run: JobRun) -> None:
        self.move(run, "PENDING")
        self.move(run, "SCHEDULED")
        simulated = self.simulated(run)
        if simulated:
            outcome = self._simulate(run, simulated)
        else:
            outcome = self._attempt(run)
            while outcome.state == "FAILED" and run.attempt < run.request.get("retryPolicy", {}).get("maxAttempts", 1):
                run.attempt += 1
                self.move(run, "PENDING")
                outcome = self._attempt(run)
        if run.cancelled.is_set():
            self.move(run, "CANCELLED", outcome.details)
        else:
            self.move(run, outcome.state, outcome.details)

    def _simulate(self, run: JobRun, outcome: Outcome) -> Outcome:
        if outcome.state == "SCHEDULED":
            run.details = outcome.details
            run.cancelled.wait()
            return Outcome(state="FAILED")
        self._mark_running(run)
        limit = self._time_limit(run)
        interrupted = run.cancelled.wait(timeout=limit if outcome.state == "RUNNING" else min(outcome.seconds, limit))
        if not interrupted and (outcome.state == "RUNNING" or outcome.seconds > limit):
            return self._time_out(run)
        return outcome

    def _attempt(self, run: JobRun) -> Outcome:
        """Run the job's program until it ends, times out or is cancelled."""
        try:
            self.program.start(run)
            self._mark_running(run)
            waited = 0.0
            while (outcome := self.program.poll(run)) is None:
                if run.cancelled.wait(POLL_SECONDS):
                    return Outcome(state="FAILED", details="The job run was cancelled.")
                waited += POLL_SECONDS
                if waited > self._time_limit(run):
                    return self._time_out(run)
        except (JobStartError, OSError, RuntimeError) as error:
            return Outcome(state="FAILED", details=str(error))
        else:
            return outcome
        finally:
            self.program.kill(run)
            self.program.clean_up(run)

    def _mark_running(self, run: JobRun) -> None:
        run.started = run.working_since = datetime.now(UTC)
        self.move(run, "RUNNING")

    def _time_limit(self, run: JobRun) -> float:
        """Return the time limit in seconds."""
        return float(run.request.get("executionTimeoutMinutes", 720)) * self.minute()

    def _time_out(self, run: JobRun) -> Outcome:
        self.cancel(run)
        return Outcome(state="FAILED", details="The job run was cancelled because it exceeded its execution timeout.")

    def _emit(self, run: JobRun, state: str, *, previous: str) -> None:
        self.events.append(write_event(run, state, previous=previous, region=self.region, account=self.account))
