"""The watcher: job ends with and without events, retries, and metrics."""

import sys
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from obstore.store import ObjectStore

from daily_batch.domain.receipt import Receipt
from daily_batch.errors import RetryableError
from daily_batch.orchestration.spark_jobs import JobState, SparkJob
from daily_batch.pipeline.publish.receipts import read_receipt
from tests.support.day_runs import DAY
from tests.support.job_service import Service
from tests.support.local_night import TASK, LocalNight


def submit(night: LocalNight) -> None:
    night.settings["runner"] = "spark"
    assert night.handle() == "submitted"


def test_19_reconciliation_settles_a_job_whose_event_was_lost(night: LocalNight) -> None:
    submit(night)
    assert not night.reconcile().ended
    receipt = night.publish_job()
    night.service.end = "SUCCEEDED"
    summary = night.reconcile()
    assert (summary.ended, summary.queued, summary.attention) == (True, 0, ())
    assert night.entry().message_count == receipt.records.written
    assert len(night.job_ends) == 1
    night.reconcile()
    assert len(night.job_ends) == 1  # recorded once


def test_duplicate_events_settle_a_day_once(night: LocalNight) -> None:
    submit(night)
    night.publish_job()
    night.service.end = "SUCCEEDED"
    assert night.watcher().settle(night.request())
    assert not night.watcher().settle(night.request())
    assert len(night.job_ends) == 1


@pytest.mark.parametrize(("minutes", "expected"), [(1, 0), (14, 1)])
def test_19_a_job_end_found_late_by_reconciliation_is_drift(
    night: LocalNight, monkeypatch: pytest.MonkeyPatch, minutes: int, expected: int
) -> None:
    submit(night)
    night.publish_job()
    night.service.end, night.service.ended_at = "SUCCEEDED", night.clock.now
    night.clock.now += timedelta(minutes=minutes)
    assert (night.run_watcher(monkeypatch).sums()["DaysDrifted"], night.entry().is_complete) == (expected, True)
    night.clock.now += timedelta(minutes=15)
    assert night.run_watcher(monkeypatch).sums()["DaysDrifted"] == 0  # recorded once


def test_a_late_event_and_a_running_job_are_no_drift(night: LocalNight, monkeypatch: pytest.MonkeyPatch) -> None:
    submit(night)
    night.clock.now += timedelta(hours=2)
    assert night.run_watcher(monkeypatch).sums()["DaysDrifted"] == 0
    night.publish_job()
    night.service.end, night.service.ended_at = "SUCCEEDED", night.clock.now - timedelta(hours=1)
    assert night.watcher().settle(night.request())
    assert night.run_watcher(monkeypatch).sums()["DaysDrifted"] == 0


def test_the_watcher_measures_the_day_of_a_job_once(night: LocalNight, monkeypatch: pytest.MonkeyPatch) -> None:
    submit(night)
    assert night.run_watcher(monkeypatch).sums() == {"DaysLate": 0, "DaysDrifted": 0, "TenantsInTrouble": 0}
    receipt = night.publish_job()
    night.service.end = "SUCCEEDED"
    telemetry = night.run_watcher(monkeypatch)
    assert telemetry.steps == ["settle"]
    assert telemetry.sums() == {
        "DaysCompleted": 1,
        "DaySeconds": receipt.seconds["total"],
        "MessagesWritten": receipt.records.written,
        "RecordsRejected": receipt.records.rejected,
        "RejectPercent": round(100 * receipt.records.rejected / receipt.records.seen, 3),
        "ObjectsUnreadable": 0,
        "QualityWarnings": 0,
        "DaysUnusual": 0,
        "NewFields": 0,
        "DaysLate": 0,
        "DaysDrifted": 0,
        "TenantsInTrouble": 0,
    }
    assert "DaysCompleted" not in night.run_watcher(monkeypatch).sums()


@pytest.mark.parametrize(("end", "metric"), [("SUCCEEDED", "DaysCompleted"), ("FAILED", "DaysRepeated")])
def test_a_job_end_found_by_a_message_is_measured_once(
    night: LocalNight, monkeypatch: pytest.MonkeyPatch, end: JobState, metric: str
) -> None:
    submit(night)
    if end == "SUCCEEDED":
        night.publish_job()
    night.service.end = end
    assert night.deliver().sums()[metric] == 1
    night.service.end = "RUNNING"  # the next job, if there is one
    assert metric not in night.run_watcher(monkeypatch).sums()


def test_the_receipt_of_a_settled_day_is_read_once(night: LocalNight, monkeypatch: pytest.MonkeyPatch) -> None:
    submit(night)
    night.publish_job()
    night.service.end = "SUCCEEDED"
    read_keys: list[str] = []

    def record_read(store: ObjectStore, key: str) -> Receipt | None:
        read_keys.append(key)
        return read_receipt(store, key)

    for name, module in list(sys.modules.items()):
        if name.startswith("daily_batch.") and getattr(module, "read_receipt", None) is read_receipt:
            monkeypatch.setattr(module, "read_receipt", record_read)
    assert night.run_watcher(monkeypatch).sums()["DaysCompleted"] == 1
    assert len(read_keys) == 1


def test_an_event_out_of_order_changes_nothing(night: LocalNight) -> None:
    submit(night)
    assert not night.watcher().settle(night.request())  # its job still runs, whatever the event reports
    assert (night.entry().status, night.queue) == ("SUBMITTED", [])


def test_a_retryable_job_failure_is_requeued_up_to_max_attempts(night: LocalNight) -> None:
    night.settings["max_attempts"] = 2
    submit(night)
    night.service.end = "FAILED"
    night.watcher().settle(night.request())
    assert night.queue == [TASK]
    assert night.handle() == "submitted"
    assert night.entry().attempts == 2
    night.reconcile()
    assert night.queue == [TASK]
    assert night.job_ends == [("failed", True), ("failed", False)]
    summary = night.reconcile()
    assert (summary.ended, summary.states) == (True, {"FAILED": 1})
    assert [each.tenant for each in summary.attention] == ["acme"]


def test_a_terminal_job_failure_is_not_requeued(night: LocalNight) -> None:
    submit(night)
    night.service.end, night.service.retryable = "FAILED", False
    assert night.reconcile().queued == 0
    assert night.job_ends == [("failed", False)]


def test_19_reconciliation_queues_a_retry_that_was_not_sent(night: LocalNight) -> None:
    submit(night)
    night.service.end = "FAILED"

    def refuse(tasks: Any) -> None:
        raise RetryableError("the queue does not accept tasks", next_step="try again")

    with pytest.raises(RetryableError):
        replace(night.watcher(), send=refuse).settle(night.request())
    assert night.entry().status == "FAILED"
    assert night.reconcile().queued == 1


def test_the_day_of_a_dead_worker_is_requeued_after_its_lease(night: LocalNight) -> None:
    night.ledger.acquire("acme", DAY, owner="another-host:1:1", run_id="dead")
    assert night.reconcile().queued == 0  # the worker may be alive
    night.clock.now += timedelta(minutes=3)
    summary = night.reconcile()
    assert (night.queue, summary.ended) == ([TASK], False)
    assert night.handle() == "published"


def test_19_jobs_of_past_days_are_settled_once_a_day(night: LocalNight) -> None:
    submit(night)
    night.service.end = "FAILED"
    night.clock.now += timedelta(days=90)  # 02:00 JST
    night.reconcile()
    assert night.entry().status == "SUBMITTED"
    night.clock.now += timedelta(hours=4, minutes=10)
    assert night.reconcile().queued == 1
    assert night.entry().status == "FAILED"


def test_a_refused_submission_is_requeued_up_to_max_attempts(night: LocalNight) -> None:
    night.settings |= {"runner": "spark", "max_attempts": 3}

    @dataclass
    class FullService(Service):
        def submit(self, job: SparkJob) -> str:
            raise RetryableError("there is no capacity", next_step="wait")

    night.service = FullService()
    queued = 0
    for _ in range(40):  # quarters of an hour
        if night.ledger.find("acme", DAY) is None or queued:
            with pytest.raises(RetryableError):
                night.handle()
        night.clock.now += timedelta(minutes=15)
        queued += night.reconcile().queued
    assert 0 < queued <= 3
    assert night.entry().attempts >= 3


def test_a_queued_day_is_not_queued_by_every_reconciliation(night: LocalNight) -> None:
    submit(night)
    night.service.end = "FAILED"
    night.watcher().settle(night.request())
    for _ in range(7):
        night.clock.now += timedelta(minutes=15)
        assert night.reconcile().queued == 0
    night.clock.now += timedelta(minutes=30)
    assert night.reconcile().queued == 1
    assert night.queue == [TASK, TASK]


def test_the_reason_of_a_cancellation_survives_a_dead_watcher(night: LocalNight) -> None:
    submit(night)

    @dataclass
    class DyingService(Service):
        def cancel(self, job_id: str) -> None:
            raise KeyboardInterrupt

    night.service = DyingService(end="WAITING", waiting_since=night.clock.now - timedelta(hours=7))
    with pytest.raises(KeyboardInterrupt):
        night.reconcile()
    night.service = Service(end="FAILED", retryable=False)
    assert night.reconcile().queued == 1
    assert "for workers" in str(night.entry().error)
