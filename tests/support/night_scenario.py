"""Tests of a night that both clouds must pass, with a small, a large, a poisoned and an empty tenant."""

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

# The deployment's settings, except that the large tenant's day goes to Spark.
SETTINGS = {"MAKOTO_LARGE_MESSAGES": "2000"}


@dataclass(frozen=True, kw_only=True)
class CompletedNight:
    """A completed night. Keys are relative to `root`, which has the input and the tables.

    Attributes:
        source: local folder of the input.
        list_jobs: returns the tenant and the id of each successful job.
        count_messages: returns the number of messages on all queues.
        read_lines: returns the JSON lines of all logs, including those of jobs.
        sum_metrics: returns the sum of the exported values of each metric.
    """

    cloud: NightCloud
    day: date
    zone: str
    report: NightReport
    expected_counts: Mapping[str, ExpectedCounts]
    source: Path
    root: str
    options: Mapping[str, str]
    read: Callable[[str], bytes]
    list_jobs: Callable[[], list[tuple[str, str]]]
    count_messages: Callable[[], int]
    read_lines: Callable[[], list[dict[str, Any]]]
    sum_metrics: Callable[[], Mapping[str, float]]

    def entry(self, tenant: str) -> Mapping[str, Any]:
        """Return the ledger's item of the tenant's day."""
        return self.cloud.ledger_item(tenant, self.day)

    def receipt(self, tenant: str) -> dict[str, Any]:
        receipt: dict[str, Any] = json.loads(self.read(self.entry(tenant)["receipt"]))
        return receipt


def find_zone_at_2_am(now: datetime) -> str:
    """Return a time zone where it is about 02:00, so that the business day does not change and no day is late."""
    offset = (2 - now.hour) % 24
    offset -= 24 if offset > 12 else 0
    return f"Etc/GMT{-offset:+d}"


class NightScenario:
    """Tests of a completed night, which the fixture `night` runs."""

    def test_every_tenant_day_has_its_expected_status(self, night: CompletedNight) -> None:
        results = {tenant: (night.entry(tenant)["status"], night.entry(tenant)["runner"]) for tenant in SAMPLES}
        assert results == {
            "small": ("COMPLETED", "local"),
            "large": ("COMPLETED_WITH_REJECTS", "spark"),
            "poisoned": ("COMPLETED_WITH_REJECTS", "local"),
            "empty": ("COMPLETED", "local"),
        }
        for tenant in ("small", "large"):
            assert night.receipt(tenant)["records"] == night.expected_counts[tenant].records

    def test_broken_objects_are_rejected_and_the_rest_published(self, night: CompletedNight) -> None:
        receipt, expected = night.receipt("poisoned"), night.expected_counts["poisoned"]
        # Noise is read line by line, and an empty object has no records.
        assert receipt["objects"]["unreadable"] == expected.objects["unreadable"] + 2
        assert receipt["objects"]["listed"] == expected.objects["listed"] + len(BROKEN)
        assert receipt["records"]["written"] == expected.records["written"]

    def test_day_without_messages_has_empty_tables(self, night: CompletedNight) -> None:
        tables = read_tables(night.root, tenant="empty", day=night.day, options=night.options)
        assert [row["messages"] for row in tables["summary_daily"]] == [0]
        assert tables["messages"] == []

    def test_spark_publishes_the_same_tables_as_the_local_runner(self, night: CompletedNight, tmp_path: Path) -> None:
        run_local(input=night.source, output=tmp_path, tenant="large", day=night.day, timezone=night.zone)
        published = read_tables(night.root, tenant="large", day=night.day, options=night.options)
        assert published == read_tables(tmp_path, tenant="large", day=night.day)

    def test_summary_counts_every_tenant_day(self, night: CompletedNight) -> None:
        assert night.report.queued == len(SAMPLES)
        assert night.report.summary == {
            "date": night.day.isoformat(),
            "tenants": 4,
            "states": {"COMPLETED": 2, "COMPLETED_WITH_REJECTS": 2},
            "attention": [],
            "unreadable": night.receipt("poisoned")["objects"]["unreadable"],
            "new_fields": 0,
            "late": 0,
            "queued": 0,
            "ended": True,
        }

    def test_large_day_is_one_job(self, night: CompletedNight) -> None:
        assert night.list_jobs() == [("large", night.entry("large")["job_id"])]

    def test_every_step_of_every_day_is_logged_once(self, night: CompletedNight) -> None:
        steps: dict[str, list[str]] = {tenant: [] for tenant in SAMPLES}
        for line in night.read_lines():
            if line.get("message") == "step" and line["day"] == night.day.isoformat():
                assert line["run_id"] == night.entry(line["tenant"])["run_id"]
                assert line["token"] == int(night.entry(line["tenant"])["token"])
                assert line["seconds"] >= 0
                steps[line["tenant"]].append(line["step"])
        run = ["manifest", "intake", "clean", "publish", "receipt"]
        local = sorted(["lease", *run, "ledger"])
        submitted = sorted(["lease", "manifest", "submit", *run, "settle"])
        found = {tenant: sorted(names) for tenant, names in steps.items()}
        assert found == {"small": local, "poisoned": local, "empty": local, "large": submitted}

    def test_metrics_count_every_day_once(self, night: CompletedNight) -> None:
        metrics = night.sum_metrics()
        receipts = [night.receipt(tenant) for tenant in SAMPLES]
        expected = {
            "DaysCompleted": len(SAMPLES),
            "DaysSubmitted": 1,
            "MessagesWritten": sum(receipt["records"]["written"] for receipt in receipts),
            "RecordsRejected": sum(receipt["records"]["rejected"] for receipt in receipts),
            "ObjectsUnreadable": sum(receipt["objects"]["unreadable"] for receipt in receipts),
            "DaysUnusual": 0,
            "DaysLate": 0,
            "TenantsInTrouble": 0,
        }
        assert {name: metrics[name] for name in expected} == expected
        assert set(metrics) <= {metric.name for metric in METRICS}
        assert metrics["RejectPercent"] > 0
        assert "DaysFailed" not in metrics

    def test_logs_contain_no_message_content(self, night: CompletedNight) -> None:
        lines = night.read_lines()
        text = json.dumps(lines, ensure_ascii=False)
        tables = read_tables(night.root, tenant="large", day=night.day, options=night.options)
        contents = {row["content"] for row in tables["messages"] if row["content"] and len(row["content"]) > 12}
        assert len(contents) > 100
        assert [content for content in contents if content in text] == []
        assert {"large", "small"} <= {str(line.get("tenant")) for line in lines}

    def test_queues_are_empty(self, night: CompletedNight) -> None:
        assert night.count_messages() == 0
