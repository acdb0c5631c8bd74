"""One night on the local AWS: the schedule's event, the worker, jobs and their events, until every day has ended."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from daily_batch.metadata.keys import day_key, days_of
from local_cloud.functions import Answer
from local_cloud.stack import Stack

LOOK_SECONDS = 0.3
Events = Sequence[dict[str, Any]]


class NightFailed(Exception):
    """A function failed that nobody calls again, or the night did not end in time."""


@dataclass(frozen=True, kw_only=True)
class NightReport:
    """How a night went: the watcher's last summary, what the dispatcher queued, and seconds until each step."""

    summary: dict[str, Any]
    queued: int
    seconds: dict[str, float]


@dataclass
class Night:
    """Drives one night. `say` gets a line for each change; `route` may lose, double or reorder events of job runs."""

    stack: Stack
    day: date
    tenants: Sequence[str]
    say: Callable[[str], None]
    reconcile_seconds: float = 10.0
    patience_seconds: float = 600.0
    route: Callable[[Events], Events] = lambda events: events
    _began: float = field(default_factory=time.monotonic)
    _seconds: dict[str, float] = field(default_factory=dict)
    _states: dict[str, str] = field(default_factory=dict)
    _seen: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def run(self, *, concurrency: int = 2) -> NightReport:
        """Fire the schedule, and follow the night to its end.

        Args:
            concurrency: how many days are at work in functions at once.

        Raises:
            NightFailed: it does not end.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        queued = _expect(self.stack.schedule("NightSchedule", time=now), "the dispatcher")["queued"]
        self._note("queued", f"the dispatcher put {queued} messages on the queue")
        with ExitStack() as context:
            context.enter_context(self.stack.poller("WorkerFunction", concurrency=concurrency, told=self._worked))
            summary = self._follow()
        self._note("ended", "every day has ended")
        return NightReport(summary=summary, queued=queued, seconds=self._seconds)

    def _follow(self) -> dict[str, Any]:
        """Deliver events and reconcile, until the watcher says that nothing will change by itself."""
        reconciled = time.monotonic()
        while time.monotonic() - self._began < self.patience_seconds:
            self._look()
            self._deliver()
            over = all(state in ("COMPLETED", "COMPLETED_WITH_REJECTS", "FAILED") for state in self._states.values())
            due = time.monotonic() - reconciled > self.reconcile_seconds
            if due or (over and len(self._states) == len(self.tenants)):
                reconciled = time.monotonic()
                now = datetime.now(UTC).isoformat(timespec="seconds")
                summary = _expect(self.stack.schedule("ReconcileSchedule", time=now), "the watcher")
                if summary["ended"]:
                    self._look()
                    return dict(summary)
            time.sleep(LOOK_SECONDS)
        raise NightFailed(f"the night did not end within {self.patience_seconds:.0f} s: {self._states}")

    def _deliver(self) -> None:
        events = self.stack.aws.events(self._seen)
        self._seen += len(events)
        for event in events:
            self._note(
                f"job {event['detail']['state']}",
                f"job run {event['detail']['jobRunId']} is {event['detail']['state']}",
            )
        for event in self.route(events):
            for answer in self.stack.deliver(event):
                if answer.error:  # Lambda would call it twice more, then keep the event
                    self.say(f"the watcher failed at an event: {answer.error}")

    def _look(self) -> None:
        """Say which days have changed, by the ledger."""
        client, table = self.stack.aws.client("dynamodb"), self.stack.deployment.table.name
        for tenant in self.tenants:
            key = {"PK": {"S": days_of(tenant)}, "SK": {"S": day_key(self.day)}}
            item = client.get_item(TableName=table, Key=key).get("Item", {})
            state = item.get("status", {}).get("S", "")
            if state and state != self._states.get(tenant):
                self._states[tenant] = state
                self._note(f"{tenant} {state}", f"{tenant:<10} {state}{_details(item)}")

    def _worked(self, records: list[Any], answer: Answer) -> None:
        ended = f"failed: {answer.error}" if answer.error else "answered"
        if not answer.error and answer.result and answer.result.get("batchItemFailures"):
            ended = "gave the message back"
        self.say(f"the worker {ended} after {answer.seconds:.1f} s: {records[0]['body']}")

    def _note(self, step: str, line: str) -> None:
        with self._lock:
            self._seconds.setdefault(step, round(time.monotonic() - self._began, 1))
        self.say(line)


def _details(item: dict[str, Any]) -> str:
    told = [f"{name} {value}" for name in ("runner", "job_id", "message_count") if (value := _value(item.get(name)))]
    return f"  {', '.join(told)}" if told else ""


def _value(attribute: dict[str, str] | None) -> str:
    return next((value for kind, value in (attribute or {}).items() if kind in "SN"), "")


def _expect(answer: Answer, who: str) -> dict[str, Any]:
    if answer.error:
        raise NightFailed(f"{who} failed: {answer.error}: {answer.message}")
    result: dict[str, Any] = answer.result
    return result
