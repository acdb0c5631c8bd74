"""The Azure Functions app, called through Microsoft's worker library, with a local storage account and queue."""

import json
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from azure_trigger.environment import read_settings
from daily_batch.domain.url import parse_url
from daily_batch.ledger import Entry, Ledger
from daily_batch.ledger.factory import open_ledger
from tests.local_cloud.azure.functions.worker import CallResult, FunctionsWorker, http_request, queue_message, timer
from tests.support.spark_session import ROOT

APP = ROOT / "azure_trigger"
HOST = json.loads((APP / "host.json").read_text())
QUEUES = HOST["extensions"]["queues"]
SENT = "2025-08-12T17:00:00+00:00"


class FunctionsApp:
    """The app with local folders for its storage account and a list for its queue."""

    def __init__(self, worker: FunctionsWorker, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
        self.folder = folder
        self.queue: list[tuple[str, int]] = []
        self._worker = worker
        self._caplog = caplog

    def post(self, body: bytes) -> CallResult:
        """Call the HTTP function with a request body."""
        return self._enqueue(self._worker.call("start", data=http_request(body)))

    def post_json(self, body: object) -> CallResult:
        return self.post(json.dumps(body).encode())

    def fire_timer(self, name: str, next_: str = "") -> CallResult:
        return self._enqueue(self._worker.call(name, data=timer(next_=next_)))

    def deliver(self, body: str, *, to: str = "worker", dequeued: int = 1) -> CallResult:
        data, metadata = queue_message(body, inserted=SENT, dequeued=dequeued)
        return self._worker.call(to, data=data, metadata=metadata)

    def drain_queue(self) -> None:
        """Deliver each message as often as host.json allows; deliver those that still fail to the poison queue."""
        while self.queue:
            body, count = self.queue.pop(0)
            if self.deliver(body, dequeued=count + 1).error is None:
                continue
            if count + 1 < QUEUES["maxDequeueCount"]:
                self.queue.append((body, count + 1))
            else:
                assert self.deliver(body, to="poison").error is None

    @property
    def ledger(self) -> Ledger:
        settings = read_settings()
        return open_ledger(settings, parse_url(settings.output))

    def entry(self, tenant: str, day: date) -> Entry:
        found = self.ledger.find(tenant, day)
        assert found is not None
        return found

    def log_lines(self, message: str | None = None) -> list[dict[str, Any]]:
        """Return the log lines so far, all of them or those with a message."""
        records = [record for record in self._caplog.records if record.name == "makoto-daily-batch"]
        lines = [json.loads(record.getMessage()) for record in records]
        return [line for line in lines if message in (None, line["message"])]

    def metric_sums(self) -> dict[str, int]:
        sums: Counter[str] = Counter()
        for line in self.log_lines("metric"):
            sums[line["metric"]] += line["value"]
        return dict(sums)

    def _enqueue(self, called: CallResult) -> CallResult:
        self.queue += [(body, 0) for body in called.outputs.get("tasks", [])]
        return called
