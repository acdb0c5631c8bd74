"""A night's work and watch: messages that come twice, jobs that no event told of, and what is asked for again."""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from obstore.store import ObjectStore

from daily_batch.domain.receipt import Receipt, receipt_key
from daily_batch.domain.request import Request
from daily_batch.errors import LeaseHeldError, RetryableError, TerminalError
from daily_batch.ledger import Entry, Ledger
from daily_batch.metadata.sqlite import SqliteStore
from daily_batch.orchestration import Task, watcher, worker, write_task
from daily_batch.orchestration.day_status import due_time
from daily_batch.orchestration.dispatch import Dispatch
from daily_batch.orchestration.night_summary import Summary
from daily_batch.orchestration.routing.route import UNLISTED
from daily_batch.orchestration.spark_jobs import JobState, JobStatus, SparkJob
from daily_batch.orchestration.watcher import Watcher, night_requests
from daily_batch.orchestration.worker import handle_message
from daily_batch.pipeline.publish.receipts import read_receipt
from daily_batch.pipeline.runners.local import LocalRunner
from daily_batch.settings import Settings, load_settings
from daily_batch.synthetic import generate
from tests.support.day_runs import DAY, read_tables
from tests.support.job_service import Clock, Service
from tests.support.recording_telemetry import RecordingTelemetry

SENT = datetime(2025, 8, 12, 17, 0, tzinfo=UTC)
TASK = Task(tenant="acme", date="2025-08-12")
# What a worker's last line says of a message.
OUTCOMES = ("published", "submitted", "unchanged", "elsewhere", "given up")


@dataclass
class Night:
    """A night of some tenants over one ledger, one service and a queue that tests look at."""

    folder: Path
    clock: Clock = field(default_factory=Clock)
    service: Service = field(default_factory=Service)
    settings: dict[str, object] = field(default_factory=dict)
    tenants: str = "acme"
    queue: list[Task] = field(default_factory=list)
    heard: RecordingTelemetry = field(default_factory=RecordingTelemetry)
    local: Callable[[], Any] = LocalRunner

    @property
    def ledger(self) -> Ledger:
        return Ledger(store=SqliteStore(self.folder / "ledger.sqlite"), clock=self.clock)

    def load(self) -> Settings:
        places = {"input": str(self.folder / "in"), "output": str(self.folder / "out"), "tenants": self.tenants}
        return load_settings(flags={**places, **self.settings}, environ={})

    def dispatch(self, settings: Settings) -> Dispatch:
        return Dispatch(
            settings=settings, ledger=self.ledger, local=self.local, spark=self.local, submitter=self.service
        )

    def work(self, task: Task = TASK, *, sent: datetime = SENT, seconds: int = 600) -> str:
        given = {"now": self.clock(), "sent": sent, "owner": "test", "seconds": seconds}
        heard = RecordingTelemetry()
        handle_message(write_task(task), read_settings=self.load, telemetry=heard, **given)  # type: ignore[arg-type]
        return next(message for _, message, _ in reversed(heard.lines) if message in OUTCOMES)

    def watcher(self) -> Watcher:
        return Watcher(
            settings=self.load(),
            dispatch=self.dispatch(self.load()),
            send=self.queue.extend,
            telemetry=self.heard,
        )

    @property
    def ended(self) -> list[tuple[str, bool]]:
        """Return each recorded end of a job: published or failed, and whether the day is tried again."""
        lines = [(message, facts) for _, message, facts in self.heard.lines if "job_id" in facts]
        return [
            ("published" if message == "published" else "failed", facts.get("again", False)) for message, facts in lines
        ]

    @property
    def troubles(self) -> list[str]:
        """The tenants and days that the watcher could not reconcile, as its errors name them."""
        return [message.partition(": ")[0] for message, facts in self.heard.errors if not facts]

    def reconcile(self) -> Summary:
        requests = night_requests(self.load(), now=self.clock(), list_tenants=self.ledger.tenants)
        return self.watcher().reconcile(requests, now=self.clock()).summary

    def tend(self, monkeypatch: pytest.MonkeyPatch) -> RecordingTelemetry:
        """What the watcher's function tells of a reconciliation."""
        heard = RecordingTelemetry()
        monkeypatch.setattr(watcher, "open_ledger", lambda *_: self.ledger)
        monkeypatch.setattr(watcher, "make_dispatch", lambda known, _, **more: replace(self.dispatch(known), **more))
        watcher.reconcile(self.load(), now=self.clock(), send=self.queue.extend, telemetry=heard)
        return heard

    def request(self) -> Request:
        return night_requests(self.load(), now=self.clock(), list_tenants=list)[0]

    def entry(self, tenant: str = "acme") -> Entry:
        found = self.ledger.find(tenant, DAY)
        assert found is not None
        return found

    def publish_job(self) -> Receipt:
        """What the last job that was asked for does, by the local runner."""
        return self.service.publish_last(self.load(), now=self.clock())


@pytest.fixture
def night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Night:
    generate(messages=60, layout="export", seed=1, out=tmp_path / "in", files=1)
    made = Night(tmp_path)
    monkeypatch.setattr(
        "daily_batch.orchestration.worker.make_dispatch", lambda settings, output, **_: made.dispatch(settings)
    )
    return made


# Messages


def test_5_a_message_that_comes_twice_publishes_once(night: Night) -> None:
    assert night.work() == "published"
    tables = read_tables(night.folder / "out")
    assert night.work() == "unchanged"
    assert (night.entry().token, read_tables(night.folder / "out")) == (1, tables)


def test_10_a_message_by_force_runs_the_day_again(night: Night) -> None:
    night.work()
    assert night.work(replace_task(force=True)) == "published"
    assert night.entry().token == 2


def test_16_a_day_that_would_lose_its_rows_waits_for_a_message_that_allows_it(night: Night) -> None:
    night.work()
    shutil.rmtree(night.folder / "in/acme/exports")
    with pytest.raises(TerminalError, match="would lose rows"):
        night.work()
    assert (night.entry().status, night.entry().retryable) == ("FAILED", False)
    later = night.clock() + timedelta(minutes=1)
    assert night.work(replace_task(allow_shrink="yamada"), sent=later) == "published"
    receipt = json.loads((night.folder / "out" / str(night.entry().receipt)).read_text())
    assert receipt["shrink"]["by"] == "yamada"


def test_5_a_message_whose_day_is_at_work_elsewhere_is_kept_until_that_run_has_ended(night: Night) -> None:
    night.ledger.acquire("acme", DAY, owner="another-host:1:1", run_id="other")
    with pytest.raises(LeaseHeldError):
        night.work()


def test_5_a_message_whose_day_is_with_a_job_is_done(night: Night) -> None:
    night.settings["runner"] = "spark"
    assert night.work() == "submitted"
    assert night.work() == "elsewhere"
    assert night.service.asked == 1


def test_a_day_that_failed_for_good_is_not_tried_again_by_the_same_message(night: Night) -> None:
    tries: list[int] = []

    @dataclass
    class Refusing:
        name: str = "local"

        def run(self, *_: Any, **__: Any) -> Any:
            tries.append(1)
            raise TerminalError("the output is denied", next_step="allow it")

    night.local = Refusing
    night.clock.now += timedelta(seconds=5)
    with pytest.raises(TerminalError):
        night.work()
    assert night.work() == "given up"
    assert len(tries) == 1
    night.local = LocalRunner
    assert night.work(sent=night.clock() + timedelta(minutes=1)) == "published"  # another message asks anew


def test_a_day_that_may_succeed_is_tried_again_by_the_same_message(night: Night) -> None:
    failing = iter([True])

    @dataclass
    class Flaky:
        name: str = "local"

        def run(self, *arguments: Any, **named: Any) -> Any:
            if next(failing, False):
                raise RetryableError("the store is down", next_step="run the day again")
            return LocalRunner().run(*arguments, **named)

    night.local = Flaky
    night.clock.now += timedelta(seconds=5)
    with pytest.raises(RetryableError):
        night.work()
    assert night.work() == "published"


# Jobs


def submit(night: Night) -> None:
    night.settings["runner"] = "spark"
    assert night.work() == "submitted"


def test_19_a_job_whose_event_was_lost_is_settled_by_the_reconciliation(night: Night) -> None:
    submit(night)
    assert not night.reconcile().ended
    receipt = night.publish_job()
    night.service.end = "SUCCEEDED"
    summary = night.reconcile()
    assert (summary.ended, summary.queued, summary.attention) == (True, 0, ())
    assert night.entry().message_count == receipt.records.written
    assert len(night.ended) == 1
    night.reconcile()
    assert len(night.ended) == 1  # told once


def test_an_event_that_comes_twice_or_late_ends_a_day_once(night: Night) -> None:
    submit(night)
    night.publish_job()
    night.service.end = "SUCCEEDED"
    assert night.watcher().settle(night.request())
    assert not night.watcher().settle(night.request())
    assert len(night.ended) == 1


@pytest.mark.parametrize(("minutes", "drifted"), [(1, 0), (14, 1)])
def test_19_a_job_that_had_ended_for_long_when_only_a_reconciliation_found_out_is_drift(
    night: Night, monkeypatch: pytest.MonkeyPatch, minutes: int, drifted: int
) -> None:
    submit(night)
    night.publish_job()
    night.service.end, night.service.ended_at = "SUCCEEDED", night.clock.now
    night.clock.now += timedelta(minutes=minutes)
    assert (night.tend(monkeypatch).sums()["DaysDrifted"], night.entry().is_complete) == (drifted, True)
    night.clock.now += timedelta(minutes=15)
    assert night.tend(monkeypatch).sums()["DaysDrifted"] == 0  # told once


def test_a_job_whose_event_came_late_or_that_is_still_at_work_is_no_drift(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(night)
    night.clock.now += timedelta(hours=2)
    assert night.tend(monkeypatch).sums()["DaysDrifted"] == 0
    night.publish_job()
    night.service.end, night.service.ended_at = "SUCCEEDED", night.clock.now - timedelta(hours=1)
    assert night.watcher().settle(night.request())
    assert night.tend(monkeypatch).sums()["DaysDrifted"] == 0


def test_a_jobs_day_is_measured_once_by_the_watcher_as_a_workers_is_by_the_worker(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(night)
    assert night.tend(monkeypatch).sums() == {"DaysLate": 0, "DaysDrifted": 0, "TenantsInTrouble": 0}
    receipt = night.publish_job()
    night.service.end = "SUCCEEDED"
    heard = night.tend(monkeypatch)
    assert heard.steps == ["settle"]
    assert heard.sums() == {
        "DaysCompleted": 1,
        "DaySeconds": receipt.seconds["total"],
        "MessagesWritten": receipt.records.written,
        "RecordsRejected": receipt.records.rejected,
        "RejectPercent": round(100 * receipt.records.rejected / receipt.records.seen, 3),
        "ObjectsUnreadable": 0,
        "QualityWarnings": 0,
        "DaysUnusual": 0,
        "DaysLate": 0,
        "DaysDrifted": 0,
        "TenantsInTrouble": 0,
    }
    assert "DaysCompleted" not in night.tend(monkeypatch).sums()


@pytest.mark.parametrize(("end", "metric"), [("SUCCEEDED", "DaysCompleted"), ("FAILED", "DaysRepeated")])
def test_a_jobs_end_that_the_next_message_finds_is_measured_by_its_worker_and_by_no_one_again(
    night: Night, monkeypatch: pytest.MonkeyPatch, end: JobState, metric: str
) -> None:
    submit(night)
    if end == "SUCCEEDED":
        night.publish_job()
    night.service.end = end
    given = {"now": night.clock(), "sent": SENT, "owner": "test", "seconds": 600}
    handle_message(write_task(TASK), read_settings=night.load, telemetry=(heard := RecordingTelemetry()), **given)  # type: ignore[arg-type]
    assert heard.sums()[metric] == 1
    night.service.end = "RUNNING"  # the next job, where there is one
    assert metric not in night.tend(monkeypatch).sums()


def test_the_receipt_of_a_settled_day_is_read_once(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    submit(night)
    night.publish_job()
    night.service.end = "SUCCEEDED"
    read: list[str] = []

    def counted(store: ObjectStore, key: str) -> Receipt | None:
        read.append(key)
        return read_receipt(store, key)

    for name, module in list(sys.modules.items()):
        if name.startswith("daily_batch.") and getattr(module, "read_receipt", None) is read_receipt:
            monkeypatch.setattr(module, "read_receipt", counted)
    assert night.tend(monkeypatch).sums()["DaysCompleted"] == 1
    assert len(read) == 1


def test_an_event_out_of_order_changes_nothing(night: Night) -> None:
    submit(night)
    assert not night.watcher().settle(night.request())  # its job still runs, whatever the event said
    assert (night.entry().status, night.queue) == ("SUBMITTED", [])


def test_a_job_that_failed_for_want_of_luck_is_asked_for_again_so_often_as_is_set(night: Night) -> None:
    night.settings["max_attempts"] = 2
    submit(night)
    night.service.end = "FAILED"
    night.watcher().settle(night.request())
    assert night.queue == [TASK]
    assert night.work() == "submitted"
    assert night.entry().attempts == 2
    night.reconcile()
    assert night.queue == [TASK]
    assert night.ended == [("failed", True), ("failed", False)]
    summary = night.reconcile()
    assert (summary.ended, summary.states) == (True, {"failed": 1})
    assert [each.tenant for each in summary.attention] == ["acme"]


def test_a_job_that_failed_for_good_is_not_asked_for_again(night: Night) -> None:
    submit(night)
    night.service.end, night.service.retryable = "FAILED", False
    assert night.reconcile().queued == 0
    assert night.ended == [("failed", False)]


def test_19_a_failure_whose_repetition_was_not_queued_is_queued_by_the_next_reconciliation(night: Night) -> None:
    submit(night)
    night.service.end = "FAILED"

    def refuse(tasks: Any) -> None:
        raise RetryableError("the queue does not take tasks", next_step="try again")

    with pytest.raises(RetryableError):
        replace(night.watcher(), send=refuse).settle(night.request())
    assert night.entry().status == "FAILED"
    assert night.reconcile().queued == 1


def test_a_worker_that_died_with_its_message_is_followed_by_another(night: Night) -> None:
    night.ledger.acquire("acme", DAY, owner="another-host:1:1", run_id="dead")
    assert night.reconcile().queued == 0  # it may still live
    night.clock.now += timedelta(minutes=3)
    summary = night.reconcile()
    assert (night.queue, summary.ended) == ([TASK], False)
    assert night.work() == "published"


def test_19_a_job_of_a_day_long_past_is_settled_once_a_day(night: Night) -> None:
    submit(night)
    night.service.end = "FAILED"
    night.clock.now += timedelta(days=90)  # 02:00 JST
    night.reconcile()
    assert night.entry().status == "SUBMITTED"
    night.clock.now += timedelta(hours=4, minutes=10)
    assert night.reconcile().queued == 1
    assert night.entry().status == "FAILED"


def test_a_job_that_is_refused_again_and_again_is_asked_for_so_often_as_is_set(night: Night) -> None:
    night.settings |= {"runner": "spark", "max_attempts": 3}

    @dataclass
    class Full(Service):
        def submit(self, job: SparkJob) -> str:
            raise RetryableError("there is no capacity", next_step="wait")

    night.service = Full()
    queued = 0
    for _ in range(40):  # quarters of an hour
        if night.ledger.find("acme", DAY) is None or queued:
            with pytest.raises(RetryableError):
                night.work()
        night.clock.now += timedelta(minutes=15)
        queued += night.reconcile().queued
    assert 0 < queued <= 3
    assert night.entry().attempts >= 3


def test_a_day_that_waits_on_the_queue_is_not_put_there_every_quarter_of_an_hour(night: Night) -> None:
    submit(night)
    night.service.end = "FAILED"
    night.watcher().settle(night.request())
    for _ in range(7):
        night.clock.now += timedelta(minutes=15)
        assert night.reconcile().queued == 0
    night.clock.now += timedelta(minutes=30)
    assert night.reconcile().queued == 1
    assert night.queue == [TASK, TASK]


def test_who_cancelled_a_job_is_known_though_the_watcher_died_right_after(night: Night) -> None:
    submit(night)

    @dataclass
    class Dying(Service):
        def cancel(self, job_id: str) -> None:
            raise KeyboardInterrupt

    night.service = Dying(end="WAITING", waiting_since=night.clock.now - timedelta(hours=7))
    with pytest.raises(KeyboardInterrupt):
        night.reconcile()
    night.service = Service(end="FAILED", retryable=False)
    assert night.reconcile().queued == 1
    assert "for workers" in str(night.entry().error)


def test_11_a_completed_day_that_cannot_be_listed_in_time_goes_to_a_job(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    night.work()
    late = count(0, 10_000)  # each look at the clock is hours later
    monkeypatch.setattr(worker, "time", SimpleNamespace(monotonic=lambda: next(late)))
    assert night.work() == "submitted"
    assert "were listed in 510 s" in str(night.entry().handed_over)
    assert night.service.last is not None
    assert night.service.last.size == UNLISTED


# The summary


def test_17_the_summary_names_who_needs_someone_and_one_tenants_trouble_holds_no_other_up(night: Night) -> None:
    night.tenants = "acme,globex,initech"
    generate(messages=30, layout="export", seed=2, out=night.folder / "in", tenant="globex", files=1)
    night.work()
    night.settings["runner"] = "spark"
    night.work(replace_task(tenant="globex"))

    @dataclass
    class Down(Service):
        def get_status(self, job_id: str) -> JobStatus:
            raise RetryableError("the service does not answer", next_step="run the day again")

    night.service = Down()
    early = night.reconcile()
    assert night.troubles == ["tenant=globex day=2025-08-12"]
    assert (early.late, early.tenants) == (0, 3)
    night.clock.now = datetime(2025, 8, 12, 21, 0, tzinfo=UTC)  # 06:00 JST
    night.service = Service()
    due = night.reconcile()
    assert due.late == 2  # globex is still at work, initech never ran
    job = str(night.entry("globex").job_id)
    assert {each.tenant: (each.state, each.note) for each in due.attention} == {
        "globex": ("submitted", f"job {job}"),
        "initech": ("missing", "never run"),
    }


def test_17_a_tenant_of_whom_the_ledger_does_not_tell_is_in_trouble_and_not_late(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    night.work()
    night.clock.now = datetime(2025, 8, 12, 21, 0, tzinfo=UTC)

    def fail(*_: object, **__: object) -> None:
        raise RetryableError("the ledger is down", next_step="try again")

    monkeypatch.setattr(SqliteStore, "query", fail)
    told = night.reconcile()
    assert (told.late, told.ended, told.states) == (0, False, {"unknown": 1})
    assert [(each.tenant, each.state) for each in told.attention] == [("acme", "unknown")]
    assert night.troubles == ["tenant=acme day=2025-08-12"]


def test_17_a_receipt_of_another_version_is_one_tenants_trouble(night: Night) -> None:
    night.tenants = "acme,globex"
    (night.folder / "in/globex").mkdir()
    night.settings["runner"] = "spark"
    for tenant in ("acme", "globex"):
        night.work(replace_task(tenant=tenant))
    receipt = night.folder / "out" / receipt_key("acme", DAY, str(night.entry().run_id))
    receipt.parent.mkdir(parents=True)
    receipt.write_text('{"tenant": "acme"}')
    night.service.end = "FAILED"
    night.reconcile()
    assert night.troubles == ["tenant=acme day=2025-08-12"]
    assert night.entry("globex").status == "FAILED"


def test_17_trouble_that_nobody_expected_is_one_tenants_too_and_quotes_nothing(night: Night) -> None:
    night.settings["runner"] = "spark"
    night.work()

    @dataclass
    class Broken(Service):
        def get_status(self, job_id: str) -> JobStatus:
            raise ValueError("could not read 'Hello Bob'")

    night.service = Broken()
    night.reconcile()
    assert night.troubles == ["tenant=acme day=2025-08-12"]
    ((message, _),) = night.heard.errors
    assert "ValueError" in message
    assert "Bob" not in message


def test_17_one_days_trouble_hides_no_other_day_of_the_tenant(night: Night) -> None:
    night.work()
    night.settings["runner"] = "spark"
    night.work(replace_task(date="2025-08-10"))

    @dataclass
    class Down(Service):
        def get_status(self, job_id: str) -> JobStatus:
            raise RetryableError("the service does not answer", next_step="run the day again")

    night.service = Down()
    night.clock.now = datetime(2025, 8, 12, 21, 5, tzinfo=UTC)
    summary = night.reconcile()
    assert (summary.attention, summary.late) == ((), 0)
    assert night.troubles == ["tenant=acme day=2025-08-10"]


@pytest.mark.parametrize("offset", [-1, -2, -7])
def test_a_night_is_due_in_the_morning_after_it_began_whatever_day_it_is_about(offset: int) -> None:
    given = {"tenants": "acme", "input": "in", "output": "out", "target_date_offset": offset}
    settings = load_settings(flags=given, environ={})
    (request,) = night_requests(settings, now=SENT, list_tenants=list)  # 02:00 JST of the 13th
    assert due_time(request.day, settings) == datetime(2025, 8, 12, 21, 0, tzinfo=UTC)


def test_17_a_receipt_that_cannot_be_read_is_one_tenants_trouble(night: Night) -> None:
    night.tenants = "acme,globex"
    (night.folder / "in/globex").mkdir()
    night.settings["runner"] = "spark"
    for tenant in ("acme", "globex"):
        assert night.work(replace_task(tenant=tenant)) == "submitted"
    entry = night.entry()
    folder = (night.folder / "out" / receipt_key("acme", DAY, str(entry.run_id))).parent
    folder.parent.mkdir(parents=True)
    folder.write_text("no folder")
    night.service.end = "FAILED"
    night.reconcile()
    assert night.troubles == ["tenant=acme day=2025-08-12"]
    assert (night.entry().status, night.entry("globex").status) == ("SUBMITTED", "FAILED")


def test_a_platform_without_tenants_has_nothing_to_watch(night: Night) -> None:
    settings = load_settings(flags={"tenants": "*", "input": "in", "output": "out"}, environ={})
    assert night_requests(settings, now=SENT, list_tenants=list) == []


def test_a_name_that_is_no_tenants_is_left_out_of_the_watch(night: Night) -> None:
    requests = night_requests(
        load_settings(flags={"tenants": "*", "input": "in", "output": "out"}, environ={}),
        now=SENT,
        list_tenants=lambda: ["acme", "../x"],
    )
    assert [request.tenant for request in requests] == ["acme"]


def replace_task(**changes: Any) -> Task:
    values = {"tenant": TASK.tenant, "date": TASK.date, "force": TASK.force}
    return Task(**{**values, **changes})
