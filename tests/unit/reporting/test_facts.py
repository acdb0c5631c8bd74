"""The report's facts agree with the ledger and the receipts, also for days with little information."""

import json
import sys
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bench.report_range import FAILED, make_entry, write_range
from daily_batch.cli import app
from daily_batch.domain.calendar import format_timestamp
from daily_batch.domain.receipt import Erased, Objects, Receipt, receipt_key, to_json
from daily_batch.ledger import Entry
from daily_batch.ledger.item_codec import to_item
from daily_batch.metadata import keys
from daily_batch.metadata.sqlite import SqliteStore
from daily_batch.reporting.facts import DayFacts, make_day_facts
from tests.support.ledger_doubles import make_receipt
from tests.support.report_days import DATES, TENANTS, Fortnight, make_facts, report

NOW = datetime(2025, 8, 20, tzinfo=UTC)
DUE = datetime(2025, 8, 12, 21, 0, tzinfo=UTC)
DAY = date(2025, 8, 12)


@pytest.fixture(scope="module")
def facts(fortnight: Fortnight) -> Any:
    """Return the JSON report of the fortnight."""
    result = report(fortnight[0], "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def published_receipts(receipts: list[Receipt]) -> list[Receipt]:
    """Return the receipts in the ledger; the eighth tenant has none of the last two days."""
    return [each for each in receipts if not (each.tenant == TENANTS[7] and each.date > DATES[-3].isoformat())]


def test_totals_equal_the_sums_of_the_receipts(fortnight: Fortnight, facts: Any) -> None:
    receipts = published_receipts(fortnight[1])
    for name in ("seen", "written", "duplicates", "superseded", "rejected", "other_day", "empty", "erased"):
        assert facts["total"]["records"][name] == sum(getattr(each.records, name) for each in receipts)
    for name in ("listed", "read", "unreadable", "ignored", "erased", "bytes"):
        assert facts["total"]["objects"][name] == sum(getattr(each.objects, name) for each in receipts)
    reasons: Counter[str] = Counter()
    for each in receipts:
        reasons.update(each.rejects)
    assert facts["total"]["rejects"] == dict(reasons)
    assert facts["total"]["messages"] == facts["total"]["records"]["written"]
    assert facts["total"]["seconds"]["total"] == pytest.approx(sum(each.seconds["total"] for each in receipts))


def test_days_add_up_to_the_totals(facts: Any) -> None:
    days = facts["by_date"].values()
    assert len(facts["days"]) == len(TENANTS) * len(DATES) == sum(day["days"] for day in days)
    assert facts["total"]["messages"] == sum(day["messages"] for day in days)
    assert facts["total"]["billed_usd"] == pytest.approx(sum(day["billed_usd"] for day in days))
    states = Counter(day["state"] for day in facts["days"])
    assert facts["total"]["states"] == dict(states)
    assert states["FAILED"] == 1
    assert states["MISSING"] == 2


def test_each_tenant_day_has_its_own_receipt(fortnight: Fortnight, facts: Any) -> None:
    by_day = {(each.tenant, each.date): each for each in published_receipts(fortnight[1])}
    for day in facts["days"]:
        receipt = by_day.get((day["tenant"], day["day"]))
        assert day["messages"] == (receipt and receipt.records.written)
        assert (day["predicted_usd"] or 0) > 0 or receipt is None
    assert [(day["tenant"], day["day"]) for day in facts["days"]] == [
        (tenant, str(day)) for tenant in TENANTS for day in DATES
    ]


def test_consecutive_days_form_one_issue_with_a_next_step(facts: Any) -> None:
    failed, missing = sorted(facts["needs_attention"], key=lambda each: each["tenant"])
    assert (failed["tenant"], failed["first"], failed["last"]) == (TENANTS[4], str(DATES[-1]), str(DATES[-1]))
    assert failed["what"].startswith("412 of 950 records are rejected")
    assert failed["next_step"] == "look at the input, or raise max_reject_ratio"
    assert (missing["first"], missing["last"]) == (str(DATES[-2]), str(DATES[-1]))
    assert failed["command"].startswith(f"makoto-batch run --tenant {TENANTS[4]} --date {DATES[-1]} --input ")
    span = f"--tenant {TENANTS[7]} --from {DATES[-2]} --to {DATES[-1]}"
    assert missing["command"].startswith(f"makoto-batch backfill {span} --input ")


def make_day(entry: Entry | None, receipt: Receipt | None = None, **more: Any) -> Any:
    return make_day_facts("acme", DAY, entry, receipt, now=more.pop("now", NOW), due=DUE, **more)


def test_published_day_that_failed_later_keeps_its_published_counts(fortnight: Fortnight) -> None:
    receipt = fortnight[1][0]
    entry = replace(make_entry(receipt), status="FAILED", error=FAILED)
    day = make_day(entry, receipt)
    assert (day.state, day.messages, day.records) == ("FAILED", receipt.records.written, receipt.records)
    assert day.needs_attention
    assert not day.is_done


@pytest.mark.parametrize(
    ("status", "now", "state", "needs_attention", "anomalous"),
    [
        ("RUNNING", DUE - timedelta(hours=1), "RUNNING", False, False),
        ("RUNNING", DUE + timedelta(minutes=1), "RUNNING", False, True),
        ("SUBMITTED", DUE + timedelta(minutes=1), "SUBMITTED", False, True),
        ("SUBMITTED", DUE + timedelta(days=9), "DEAD", True, False),
    ],
)
def test_running_day_needs_no_attention_until_its_lease_expires(
    status: Any, now: datetime, state: str, needs_attention: bool, anomalous: bool
) -> None:
    until = format_timestamp(DUE + timedelta(minutes=30))
    day = make_day(Entry(tenant="acme", day=DAY, status=status, lease_until=until), now=now)
    assert (day.state, day.needs_attention, day.is_anomalous) == (state, needs_attention, anomalous)


def test_day_without_a_ledger_entry_is_missing_once_it_is_due() -> None:
    assert make_day(None, now=DUE - timedelta(seconds=1)).state == "NOT_DUE"
    assert make_day(None, now=DUE).needs_attention


def test_volume_anomaly_uses_days_before_the_range(tmp_path: Path) -> None:
    write_range(tmp_path, TENANTS[:1], DATES, seed=7)
    store = SqliteStore(tmp_path / "makoto-ledger.sqlite")
    last = to_item(Entry(tenant=TENANTS[0], day=DATES[-1], status="COMPLETED", message_count=9_000_000))
    stored = store.get(last["PK"], last["SK"])
    assert stored is not None
    store.put(last, expected=stored.version)
    options = ["report", "--tenant", TENANTS[0], "--from", str(DATES[-1]), "--to", str(DATES[-1])]
    result = CliRunner().invoke(app, [*options, "--output", str(tmp_path), "--json"])
    (warning,) = json.loads(result.stdout)["warnings"]
    assert warning["note"].startswith("9,000,000 messages, about ")


def test_report_has_the_new_fields_of_a_day_and_the_counts_of_all() -> None:
    entry = Entry(tenant="acme", day=DAY, status="COMPLETED", unknown_fields=("a", "b"), new_fields=("b",))
    receipt = replace(make_receipt(), unknown_fields={"a": 5, "b": 1})
    day = make_day_facts("acme", DAY, entry, receipt, now=DUE, due=DUE)
    assert (day.new_fields, day.unknown_fields, day.is_anomalous) == (("b",), {"a": 5, "b": 1}, True)


@pytest.mark.parametrize(
    ("damage", "note"),
    [
        (lambda file: file.unlink(), "the receipt is missing"),
        (lambda file: file.write_text("{"), "the receipt cannot be read: the receipt"),
        (lambda file: file.write_text(file.read_text().replace('"written": ', '"written": 1')), "disagree"),
    ],
)
def test_unreliable_receipt_is_a_warning_not_an_error(damage: Any, note: str, tmp_path: Path) -> None:
    write_range(tmp_path, TENANTS[:1], DATES, seed=7)
    (file,) = (tmp_path / TENANTS[0] / "analytics/_receipts" / str(DATES[3])).iterdir()
    damage(file)
    result = report(tmp_path, "--json", tenants=TENANTS[:1])
    assert result.exit_code == 0
    notes = {each["date"]: each["note"] for each in json.loads(result.stdout)["warnings"]}
    assert note in notes[str(DATES[3])]


def test_lost_receipt_hides_no_rejects(tmp_path: Path) -> None:
    receipts = write_range(tmp_path, TENANTS[:1], DATES, seed=7)
    for file in (tmp_path / TENANTS[0] / "analytics/_receipts").rglob("*.json"):
        file.unlink()
    rejected = sum(each.records.rejected for each in receipts)
    assert rejected > 0
    page = tmp_path / "page.html"
    markdown = report(tmp_path, "--markdown", "--html", str(page), tenants=TENANTS[:1]).stdout
    missing = f"{len(DATES)} published tenant-days have no readable receipt"
    assert missing in markdown and missing in page.read_text()
    assert "No record was rejected" not in page.read_text()
    facts = json.loads(report(tmp_path, "--json", tenants=TENANTS[:1]).stdout)
    assert (facts["total"]["rejected"], facts["total"]["records"]["rejected"]) == (rejected, 0)


def test_share_of_unreadable_objects_excludes_ignored_ones_and_survives_the_receipt(fortnight: Fortnight) -> None:
    objects = Objects(listed=9, read=3, unreadable=1, ignored=5, bytes=1)
    receipt = replace(fortnight[1][0], objects=objects)
    entry = make_entry(receipt)
    for found in (receipt, None):
        day = make_day(entry, found)
        assert (day.unreadable, day.total_objects) == (1, 4)
    assert make_day(replace(entry, objects=None), None).total_objects is None


def test_day_with_an_erasure_has_no_warning(tmp_path: Path) -> None:
    receipts = write_range(tmp_path, TENANTS[:1], DATES, seed=7)
    key = receipt_key(TENANTS[0], DATES[3], receipts[3].run_id)
    erased = replace(receipts[3], erased=(Erased(erasure="1", rows={"messages": 5}),))
    (tmp_path / key).write_text(to_json(erased))
    store = SqliteStore(tmp_path / "makoto-ledger.sqlite")
    item = to_item(Entry(tenant=TENANTS[0], day=DATES[3], status="COMPLETED"))
    stored = store.get(item["PK"], item["SK"])
    assert stored is not None
    remaining = receipts[3].records.written - 5
    store.put({**stored.item, "message_count": remaining}, expected=stored.version)
    facts = json.loads(report(tmp_path, "--json", tenants=TENANTS[:1]).stdout)
    assert (facts["days"][3]["doubt"], facts["days"][3]["messages"]) == (None, remaining)


def test_expired_days_have_no_counts_and_no_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_range(tmp_path, TENANTS[:1], DATES, seed=7)
    monkeypatch.setenv("MAKOTO_RETENTION_DAYS", str((datetime.now(UTC).date() - DATES[5]).days))
    for day in DATES[:3]:
        (file,) = (tmp_path / TENANTS[0] / "analytics/_receipts" / str(day)).iterdir()
        file.unlink()
    facts = json.loads(report(tmp_path, "--json", tenants=TENANTS[:1]).stdout)
    days = [(day["messages"] is None, day["doubt"]) for day in facts["days"]]
    # Expired days whose receipts still exist count.
    assert days == [(True, None)] * 3 + [(False, None)] * (len(DATES) - 3)


def test_bills_are_summed_by_tenant_and_month(fortnight: Fortnight, facts: Any) -> None:
    billed: dict[tuple[str, str], float] = {}
    for day in facts["days"]:
        month = (day["tenant"], day["day"][:7])
        billed[month] = billed.get(month, 0.0) + (day["billed_usd"] or 0.0)
    assert {(each["tenant"], each["month"]): each["cost_usd"] for each in facts["months"]} == pytest.approx(billed)
    highest, cost = max(billed.items(), key=lambda item: item[1])
    rows = report(fortnight[0], "--markdown").stdout.partition("## Billed by tenant and month")[2].splitlines()
    assert rows[4].startswith(f"| `{highest[0]}` | {highest[1]} | ") and rows[4].endswith(f" | {cost:.4f} |")


@pytest.mark.parametrize(("tenants", "options", "status"), [(12, (), 0), (12, ("--check",), 1), (3, ("--check",), 0)])
def test_check_exits_with_1_if_a_day_needs_attention(
    fortnight: Fortnight, tenants: int, options: tuple[str, ...], status: int
) -> None:
    assert report(fortnight[0], "--json", *options, tenants=TENANTS[:tenants]).exit_code == status


def test_report_without_output_option_writes_the_page_and_prints_its_path(
    fortnight: Fortnight, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = report(fortnight[0])
    assert result.exit_code == 0
    headline, file = result.stdout.splitlines()
    assert headline.startswith("2 tenants need attention: example-08, example-05; 165 of 168 tenant-days are done")
    assert file == "report.html"
    assert headline in (tmp_path / "report.html").read_text()


def test_json_writes_a_page_only_with_the_html_option(
    fortnight: Fortnight, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    report(fortnight[0], "--json")
    assert not list(tmp_path.iterdir())
    result = report(fortnight[0], "--json", "--html", "deep/page.html")
    assert json.loads(result.stdout)["headline"] in Path("deep/page.html").read_text()


def test_all_tenants_falls_back_to_tenants_with_tables(fortnight: Fortnight) -> None:
    options = ["--from", str(DATES[0]), "--to", str(DATES[0]), "--output", str(fortnight[0]), "--all-tenants", "--json"]
    facts = json.loads(CliRunner().invoke(app, ["report", *options]).stdout)
    assert [day["tenant"] for day in facts["days"]] == TENANTS


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (("--json", "--markdown"), "both need standard output"),
        (("--from", "2025-01-01"), "too many"),
        (("--from", "2025-08-13"), "ends before it begins"),
        (("--html", "/dev/null/x"), "cannot be written"),
    ],
)
def test_usage_error_has_a_next_step(fortnight: Fortnight, options: tuple[str, ...], error: str) -> None:
    result = report(fortnight[0], *options)
    assert result.exit_code == 2
    assert error in result.stderr
    assert "Next step: " in result.stderr or json.loads(result.stderr)["next_step"]


def test_html_without_its_packages_names_what_to_install(
    fortnight: Fortnight, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "daily_batch.reporting.html", raising=False)
    for name in ("pygal", "jinja2"):
        monkeypatch.setitem(sys.modules, name, None)
    result = report(fortnight[0], "--html", str(tmp_path / "page.html"))
    assert result.exit_code == 2
    assert "pip install 'makoto-daily-batch[report]'" in result.stderr
    assert report(fortnight[0], "--markdown").exit_code == 0


def test_days_before_a_tenants_first_run_are_not_missing(tmp_path: Path) -> None:
    write_range(tmp_path, TENANTS[:2], DATES[3:], seed=7)
    store = SqliteStore(tmp_path / "makoto-ledger.sqlite")
    # The second tenant has run long before, so its days without an entry are missing.
    store.put(to_item(Entry(tenant=TENANTS[1], day=date(2025, 1, 1), status="COMPLETED")), expected=None)
    facts = json.loads(report(tmp_path, "--json", tenants=TENANTS[:2]).stdout)
    states = [(day["tenant"], day["state"]) for day in facts["days"] if day["day"] < str(DATES[3])]
    assert states == [(TENANTS[0], "NOT_STARTED")] * 3 + [(TENANTS[1], "MISSING")] * 3
    assert {each["tenant"] for each in facts["needs_attention"]} == {TENANTS[1]}


def test_range_before_a_tenants_first_run_is_not_missing(tmp_path: Path) -> None:
    write_range(tmp_path, TENANTS[:2], [DATES[-1] + timedelta(days=1)], seed=7)
    store = SqliteStore(tmp_path / "makoto-ledger.sqlite")
    # The second tenant has also run long before, so its nights in between were missed.
    store.put(to_item(Entry(tenant=TENANTS[1], day=date(2025, 1, 1), status="FAILED")), expected=None)
    facts = json.loads(report(tmp_path, "--json", tenants=TENANTS[:2]).stdout)
    states = {(day["tenant"], day["state"]) for day in facts["days"]}
    assert states == {(TENANTS[0], "NOT_STARTED"), (TENANTS[1], "MISSING")}


def test_tenant_without_any_day_is_missing(tmp_path: Path) -> None:
    write_range(tmp_path, TENANTS[:1], DATES, seed=7)
    store = SqliteStore(tmp_path / "makoto-ledger.sqlite")
    store.put({"PK": keys.TENANTS, "SK": f"{keys.TENANT}{TENANTS[1]}"}, expected=None)
    facts = json.loads(report(tmp_path, "--json", "--all-tenants", tenants=TENANTS[1:2]).stdout)
    assert {day["state"] for day in facts["days"]} == {"MISSING"}


def test_superseded_records_are_no_rejects(tmp_path: Path) -> None:
    receipts = write_range(tmp_path, TENANTS, DATES, seed=7)
    edited = {
        (each.tenant, each.date)
        for each in receipts
        if each.records.superseded and not each.records.rejected and not each.objects.unreadable
    }
    facts = json.loads(report(tmp_path, "--json").stdout)
    states = {(day["tenant"], day["day"]): day["state"] for day in facts["days"]}
    assert len(edited) > 50
    assert {states[each] for each in edited} <= {"COMPLETED", "FAILED", "MISSING"}


def test_tenants_are_ordered_by_severity() -> None:
    well = {"messages": 90, "rejected": 0}
    states = {
        "old-failure": ("FAILED", "COMPLETED"),
        "newest-failure": ("COMPLETED", "FAILED"),
        "two-failures": ("DEAD", "MISSING"),
        "rejects": ("COMPLETED", "COMPLETED_WITH_REJECTS"),
        "warning": ("COMPLETED", "COMPLETED"),
        "sound": ("COMPLETED", "COMPLETED"),
    }
    facts = make_facts("COMPLETED", dates=2)
    days = [
        DayFacts(tenant=tenant, day=day, state=state, **well)  # type: ignore[arg-type]
        for tenant, each in states.items()
        for day, state in zip(facts.dates, each, strict=True)
    ]
    days[7] = replace(days[7], rejected=10)
    days[9] = replace(days[9], expected=900)
    facts = replace(facts, tenants=tuple(states), days=tuple(days))
    assert list(facts.by_tenant) == ["two-failures", "newest-failure", "old-failure", "warning", "rejects", "sound"]


@pytest.mark.parametrize("url", ["javascript:alert(1)", "javascript:1", "a b", "https://x/?q", "x)(y", ""])
def test_documentation_is_a_url_or_a_folder(fortnight: Fortnight, url: str) -> None:
    result = report(fortnight[0], "--json", "--docs-url", url)
    assert result.exit_code == 2
    assert "--docs-url" in result.stderr
