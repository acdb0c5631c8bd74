"""The Python API: the command's receipt and plan as typed values, and its errors."""

import json
import subprocess
import sys
import traceback
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import daily_batch
from daily_batch import (
    BatchError,
    DayPlan,
    LeaseHeldError,
    Receipt,
    RetryableError,
    TerminalError,
    UsageError,
    plan_day,
    run_day,
)
from daily_batch.cli import app
from daily_batch.domain.receipt import to_dict
from daily_batch.ledger import Ledger
from daily_batch.metadata.sqlite import SqliteStore
from daily_batch.pipeline.runners.local import LocalRunner
from tests.support.day_runs import DAY, SAMPLES, child_environment, read_tables

SECRET = "what-a-message-says"
LEDGER = "makoto-ledger.sqlite"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TENANT_ID", "TARGET_DATE_OFFSET", "S3_BUCKET_NAME", "MAKOTO_INPUT", "MAKOTO_OUTPUT"):
        monkeypatch.delenv(name, raising=False)


def test_a_run_publishes_the_day_and_returns_the_receipt_that_the_command_prints(tmp_path: Path) -> None:
    receipt = run_day("acme", DAY, input=SAMPLES, output=tmp_path)
    assert isinstance(receipt, Receipt)
    assert receipt.records.written == len(read_tables(tmp_path)["messages"]) == 282
    words = ["run", "--tenant", "acme", "--date", "2025-08-12", "--input", str(SAMPLES), "--output", str(tmp_path)]
    printed = json.loads(CliRunner().invoke(app, [*words, "--if-changed", "--json"]).stdout)
    assert printed["receipts"] == [json.loads(json.dumps(to_dict(receipt)))]


def test_an_unchanged_day_returns_the_receipt_of_the_run_before(tmp_path: Path) -> None:
    first = run_day("acme", "2025-08-12", input=str(SAMPLES), output=str(tmp_path))
    assert run_day("acme", DAY, input=SAMPLES, output=tmp_path, if_changed=True).run_id == first.run_id
    assert run_day("acme", DAY, input=SAMPLES, output=tmp_path).run_id != first.run_id


def test_settings_are_arguments_and_override_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAKOTO_TABLE_FORMAT", "delta")
    monkeypatch.setenv("MAKOTO_INPUT", str(SAMPLES))
    monkeypatch.setenv("TENANT_ID", "globex")
    file = tmp_path / "elsewhere.sqlite"
    receipt = run_day("acme", DAY, output=tmp_path / "out", table_format="parquet", ledger=file, buckets=None)
    assert (receipt.tenant, receipt.format) == ("acme", "parquet")
    assert file.exists()


def test_progress_is_reported(tmp_path: Path) -> None:
    stages = list[str]()
    run_day("acme", DAY, input=SAMPLES, output=tmp_path, progress=lambda stage, *_: stages.append(stage))
    assert {"manifest", "intake", "clean"} <= set(stages)


def test_a_plan_is_what_the_command_shows(tmp_path: Path) -> None:
    plan = plan_day("acme", DAY, input=SAMPLES, output=tmp_path, cost=True, strays=True)
    assert isinstance(plan, DayPlan)
    assert (plan.objects, plan.runner, plan.changed) == (321, "local", True)
    assert plan.predicted["local"].seconds > 0
    assert plan.cost is not None and plan.strays is not None and plan.discovery is None
    words = ["plan", "--tenant", "acme", "--date", "2025-08-12", "--input", str(SAMPLES), "--output", str(tmp_path)]
    (printed,) = json.loads(CliRunner().invoke(app, [*words, "--cost", "--strays", "--json"]).stdout)["days"]
    assert printed["fingerprint"] == plan.fingerprint
    assert set(printed) == {*vars(plan)} - {"discovery", "job"}
    assert not (tmp_path / "acme").exists()


def test_a_plan_says_whether_a_run_has_work_to_do(tmp_path: Path) -> None:
    run_day("acme", DAY, input=SAMPLES, output=tmp_path / "out", ledger=tmp_path / LEDGER)
    assert not plan_day("acme", DAY, input=SAMPLES, output=tmp_path / "out", ledger=tmp_path / LEDGER).changed
    assert plan_day("acme", DAY, input=SAMPLES, output=tmp_path / "new", ledger=tmp_path / LEDGER).changed


@pytest.mark.parametrize("call", [run_day, plan_day])
@pytest.mark.parametrize(
    ("tenant", "day", "more", "what"),
    [
        (None, DAY, {}, "tenant id"),
        ("", DAY, {}, "tenant id"),
        ("acme,globex", DAY, {}, "tenant id"),
        ("../acme", DAY, {}, "tenant id"),
        ("acme", None, {}, "not a date"),
        ("acme", datetime(2025, 8, 12, tzinfo=UTC), {}, "not a date"),
        ("acme", "", {}, "not a day"),
        ("acme", "20250812", {}, "not a day"),
        ("acme", date.today() + timedelta(days=2), {}, "not begun"),
        ("acme", DAY, {"input": None}, "no input"),
        ("acme", DAY, {"output": None}, "no output"),
        ("acme", DAY, {"tenants": "globex"}, "tenants is not an argument"),
        ("acme", DAY, {"date": "2025-08-13"}, "date is not an argument"),
        ("acme", DAY, {"tabel_format": "parquet"}, "argument tabel_format sets 'tabel_format'"),
        ("acme", DAY, {"table_format": "csv"}, "table_format from argument table_format"),
        ("acme", DAY, {"lease_seconds": 0}, "lease_seconds from argument"),
    ],
)
def test_wrong_use_reads_and_writes_nothing(
    tmp_path: Path, call: Any, tenant: Any, day: Any, more: dict[str, Any], what: str
) -> None:
    with pytest.raises(UsageError, match=what) as raised:
        call(tenant, day, **{"input": SAMPLES, "output": tmp_path / "out", **more})
    assert raised.value.exit_code == 2
    assert raised.value.next_step
    assert not (tmp_path / "out").exists()


def test_a_day_that_another_run_holds_is_an_error_of_its_own(tmp_path: Path) -> None:
    ledger = Ledger(store=SqliteStore(tmp_path / LEDGER), clock=lambda: datetime.now(UTC), lease=timedelta(minutes=2))
    ledger.acquire("acme", DAY, owner="another host", run_id="held")
    with pytest.raises(LeaseHeldError, match="another host") as raised:
        run_day("acme", DAY, input=SAMPLES, output=tmp_path)
    assert (raised.value.exit_code, raised.value.tenant, raised.value.day) == (4, "acme", "2025-08-12")
    assert run_day("acme", DAY, input=SAMPLES, output=tmp_path, take_over=True).status == "COMPLETED_WITH_REJECTS"


def test_a_failure_that_no_retry_can_mend_says_so(tmp_path: Path) -> None:
    with pytest.raises(TerminalError) as raised:
        run_day("acme", DAY, input=SAMPLES, output=tmp_path, max_reject_ratio=0.001)
    assert raised.value.exit_code == 3


def test_an_unexpected_error_can_be_retried_and_holds_nothing_of_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError(SECRET)

    monkeypatch.setattr(LocalRunner, "run", fail)
    with pytest.raises(RetryableError, match=r"unexpected ValueError at test_api\.py") as raised:
        run_day("acme", DAY, input=SAMPLES, output=tmp_path)
    assert (raised.value.exit_code, raised.value.tenant, raised.value.day) == (1, "acme", "2025-08-12")
    assert SECRET not in "".join(traceback.format_exception(raised.value))


def test_the_package_offers_what_it_lists_and_nothing_else() -> None:
    errors = [getattr(daily_batch, name) for name in daily_batch.__all__ if name.endswith("Error")]
    assert {error.exit_code for error in errors if issubclass(error, BatchError)} == {1, 2, 3, 4}
    assert {name for name in daily_batch.__all__ if getattr(daily_batch, name).__doc__} == set(daily_batch.__all__)
    with pytest.raises(AttributeError, match="no attribute 'rn_day'"):
        daily_batch.rn_day  # type: ignore[attr-defined]  # noqa: B018


def test_a_program_that_uses_the_api_is_checked_by_its_types(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "from daily_batch import Receipt, plan_day, run_day\n"
        "receipt: Receipt = run_day('acme', '2025-08-12', runner='local')\n"
        "count: int = plan_day('acme', '2025-08-12').objects\n"
        "run_day('acme')\n"
        "text: str = receipt.records.written\n"
        "from daily_batch import rn_day\n"
    )
    answer = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--follow-imports=silent",
            "--cache-dir",
            str(tmp_path),
            str(program),
        ],
        cwd=tmp_path,
        env=child_environment(MYPYPATH=str(Path(daily_batch.__file__).parents[1])),
        capture_output=True,
        text=True,
    )
    assert [line.split(":")[1] for line in answer.stdout.splitlines() if ": error:" in line] == ["4", "5", "6"]
