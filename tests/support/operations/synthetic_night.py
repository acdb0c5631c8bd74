"""A night with real functions, called as a cloud calls them; only clock, jobs and queue are test doubles.

What they tell by log and metrics is what is told when they are deployed.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from daily_batch.domain.url import StorageUrl
from daily_batch.errors import TerminalError
from daily_batch.ledger import Entry, Ledger
from daily_batch.ledger.item_codec import to_item
from daily_batch.metadata.sqlite import SqliteStore
from daily_batch.orchestration import Task
from daily_batch.orchestration.dispatch import Dispatch
from daily_batch.orchestration.spark_jobs import JobStatus
from daily_batch.pipeline.runners.local import LocalRunner
from daily_batch.settings import Settings
from daily_batch.telemetry import NoTelemetry, Telemetry
from tests.support.day_runs import DAY
from tests.support.job_service import Clock, Service

SERVICE_DOWN = TerminalError("the service refuses", next_step="allow it")


@dataclass
class Jobs(Service):
    """A job service that can fail to report status."""

    down: bool = False

    def get_status(self, job_id: str) -> JobStatus:
        if self.down:
            raise SERVICE_DOWN
        return super().get_status(job_id)


@dataclass
class DeniedRunner:
    """A runner whose output is denied."""

    name: str = "local"

    def run(self, *_: Any, **__: Any) -> Any:
        raise TerminalError("the output is denied", next_step="allow it")


@dataclass
class Night:
    """The surroundings of the functions; `queue` has the tasks that they queued again."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    clock: Clock = field(default_factory=Clock)
    jobs: Jobs = field(default_factory=Jobs)
    local: Callable[[], Any] = LocalRunner
    queue: list[Task] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("in", "out", "temp"):
            (self.folder / name).mkdir()
        self.set(TENANT_ID="acme", MAKOTO_INPUT=str(self.folder / "in"), MAKOTO_OUTPUT=str(self.folder / "out"))
        # Workers remove the leftovers of killed ones there.
        self.monkeypatch.setattr("tempfile.tempdir", str(self.folder / "temp"))
        for name in ("worker", "watcher"):
            self.monkeypatch.setattr(f"daily_batch.orchestration.{name}.make_dispatch", self.dispatch)
        for name in ("dispatcher", "watcher"):
            self.monkeypatch.setattr(f"daily_batch.orchestration.{name}.open_ledger", lambda *_: self.ledger)

    def set(self, **variables: str) -> None:
        """Set environment variables as a deployment does."""
        for name, value in variables.items():
            self.monkeypatch.setenv(name, value)

    @property
    def ledger(self) -> Ledger:
        return Ledger(store=SqliteStore(self.folder / "ledger.sqlite"), clock=self.clock)

    def find(self, tenant: str) -> Entry:
        """Return the ledger's entry of the tenant's day."""
        found = self.ledger.find(tenant, DAY)
        assert found is not None
        return found

    def dispatch(
        self, settings: Settings, output: StorageUrl, *, telemetry: Telemetry | None = None, **_: Any
    ) -> Dispatch:
        return Dispatch(
            settings=settings,
            ledger=self.ledger,
            local=self.local,
            spark=self.local,
            submitter=self.jobs,
            telemetry=telemetry or NoTelemetry(),
        )

    def write(self, messages: int = 40, *, tenant: str = "acme", garbage: int = 0) -> None:
        """Write an export of the day with `garbage` further lines that are not records."""
        folder = self.folder / "in" / tenant / f"exports/messages/{DAY:%Y/%m/%d}"
        folder.mkdir(parents=True)
        lines = [
            json.dumps(
                {
                    "message_id": f"m{number}",
                    "room_id": "r1",
                    "user_id": "u1",
                    "role": "user",
                    "content": "Hello Bob",
                    "timestamp": f"{DAY}T03:{number // 60 % 60:02}:{number % 60:02}Z",
                }
            )
            for number in range(messages)
        ]
        lines += ["{Bob"] * garbage
        # Two objects, so that one unreadable object is less than half of them.
        for number in range(2):
            text = "".join(f"{line}\n" for line in lines[number::2])
            (folder / f"part-0000{2 * number}.jsonl").write_text(text, encoding="utf-8")

    def cut(self, *, tenant: str = "acme") -> None:
        """Add a truncated object to the export."""
        folder = self.folder / "in" / tenant / f"exports/messages/{DAY:%Y/%m/%d}"
        (folder / "part-00001.jsonl.gz").write_bytes(b"\x1f\x8b\x08\x00\x00")

    def remember(self, messages: int, *, days: int = 14) -> None:
        """Add completed days of acme before the night's."""
        for back in range(1, days + 1):
            entry = Entry(tenant="acme", day=DAY - timedelta(days=back), status="COMPLETED", message_count=messages)
            self.ledger.store.put(to_item(entry), expected=None)

    def end_job(self, settings: Settings, *, ago: timedelta = timedelta(0)) -> None:
        """Let the last submitted job publish its day and end some time ago."""
        self.jobs.publish_last(settings, now=self.clock())
        self.jobs.end, self.jobs.ended_at = "SUCCEEDED", self.clock() - ago
