"""Run the real functions for a night; only the clock, the job service and the queue are test doubles.

So their logs and metrics are those of a deployment.
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

STATUS_DENIED = TerminalError("the service refuses", next_step="allow it")


@dataclass
class Jobs(Service):
    """A job service that can refuse to report a status."""

    denies_status: bool = False

    def get_status(self, job_id: str) -> JobStatus:
        if self.denies_status:
            raise STATUS_DENIED
        return super().get_status(job_id)


@dataclass
class DeniedRunner:
    """A runner whose output is denied."""

    name: str = "local"

    def run(self, *_: Any, **__: Any) -> Any:
        raise TerminalError("the output is denied", next_step="allow it")


@dataclass
class Night:
    """Environment of the functions; `requeued` has the tasks that they put on the queue."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    clock: Clock = field(default_factory=Clock)
    jobs: Jobs = field(default_factory=Jobs)
    local_runner: Callable[[], Any] = LocalRunner
    requeued: list[Task] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("in", "out", "temp"):
            (self.folder / name).mkdir()
        self.set_env(TENANT_ID="acme", MAKOTO_INPUT=str(self.folder / "in"), MAKOTO_OUTPUT=str(self.folder / "out"))
        # A worker deletes temporary files of killed workers.
        self.monkeypatch.setattr("tempfile.tempdir", str(self.folder / "temp"))
        for name in ("worker", "watcher"):
            self.monkeypatch.setattr(f"daily_batch.orchestration.{name}.make_dispatch", self.dispatch)
        for name in ("dispatcher", "watcher"):
            self.monkeypatch.setattr(f"daily_batch.orchestration.{name}.open_ledger", lambda *_: self.ledger)

    def set_env(self, **variables: str) -> None:
        """Set environment variables as a deployment does."""
        for name, value in variables.items():
            self.monkeypatch.setenv(name, value)

    @property
    def ledger(self) -> Ledger:
        return Ledger(store=SqliteStore(self.folder / "ledger.sqlite"), clock=self.clock)

    def find_entry(self, tenant: str) -> Entry:
        """Return the ledger's entry for the tenant's day."""
        entry = self.ledger.find(tenant, DAY)
        assert entry is not None
        return entry

    def dispatch(
        self, settings: Settings, output: StorageUrl, *, telemetry: Telemetry | None = None, **_: Any
    ) -> Dispatch:
        return Dispatch(
            settings=settings,
            ledger=self.ledger,
            local=self.local_runner,
            spark=self.local_runner,
            submitter=self.jobs,
            telemetry=telemetry or NoTelemetry(),
        )

    def write_export(self, messages: int = 40, *, tenant: str = "acme", invalid: int = 0) -> None:
        """Write the day's export, with `invalid` more lines that are not JSON."""
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
        lines += ["{Bob"] * invalid
        # Two objects, so that one unreadable object is less than half of them.
        for number in range(2):
            text = "".join(f"{line}\n" for line in lines[number::2])
            (folder / f"part-0000{2 * number}.jsonl").write_text(text, encoding="utf-8")

    def write_truncated_object(self, *, tenant: str = "acme") -> None:
        """Add a truncated object to the export."""
        folder = self.folder / "in" / tenant / f"exports/messages/{DAY:%Y/%m/%d}"
        (folder / "part-00001.jsonl.gz").write_bytes(b"\x1f\x8b\x08\x00\x00")

    def add_completed_days(self, messages: int, *, days: int = 14) -> None:
        """Add completed days of acme to the ledger, before the night's day."""
        for days_ago in range(1, days + 1):
            entry = Entry(tenant="acme", day=DAY - timedelta(days=days_ago), status="COMPLETED", message_count=messages)
            self.ledger.store.put(to_item(entry), expected=None)

    def end_job(self, settings: Settings, *, ago: timedelta = timedelta(0)) -> None:
        """Publish the day of the last submitted job, and report its end as `ago` before now."""
        self.jobs.publish_last(settings, now=self.clock())
        self.jobs.end, self.jobs.ended_at = "SUCCEEDED", self.clock() - ago
