"""A night of the worker and the watcher in one process, with a local ledger and a fake job service."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from daily_batch.domain.receipt import Receipt
from daily_batch.domain.request import Request
from daily_batch.ledger import Entry, Ledger
from daily_batch.metadata.sqlite import SqliteStore
from daily_batch.orchestration import Task, watcher, write_task
from daily_batch.orchestration.dispatch import Dispatch
from daily_batch.orchestration.night_summary import Summary
from daily_batch.orchestration.watcher import Watcher, night_requests
from daily_batch.orchestration.worker import handle_message
from daily_batch.pipeline.runners.local import LocalRunner
from daily_batch.settings import Settings, load_settings
from tests.support.day_runs import DAY
from tests.support.job_service import Clock, Service
from tests.support.recording_telemetry import RecordingTelemetry

SENT = datetime(2025, 8, 12, 17, 0, tzinfo=UTC)
TASK = Task(tenant="acme", date="2025-08-12")
# The messages of a worker's last log line.
OUTCOMES = ("published", "submitted", "unchanged", "elsewhere", "given up")


@dataclass
class LocalNight:
    """A night of tenants with a local ledger, a fake job service, and a list as the queue."""

    folder: Path
    clock: Clock = field(default_factory=Clock)
    service: Service = field(default_factory=Service)
    settings: dict[str, object] = field(default_factory=dict)
    tenants: str = "acme"
    queue: list[Task] = field(default_factory=list)
    telemetry: RecordingTelemetry = field(default_factory=RecordingTelemetry)
    local: Callable[[], Any] = LocalRunner

    @property
    def ledger(self) -> Ledger:
        return Ledger(store=SqliteStore(self.folder / "ledger.sqlite"), clock=self.clock)

    def load_settings(self) -> Settings:
        flags = {"input": str(self.folder / "in"), "output": str(self.folder / "out"), "tenants": self.tenants}
        return load_settings(flags={**flags, **self.settings}, environ={})

    def dispatch(self, settings: Settings) -> Dispatch:
        return Dispatch(
            settings=settings, ledger=self.ledger, local=self.local, spark=self.local, submitter=self.service
        )

    def handle(self, task: Task = TASK, *, sent: datetime = SENT) -> str:
        """Deliver a message to the worker; return its outcome."""
        lines = self.deliver(task, sent=sent).lines
        return str(next(message for _, message, _ in reversed(lines) if message in OUTCOMES))

    def deliver(self, task: Task = TASK, *, sent: datetime = SENT) -> RecordingTelemetry:
        """Deliver a message to the worker; return its telemetry."""
        telemetry = RecordingTelemetry()
        handle_message(
            write_task(task),
            read_settings=self.load_settings,
            now=self.clock(),
            sent=sent,
            owner="test",
            seconds=600,
            telemetry=telemetry,
        )
        return telemetry

    def watcher(self) -> Watcher:
        return Watcher(
            settings=self.load_settings(),
            dispatch=self.dispatch(self.load_settings()),
            send=self.queue.extend,
            telemetry=self.telemetry,
        )

    @property
    def job_ends(self) -> list[tuple[str, bool]]:
        """Each recorded end of a job: published or failed, and whether the day is tried again."""
        lines = [(message, facts) for _, message, facts in self.telemetry.lines if "job_id" in facts]
        return [
            ("published" if message == "published" else "failed", facts.get("again", False)) for message, facts in lines
        ]

    @property
    def failures(self) -> list[str]:
        """The tenants and days that the watcher could not reconcile, as its errors name them."""
        return [message.partition(": ")[0] for message, facts in self.telemetry.errors if not facts]

    def reconcile(self) -> Summary:
        requests = night_requests(self.load_settings(), now=self.clock(), list_tenants=self.ledger.tenants)
        return self.watcher().reconcile(requests, now=self.clock()).summary

    def run_watcher(self, monkeypatch: pytest.MonkeyPatch) -> RecordingTelemetry:
        """Reconcile as the watcher's function does; return its telemetry."""
        telemetry = RecordingTelemetry()
        monkeypatch.setattr(watcher, "open_ledger", lambda *_: self.ledger)
        monkeypatch.setattr(
            watcher, "make_dispatch", lambda settings, _, **more: replace(self.dispatch(settings), **more)
        )
        watcher.reconcile(self.load_settings(), now=self.clock(), send=self.queue.extend, telemetry=telemetry)
        return telemetry

    def request(self) -> Request:
        return night_requests(self.load_settings(), now=self.clock(), list_tenants=list)[0]

    def entry(self, tenant: str = "acme") -> Entry:
        found = self.ledger.find(tenant, DAY)
        assert found is not None
        return found

    def publish_job(self) -> Receipt:
        """Run the last submitted job with the local runner."""
        return self.service.publish_last(self.load_settings(), now=self.clock())


def make_task(**changes: Any) -> Task:
    values = {"tenant": TASK.tenant, "date": TASK.date, "force": TASK.force}
    return Task(**{**values, **changes})
