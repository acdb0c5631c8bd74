"""One night on a local cloud: the schedule, the worker, jobs and their ends, until every day has ended."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Protocol

LOOK_SECONDS = 0.3
ENDS = ("COMPLETED", "COMPLETED_WITH_REJECTS", "FAILED")


class NightFailed(Exception):
    """A function failed that nobody calls again, or the night did not end in time."""


class NightCloud(Protocol):
    """A deployment, as a night needs it."""

    def ask(self) -> int:
        """Let the schedule call; how many messages it put on the queue.

        Raises:
            NightFailed: it failed.
        """

    def working(self, *, concurrency: int, say: Callable[[str], None]) -> AbstractContextManager[object]:
        """Give messages to the worker, so many at once; each is told of when it has been dealt with."""

    def follow(self, say: Callable[[str], None]) -> Iterable[tuple[str, str]]:
        """Do what jobs bring about; each change since the last call as its step and a line."""

    def reconcile(self) -> Mapping[str, Any]:
        """Let the watcher look at everything; its summary.

        Raises:
            NightFailed: it failed.
        """

    def look(self, tenant: str, day: date) -> Mapping[str, Any]:
        """The ledger's item of a day, empty where there is none."""


@dataclass(frozen=True, kw_only=True)
class NightReport:
    """How a night went: the watcher's last summary, what the dispatcher queued, and seconds until each step."""

    summary: dict[str, Any]
    queued: int
    seconds: dict[str, float]


@dataclass
class Night:
    """Drives one night. `say` gets a line for each change."""

    cloud: NightCloud
    day: date
    tenants: Sequence[str]
    say: Callable[[str], None]
    reconcile_seconds: float = 10.0
    patience_seconds: float = 600.0
    _began: float = field(default_factory=time.monotonic)
    _seconds: dict[str, float] = field(default_factory=dict)
    _states: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def run(self, *, concurrency: int = 2) -> NightReport:
        """Fire the schedule, and follow the night to its end.

        Args:
            concurrency: how many days are at work in functions at once.

        Raises:
            NightFailed: it does not end.
        """
        queued = self.cloud.ask()
        self._note("queued", f"the dispatcher put {queued} messages on the queue")
        with self.cloud.working(concurrency=concurrency, say=self.say):
            summary = self._follow()
        self._note("ended", "every day has ended")
        return NightReport(summary=summary, queued=queued, seconds=self._seconds)

    def _follow(self) -> dict[str, Any]:
        """Follow jobs and reconcile, until the watcher says that nothing will change by itself."""
        reconciled = time.monotonic()
        while time.monotonic() - self._began < self.patience_seconds:
            self._look()
            for step, line in self.cloud.follow(self.say):
                self._note(step, line)
            over = all(state in ENDS for state in self._states.values()) and len(self._states) == len(self.tenants)
            if over or time.monotonic() - reconciled > self.reconcile_seconds:
                summary = self.cloud.reconcile()
                reconciled = time.monotonic()
                if summary["ended"]:
                    self._look()
                    return dict(summary)
            time.sleep(LOOK_SECONDS)
        raise NightFailed(f"the night did not end within {self.patience_seconds:.0f} s: {self._states}")

    def _look(self) -> None:
        """Say which days have changed, by the ledger."""
        for tenant in self.tenants:
            item = self.cloud.look(tenant, self.day)
            state = item.get("status")
            if state and state != self._states.get(tenant):
                self._states[tenant] = state
                self._note(f"{tenant} {state}", f"{tenant:<10} {state}{_details(item)}")

    def _note(self, step: str, line: str) -> None:
        with self._lock:
            self._seconds.setdefault(step, round(time.monotonic() - self._began, 1))
        self.say(line)


def _details(item: Mapping[str, Any]) -> str:
    told = [f"{name} {item[name]}" for name in ("runner", "job_id", "message_count") if item.get(name) is not None]
    return f"  {', '.join(told)}" if told else ""
