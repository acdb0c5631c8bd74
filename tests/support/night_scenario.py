"""The tests of a night that both clouds must pass, with a small, a large, a poisoned and an empty tenant."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from daily_batch.domain.metrics import METRICS
from daily_batch.synthetic import ExpectedCounts
from tests.local_cloud.common.night import NightCloud, NightReport
from tests.local_cloud.common.sample_tenants import BROKEN, SAMPLES
from tests.support.day_runs import read_tables, run_local

# The deployment's own settings, except that the large tenant's day goes to Spark.
MORE = {"MAKOTO_LARGE_MESSAGES": "2000"}


@dataclass(frozen=True, kw_only=True)
class Played:
    """A completed night. Keys are relative to `root`, which has the input and the tables.

    Attributes:
        jobs: gives the tenant and the id of each job, all of which have ended well.
        messages_left: gives how many messages there are on all queues.
        lines: gives the lines of JSON of all logs, those of jobs too.
        measured: gives what the cloud was told of each metric, added up.
    """

    cloud: NightCloud
    day: date
    zone: str
    report: NightReport
    truths: Mapping[str, ExpectedCounts]
    written: Path
    root: str
    options: Mapping[str, str]
    read: Callable[[str], bytes]
    jobs: Callable[[], list[tuple[str, str]]]
    messages_left: Callable[[], int]
    lines: Callable[[], list[dict[str, Any]]]
    measured: Callable[[], Mapping[str, float]]

    def entry(self, tenant: str) -> Mapping[str, Any]:
        """Return the ledger's item of the tenant's day."""
        return self.cloud.ledger_item(tenant, self.day)

    def receipt(self, tenant: str) -> dict[str, Any]:
        receipt: dict[str, Any] = json.loads(self.read(self.entry(tenant)["receipt"]))
        return receipt


def where_it_is_two_at_night(now: datetime) -> str:
    """Return a time zone where it is about 02:00: the business day stays the same during the test, and none is late."""
    ahead = (2 - now.hour) % 24
    ahead -= 24 if ahead > 12 else 0
    return f"Etc/GMT{-ahead:+d}"


class NightScenario:
    """Tests of a completed night; the fixture `night` runs it."""

    def test_every_tenant_day_has_its_expected_status(self, night: Played) -> None:
        ended = {tenant: (night.entry(tenant)["status"], night.entry(tenant)["runner"]) for tenant in SAMPLES}
        assert ended == {
            "small": ("COMPLETED", "local"),
            "large": ("COMPLETED_WITH_REJECTS", "spark"),
            "poisoned": ("COMPLETED_WITH_REJECTS", "local"),
            "empty": ("COMPLETED", "local"),
        }
        for tenant in ("small", "large"):
            assert night.receipt(tenant)["records"] == night.truths[tenant].records

    def test_broken_objects_are_rejected_and_the_rest_published(self, night: Played) -> None:
        receipt, truth = night.receipt("poisoned"), night.truths["poisoned"]
        # Noise is read line by line, and an empty object has no record.
        assert receipt["objects"]["unreadable"] == truth.objects["unreadable"] + 2
        assert receipt["objects"]["listed"] == truth.objects["listed"] + len(BROKEN)
        assert receipt["records"]["written"] == truth.records["written"]

    def test_day_without_messages_has_empty_tables(self, night: Played) -> None:
        tables = read_tables(night.root, tenant="empty", day=night.day, options=night.options)
        assert [row["messages"] for row in tables["summary_daily"]] == [0]
        assert tables["messages"] == []

    def test_spark_publishes_the_same_tables_as_the_local_runner(self, night: Played, tmp_path: Path) -> None:
        run_local(input=night.written, output=tmp_path, tenant="large", day=night.day, timezone=night.zone)
        published = read_tables(night.root, tenant="large", day=night.day, options=night.options)
        assert published == read_tables(tmp_path, tenant="large", day=night.day)

    def test_summary_counts_every_tenant_day(self, night: Played) -> None:
        assert night.report.queued == len(SAMPLES)
        assert night.report.summary == {
            "date": night.day.isoformat(),
            "tenants": 4,
            "states": {"completed": 2, "completed, rejects": 2},
            "attention": [],
            "unreadable": night.receipt("poisoned")["objects"]["unreadable"],
            "late": 0,
            "queued": 0,
            "ended": True,
        }

    def test_large_day_is_one_job(self, night: Played) -> None:
        assert night.jobs() == [("large", night.entry("large")["job_id"])]

    def test_every_step_of_every_day_is_logged_once(self, night: Played) -> None:
        told: dict[str, list[str]] = {tenant: [] for tenant in SAMPLES}
        for line in night.lines():
            if line.get("message") == "step" and line["day"] == night.day.isoformat():
                assert line["run_id"] == night.entry(line["tenant"])["run_id"]
                assert line["token"] == int(night.entry(line["tenant"])["token"])
                assert line["seconds"] >= 0
                told[line["tenant"]].append(line["step"])
        run = ["manifest", "intake", "clean", "publish", "receipt"]
        here = sorted(["lease", *run, "ledger"])
        there = sorted(["lease", "manifest", "submit", *run, "settle"])
        ended = {tenant: sorted(steps) for tenant, steps in told.items()}
        assert ended == {"small": here, "poisoned": here, "empty": here, "large": there}

    def test_metrics_count_every_day_once(self, night: Played) -> None:
        measured = night.measured()
        receipts = [night.receipt(tenant) for tenant in SAMPLES]
        wanted = {
            "DaysCompleted": len(SAMPLES),
            "DaysSubmitted": 1,
            "MessagesWritten": sum(receipt["records"]["written"] for receipt in receipts),
            "RecordsRejected": sum(receipt["records"]["rejected"] for receipt in receipts),
            "ObjectsUnreadable": sum(receipt["objects"]["unreadable"] for receipt in receipts),
            "DaysUnusual": 0,
            "DaysLate": 0,
            "TenantsInTrouble": 0,
        }
        assert {name: measured[name] for name in wanted} == wanted
        assert set(measured) <= {metric.name for metric in METRICS}
        assert measured["RejectPercent"] > 0
        assert "DaysFailed" not in measured

    def test_logs_contain_no_message_content(self, night: Played) -> None:
        lines = night.lines()
        text = json.dumps(lines, ensure_ascii=False)
        tables = read_tables(night.root, tenant="large", day=night.day, options=night.options)
        contents = {row["content"] for row in tables["messages"] if row["content"] and len(row["content"]) > 12}
        assert len(contents) > 100
        assert [content for content in contents if content in text] == []
        assert {"large", "small"} <= {str(line.get("tenant")) for line in lines}

    def test_queues_are_empty(self, night: Played) -> None:
        assert night.messages_left() == 0
