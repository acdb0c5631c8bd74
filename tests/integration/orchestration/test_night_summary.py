"""The summary of a night: late days, days that need attention, and failures that affect one tenant only."""

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from daily_batch.domain.receipt import receipt_key
from daily_batch.errors import RetryableError
from daily_batch.metadata.sqlite import SqliteStore
from daily_batch.orchestration.day_status import due_time
from daily_batch.orchestration.spark_jobs import JobStatus
from daily_batch.orchestration.watcher import night_requests
from daily_batch.settings import load_settings
from daily_batch.synthetic import generate
from tests.support.day_runs import DAY
from tests.support.job_service import Service
from tests.support.local_night import SENT, LocalNight, make_task


@dataclass
class UnavailableService(Service):
    def get_status(self, job_id: str) -> JobStatus:
        raise RetryableError("the service does not answer", next_step="run the day again")


def test_17_the_summary_names_each_tenant_that_needs_attention(night: LocalNight) -> None:
    night.tenants = "acme,globex,initech"
    generate(messages=30, layout="export", seed=2, out=night.folder / "in", tenant="globex", files=1)
    night.handle()
    night.settings["runner"] = "spark"
    night.handle(make_task(tenant="globex"))

    night.service = UnavailableService()
    before = night.reconcile()
    assert night.failures == ["tenant=globex day=2025-08-12"]
    assert (before.late, before.tenants) == (0, 3)
    night.clock.now = datetime(2025, 8, 12, 21, 0, tzinfo=UTC)  # 06:00 JST
    night.service = Service()
    after = night.reconcile()
    assert after.late == 2  # the job of globex still runs, initech never ran
    job = str(night.entry("globex").job_id)
    assert {each.tenant: (each.state, each.note) for each in after.attention} == {
        "globex": ("SUBMITTED", f"job {job}"),
        "initech": ("MISSING", "never run"),
    }


def test_17_a_tenant_whose_ledger_is_down_is_unknown_and_not_late(
    night: LocalNight, monkeypatch: pytest.MonkeyPatch
) -> None:
    night.handle()
    night.clock.now = datetime(2025, 8, 12, 21, 0, tzinfo=UTC)

    def fail(*_: object, **__: object) -> None:
        raise RetryableError("the ledger is down", next_step="try again")

    monkeypatch.setattr(SqliteStore, "query", fail)
    summary = night.reconcile()
    assert (summary.late, summary.ended, summary.states) == (0, False, {"UNKNOWN": 1})
    assert [(each.tenant, each.state) for each in summary.attention] == [("acme", "UNKNOWN")]
    assert night.failures == ["tenant=acme day=2025-08-12"]


def test_17_a_receipt_of_another_version_affects_one_tenant(night: LocalNight) -> None:
    night.tenants = "acme,globex"
    (night.folder / "in/globex").mkdir()
    night.settings["runner"] = "spark"
    for tenant in ("acme", "globex"):
        night.handle(make_task(tenant=tenant))
    receipt = night.folder / "out" / receipt_key("acme", DAY, str(night.entry().run_id))
    receipt.parent.mkdir(parents=True)
    receipt.write_text('{"tenant": "acme"}')
    night.service.end = "FAILED"
    night.reconcile()
    assert night.failures == ["tenant=acme day=2025-08-12"]
    assert night.entry("globex").status == "FAILED"


def test_17_an_unexpected_error_affects_one_tenant_and_quotes_nothing(night: LocalNight) -> None:
    night.settings["runner"] = "spark"
    night.handle()

    @dataclass
    class BrokenService(Service):
        def get_status(self, job_id: str) -> JobStatus:
            raise ValueError("could not read 'Hello Bob'")

    night.service = BrokenService()
    night.reconcile()
    assert night.failures == ["tenant=acme day=2025-08-12"]
    ((message, _),) = night.telemetry.errors
    assert "ValueError" in message
    assert "Bob" not in message


def test_17_the_failure_of_one_day_hides_no_other_day(night: LocalNight) -> None:
    night.handle()
    night.settings["runner"] = "spark"
    night.handle(make_task(date="2025-08-10"))

    night.service = UnavailableService()
    night.clock.now = datetime(2025, 8, 12, 21, 5, tzinfo=UTC)
    summary = night.reconcile()
    assert (summary.attention, summary.late) == ((), 0)
    assert night.failures == ["tenant=acme day=2025-08-10"]


@pytest.mark.parametrize("offset", [-1, -2, -7])
def test_a_night_is_due_the_next_morning_for_any_date_offset(offset: int) -> None:
    flags = {"tenants": "acme", "input": "in", "output": "out", "target_date_offset": offset}
    settings = load_settings(flags=flags, environ={})
    (request,) = night_requests(settings, now=SENT, list_tenants=list)  # 02:00 JST of the 13th
    assert due_time(request.day, settings) == datetime(2025, 8, 12, 21, 0, tzinfo=UTC)


def test_17_an_unreadable_receipt_affects_one_tenant(night: LocalNight) -> None:
    night.tenants = "acme,globex"
    (night.folder / "in/globex").mkdir()
    night.settings["runner"] = "spark"
    for tenant in ("acme", "globex"):
        assert night.handle(make_task(tenant=tenant)) == "submitted"
    entry = night.entry()
    folder = (night.folder / "out" / receipt_key("acme", DAY, str(entry.run_id))).parent
    folder.parent.mkdir(parents=True)
    folder.write_text("not a folder")
    night.service.end = "FAILED"
    night.reconcile()
    assert night.failures == ["tenant=acme day=2025-08-12"]
    assert (night.entry().status, night.entry("globex").status) == ("SUBMITTED", "FAILED")


def test_a_platform_without_tenants_has_no_night_requests(night: LocalNight) -> None:
    settings = load_settings(flags={"tenants": "*", "input": "in", "output": "out"}, environ={})
    assert night_requests(settings, now=SENT, list_tenants=list) == []


def test_night_requests_skip_invalid_tenant_ids(night: LocalNight) -> None:
    requests = night_requests(
        load_settings(flags={"tenants": "*", "input": "in", "output": "out"}, environ={}),
        now=SENT,
        list_tenants=lambda: ["acme", "../x"],
    )
    assert [request.tenant for request in requests] == ["acme"]
