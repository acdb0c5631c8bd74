"""Run one night on a local cloud: the schedule, the worker and the jobs, until every day has ended."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Protocol

POLL_SECONDS = 0.3
ENDS = ("COMPLETED", "COMPLETED_WITH_REJECTS", "FAILED")


class NightFailedError(Exception):
    """A function without retries failed, or the night did not end in time."""


class NightCloud(Protocol):
    """The interface by which a night accesses a deployment."""

    def fire_schedule(self) -> int:
        """Fire the schedule and return the number of messages that it queued.

        Raises:
            NightFailedError: the function failed.
        """

    def consume_queue(self, *, concurrency: int, on_progress: Callable[[str], None]) -> AbstractContextManager[object]:
        """Deliver messages to the worker, `concurrency` at a time, and report each result to `on_progress`."""

    def follow_jobs(self, on_progress: Callable[[str], None]) -> Iterable[tuple[str, str]]:
        """Deliver the events of jobs; yield a step and a line for each change since the last call."""

    def reconcile(self) -> Mapping[str, Any]:
        """Call the watcher's reconciliation and return its summary.

        Raises:
            NightFailedError: the function failed.
        """

    def ledger_item(self, tenant: str, day: date) -> Mapping[str, Any]:
        """Return the ledger's item of a day, or an empty mapping."""


@dataclass(frozen=True, kw_only=True)
class NightReport:
    """Result of a night: the watcher's last summary, the number of queued messages, and the seconds until each step."""

    summary: dict[str, Any]
    queued: int
    seconds: dict[str, float]


@dataclass
class Night:
    """Drive one night; `on_progress` is called with a line for each change."""

    cloud: NightCloud
    day: date
    tenants: Sequence[str]
    on_progress: Callable[[str], None]
    reconcile_seconds: float = 10.0
    patience_seconds: float = 600.0
    _started: float = field(default_factory=time.monotonic)
    _seconds: dict[str, float] = field(default_factory=dict)
    _states: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def run(self, *, concurrency: int = 2) -> NightReport:
        """Fire the schedule and follow the night to its end.

        Args:
            concurrency: how many messages the worker handles at the same time.

        Raises:
            NightFailedError: the night did not end within `patience_seconds`.
        """
        queued = self.cloud.fire_schedule()
        self._note("queued", f"the dispatcher put {queued} messages on the queue")
        with self.cloud.consume_queue(concurrency=concurrency, on_progress=self.on_progress):
            summary = self._follow()
        self._note("ended", "every day has ended")
        return NightReport(summary=summary, queued=queued, seconds=self._seconds)

    def _follow(self) -> dict[str, Any]:
        """Follow jobs and reconcile until the watcher reports the night as ended."""
        reconciled = time.monotonic()
        while time.monotonic() - self._started < self.patience_seconds:
            self._report_changes()
            for step, line in self.cloud.follow_jobs(self.on_progress):
                self._note(step, line)
            all_ended = all(state in ENDS for state in self._states.values()) and len(self._states) == len(self.tenants)
            if all_ended or time.monotonic() - reconciled > self.reconcile_seconds:
                summary = self.cloud.reconcile()
                reconciled = time.monotonic()
                if summary["ended"]:
                    self._report_changes()
                    return dict(summary)
            time.sleep(POLL_SECONDS)
        raise NightFailedError(f"the night did not end within {self.patience_seconds:.0f} s: {self._states}")

    def _report_changes(self) -> None:
        """Report the days whose state in the ledger has changed."""
        for tenant in self.tenants:
            item = self.cloud.ledger_item(tenant, self.day)
            state = item.get("status")
            if state and state != self._states.get(tenant):
                self._states[tenant] = state
                self._note(f"{tenant} {state}", f"{tenant:<10} {state}{_details(item)}")

    def _note(self, step: str, line: str) -> None:
        with self._lock:
            self._seconds.setdefault(step, round(time.monotonic() - self._started, 1))
        self.on_progress(line)


def _details(item: Mapping[str, Any]) -> str:
    details = [f"{name} {item[name]}" for name in ("runner", "job_id", "message_count") if item.get(name) is not None]
    return f"  {', '.join(details)}" if details else ""
