"""The registry of metrics and its page; the metrics of a completed day; the log lines of steps."""

import io
import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from daily_batch.domain import metrics
from daily_batch.domain.metrics import METRICS, Metric
from daily_batch.domain.quality import CheckResult
from daily_batch.domain.receipt import Receipt, receipt_key
from daily_batch.errors import RetryableError
from daily_batch.ledger import Ledger
from daily_batch.metadata.sqlite import SqliteStore
from daily_batch.orchestration.day_metrics import measure_receipt, record_completion
from daily_batch.settings import Settings, load_settings
from daily_batch.telemetry import STEPS, JsonLines, StepLog
from tests.support.day_runs import ROOT, SAMPLES, run_local
from tests.support.recording_telemetry import RecordingTelemetry

PAGE = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
WEEK = timedelta(days=7)


def read_table(heading: str) -> list[list[str]]:
    """Return the rows of the table below a heading of the page."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in row] for row in rows]


# The registry


def test_page_lists_each_metric_as_registered() -> None:
    expected = [
        [f"`{each.name}`", each.unit, each.meaning, each.measured, f"`{each.alarm}`" if each.alarm else ""]
        for each in METRICS
    ]
    assert read_table("Metrics") == expected


def test_page_lists_each_step_as_registered() -> None:
    assert read_table("Steps") == [[f"`{step}`", meaning] for step, meaning in STEPS.items()]


def test_each_metric_is_registered_once() -> None:
    registered = [each for each in vars(metrics).values() if isinstance(each, Metric)]
    assert sorted(registered, key=METRICS.index) == list(METRICS)
    assert len({each.name.lower() for each in METRICS}) == len(METRICS)  # OpenTelemetry ignores case
    assert all(re.fullmatch(r"[A-Z][A-Za-z]+", each.name) and each.meaning and each.measured for each in METRICS)


def test_metrics_are_defined_in_the_registry_only_and_each_is_measured() -> None:
    folders = (ROOT / "jobs/daily_batch", ROOT / "lambda_trigger", ROOT / "azure_trigger")
    sources = {path: path.read_text(encoding="utf-8") for folder in folders for path in folder.rglob("*.py")}
    registry = ROOT / "jobs/daily_batch/domain/metrics.py"
    elsewhere = "".join(text for path, text in sources.items() if path != registry)
    assert not re.search(r"\bMetric\(", elsewhere)
    names = {name for name, each in vars(metrics).items() if isinstance(each, Metric)}
    assert {name for name in names if not re.search(rf"\b{name}\b", elsewhere)} == set()


# A day that is completed


@pytest.fixture(scope="module")
def receipt(tmp_path_factory: pytest.TempPathFactory) -> Receipt:
    return run_local(input=SAMPLES, output=tmp_path_factory.mktemp("out"))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(store=SqliteStore(tmp_path / "ledger.sqlite"), clock=lambda: datetime(2025, 8, 12, tzinfo=UTC))


def settings() -> Settings:
    return load_settings(flags={"tenants": "acme", "input": "in", "output": "out"}, environ={})


def complete(ledger: Ledger, receipt: Receipt, day: date, messages: int) -> None:
    """Complete a day in the ledger with a number of messages."""
    lease = ledger.acquire("acme", day, owner="test", run_id=f"run-{day}")
    own = replace(receipt, records=replace(receipt.records, written=messages), run_id=lease.run_id)
    ledger.complete(lease, own, receipt_key=receipt_key("acme", day, lease.run_id), output_path="out")


def measure_completed(receipt: Receipt, ledger: Ledger) -> tuple[dict[str, float], RecordingTelemetry]:
    telemetry = RecordingTelemetry()
    record_completion(receipt, ledger=ledger, settings=settings(), telemetry=telemetry)
    assert len({metric for metric, _ in telemetry.measured}) == len(telemetry.measured)
    return telemetry.sums(), telemetry


def test_completed_day_records_the_metrics_of_its_receipt(receipt: Receipt, ledger: Ledger) -> None:
    warned = CheckResult(rule="max_rejected", limit=0.01, measured=0.5, severity="warn", passed=False)
    passing = replace(warned, rule="max_unreadable", passed=True)
    measured, _ = measure_completed(replace(receipt, quality=(warned, passing)), ledger)
    assert measured == {
        "DaySeconds": receipt.seconds["total"],
        "MessagesWritten": receipt.records.written,
        "RecordsRejected": receipt.records.rejected,
        "RejectPercent": round(100 * receipt.records.rejected / receipt.records.seen, 3),
        "ObjectsUnreadable": receipt.objects.unreadable,
        "QualityWarnings": 1,
        "DaysUnusual": 0,
        "NewFields": 0,
    }
    assert 0 < measured["RejectPercent"] < 100


@pytest.mark.parametrize(
    ("listed", "read", "percent"), [(0, 0, 0.0), (3, 0, 100.0)], ids=["no object", "none can be read"]
)
def test_reject_percent_of_a_day_without_records_is_0_or_100(
    receipt: Receipt, listed: int, read: int, percent: float
) -> None:
    records = replace(receipt.records, **dict.fromkeys(vars(receipt.records), 0))
    objects = replace(receipt.objects, listed=listed + 2, read=read, unreadable=listed - read, ignored=2)
    measured = dict(measure_receipt(replace(receipt, records=records, objects=objects)))
    assert measured[metrics.REJECT_PERCENT] == percent


def test_day_unlike_its_same_weekdays_is_unusual_and_logged_once(receipt: Receipt, ledger: Ledger) -> None:
    day = date.fromisoformat(receipt.date)
    for weeks in (1, 2, 3):
        complete(ledger, receipt, day - weeks * WEEK, 10 * receipt.records.written)
    complete(ledger, receipt, day, 5)  # the day itself is not part of its history
    complete(ledger, receipt, day + timedelta(days=1), 5)
    measured, telemetry = measure_completed(receipt, ledger)
    assert measured["DaysUnusual"] == 1
    ((message, facts),) = telemetry.errors
    assert message.startswith(f"an unusual day: {receipt.records.written:,} messages")
    assert (facts["tenant"], facts["day"], facts["expected"]) == ("acme", receipt.date, 10 * receipt.records.written)


def test_day_like_the_others_is_not_unusual(receipt: Receipt, ledger: Ledger) -> None:
    day = date.fromisoformat(receipt.date)
    for weeks in (1, 2, 3):
        complete(ledger, receipt, day - weeks * WEEK, receipt.records.written + weeks)
    measured, telemetry = measure_completed(receipt, ledger)
    assert (measured["DaysUnusual"], telemetry.errors) == (0, [])


def test_new_field_is_measured_and_logged_by_its_name(receipt: Receipt, ledger: Ledger) -> None:
    day = date.fromisoformat(receipt.date)
    complete(ledger, replace(receipt, unknown_fields={"client": 3}), day - WEEK, 5)
    with_new = replace(receipt, unknown_fields={"client": 2, "theme": 1, "locale": 1})
    measured, telemetry = measure_completed(with_new, ledger)
    assert measured["NewFields"] == 2
    ((message, facts),) = telemetry.errors
    assert message == "new fields: locale, theme"
    assert (facts["tenant"], facts["day"], facts["run_id"]) == ("acme", receipt.date, receipt.run_id)
    measured, telemetry = measure_completed(replace(receipt, unknown_fields={"client": 1}), ledger)
    assert (measured["NewFields"], telemetry.errors) == (0, [])


def test_ledger_failure_skips_only_the_comparison_with_earlier_days(
    receipt: Receipt, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RetryableError("the metadata store is down", next_step="try again")

    monkeypatch.setattr(Ledger, "days", fail)
    measured, telemetry = measure_completed(receipt, ledger)
    assert not {"DaysUnusual", "NewFields"} & set(measured)
    assert measured["MessagesWritten"] == receipt.records.written
    assert [message for message, _ in telemetry.errors] == [
        "the day was not compared with earlier ones: the metadata store is down. Next step: try again."
    ]


# Steps


def test_run_logs_each_of_its_steps_with_its_counts(tmp_path: Path) -> None:
    telemetry = RecordingTelemetry()
    receipt = run_local(input=SAMPLES, output=tmp_path, telemetry=telemetry)
    lines = [facts for _, message, facts in telemetry.lines if message == "step"]
    by_step = {line["step"]: line for line in lines}
    assert list(by_step) == ["manifest", "intake", "clean", "publish", "receipt"]
    for line in lines:
        assert (line["tenant"], line["day"], line["run_id"]) == ("acme", receipt.date, receipt.run_id)
        assert line["seconds"] >= 0
        documented = set(re.findall(r"`(\w+)`", STEPS[line["step"]]))
        assert set(line) - {"step", "tenant", "day", "run_id", "token", "seconds"} == documented
    assert by_step["manifest"]["objects"] == receipt.objects.listed
    assert by_step["intake"]["seen"] == receipt.records.seen
    assert by_step["clean"]["written"] == receipt.records.written
    assert by_step["publish"]["rows"] == {name: table.rows for name, table in receipt.tables.items()}
    assert by_step["receipt"]["receipt"] == receipt_key("acme", date.fromisoformat(receipt.date), receipt.run_id)


def test_step_that_fails_is_not_logged() -> None:
    telemetry = RecordingTelemetry()
    steps = StepLog(telemetry=telemetry, tenant="acme", day="2025-08-12", run_id="run1", token=1)
    with pytest.raises(ValueError, match="broken"), steps.timed("ledger"):
        raise ValueError("broken")
    assert telemetry.steps == []


def test_process_without_a_cloud_log_writes_json_lines() -> None:
    stream = io.StringIO()
    log = JsonLines(stream)
    log.info("step", step="manifest", tenant="acme", objects=3, seconds=0.5)
    log.bind(tenant="東京")
    log.error("the day failed")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert datetime.fromisoformat(first.pop("timestamp")).tzinfo is not None
    context = {"message": "step", "level": "INFO", "step": "manifest", "tenant": "acme"}
    assert first == context | {"objects": 3, "seconds": 0.5}
    assert (second["tenant"], second["level"], second["message"]) == ("東京", "ERROR", "the day failed")
