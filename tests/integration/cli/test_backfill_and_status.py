"""The commands backfill, status and run --look-back, over a range of days of two tenants."""

import json
import shutil
import signal
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from daily_batch.metadata import keys
from daily_batch.metadata.sqlite import SqliteStore
from daily_batch.orchestration.day_status import day_status, due_time
from daily_batch.settings import load_settings
from daily_batch.synthetic import generate
from tests.support.command_runs import invoke, invoke_json
from tests.support.day_runs import DAY, ROOT, child_environment, published_state, read_tables, run_local

DAYS = [DAY - timedelta(days=2), DAY - timedelta(days=1), DAY]
TENANTS = ("acme", "globex")


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("days")
    for tenant in TENANTS:
        for number, day in enumerate(DAYS):
            folder = root / f"{number}"
            generate(messages=40 + number, layout="export", seed=number, out=folder, tenant=tenant, day=day, files=1)
            shutil.copytree(folder, root / "in", dirs_exist_ok=True)
    return root / "in"


@pytest.fixture
def source(generated: Path, tmp_path: Path) -> Path:
    """Return a copy of three days of two tenants, which a test may change."""
    return Path(shutil.copytree(generated, tmp_path / "in"))


def backfill(source: Path, output: Path, *more: str, tenants: str = "acme,globex") -> tuple[int, Any]:
    first, last = DAYS[0].isoformat(), DAYS[-1].isoformat()
    days = ("--from", first, "--to", last)
    return invoke_json("backfill", "--tenant", tenants, *days, "--input", str(source), "--output", str(output), *more)


def status(source: Path, output: Path, *more: str) -> tuple[int, Any]:
    first, last = DAYS[0].isoformat(), DAYS[-1].isoformat()
    return invoke_json("status", "--from", first, "--to", last, "--input", str(source), "--output", str(output), *more)


def by_day(output: Any, name: str = "outcome") -> dict[tuple[str, str], str]:
    """Return a column of a table of days, by tenant and date."""
    return {(row["tenant"], row["date"]): row[name] for row in output["days"]}


@pytest.mark.parametrize("parallel", ["1", "3"])
def test_backfill_publishes_what_single_runs_publish(source: Path, tmp_path: Path, parallel: str) -> None:
    code, output = backfill(source, tmp_path / "out", "--parallel", parallel)
    assert code == 0
    assert len(by_day(output)) == 6
    assert set(by_day(output).values()) <= {"COMPLETED", "COMPLETED_WITH_REJECTS"}
    for tenant in TENANTS:
        for day in DAYS:
            run_local(input=source, output=tmp_path / "expected", tenant=tenant, day=day)
        assert read_tables(tmp_path / "out", tenant=tenant, day=None) == read_tables(
            tmp_path / "expected", tenant=tenant, day=None
        )


@pytest.mark.parametrize("command", ["run", "backfill"])
def test_all_tenants_selects_the_tenants_with_a_folder(source: Path, tmp_path: Path, command: str) -> None:
    days = ("--date", DAY.isoformat()) if command == "run" else ("--from", DAY.isoformat(), "--to", DAY.isoformat())
    (source / "makoto-ledger.sqlite").touch()
    (source / "no tenant").mkdir()
    code, output = invoke_json(
        command, *days, "--all-tenants", "--input", str(source), "--output", str(tmp_path / "out")
    )
    assert code == 0
    assert [row["tenant"] for row in output["receipts" if command == "run" else "days"]] == list(TENANTS)


def test_a_second_backfill_runs_only_changed_days(source: Path, tmp_path: Path) -> None:
    backfill(source, tmp_path / "out")
    state = published_state(tmp_path / "out")
    assert set(by_day(backfill(source, tmp_path / "out")[1]).values()) == {"UNCHANGED"}
    assert published_state(tmp_path / "out") == state
    late = source / f"acme/exports/messages/{DAYS[1]:%Y/%m/%d}/late.jsonl"
    late.write_bytes(b"{}\n")
    outcomes = by_day(backfill(source, tmp_path / "out")[1])
    assert [key for key, outcome in outcomes.items() if outcome != "UNCHANGED"] == [("acme", DAYS[1].isoformat())]
    assert "UNCHANGED" not in by_day(backfill(source, tmp_path / "out", "--force")[1]).values()


def test_backfill_reports_a_failed_day_and_runs_the_others(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (broken,) = (source / f"acme/exports/messages/{DAYS[1]:%Y/%m/%d}").iterdir()
    broken.with_suffix("").write_bytes(b"{broken\n" * 9)
    broken.unlink()
    monkeypatch.setenv("MAKOTO_MAX_REJECT_RATIO", "0.5")
    code, output = backfill(source, tmp_path / "out", tenants="acme")
    assert code == 3
    rows = output["days"]
    assert [row["outcome"] == "FAILED" for row in rows] == [False, True, False]
    assert "max_reject_ratio" in rows[1]["error"]
    code, output = status(source, tmp_path / "out", "--tenant", "acme", "--check")
    assert code == 1
    assert [row["state"] for row in output["days"]][1] == "FAILED"
    assert output["days"][1]["note"].startswith("late; ")


def start_backfill(source: Path, output: Path) -> subprocess.Popen[str]:
    """Start a backfill in a process of its own."""
    program = [sys.executable, "-m", "daily_batch", "backfill", "--tenant", "acme,globex"]
    program += ["--from", DAYS[0].isoformat(), "--to", DAYS[-1].isoformat()]
    program += ["--input", str(source), "--output", str(output)]
    return subprocess.Popen(program, env=child_environment(), cwd=ROOT, stderr=subprocess.PIPE, text=True)


def test_a_killed_backfill_resumes_where_it_stopped(source: Path, tmp_path: Path) -> None:
    with start_backfill(source, tmp_path / "out") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("backfill days: "):
                break
        process.send_signal(signal.SIGKILL)
    states = by_day(status(source, tmp_path / "out", "--all-tenants")[1], "state")
    completed = {key for key, state in states.items() if state.startswith("COMPLETED")}
    assert completed
    code, output = backfill(source, tmp_path / "out")
    assert code == 0
    assert {key for key, outcome in by_day(output).items() if outcome == "UNCHANGED"} == completed
    assert len(by_day(output)) == 6


def test_an_interrupted_backfill_resumes_without_a_traceback(source: Path, tmp_path: Path) -> None:
    with start_backfill(source, tmp_path / "out") as process:
        assert process.stderr is not None
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        stderr = process.stderr.read()
    assert process.returncode == 130
    assert "what is published stays" in stderr
    assert "Traceback" not in stderr
    code, output = backfill(source, tmp_path / "out")
    assert (code, len(by_day(output))) == (0, 6)


def test_a_range_that_ends_before_it_begins_is_refused(source: Path, tmp_path: Path) -> None:
    days = ("--from", "2025-08-13", "--to", "2025-08-12")
    locations = ("--input", str(source), "--output", str(tmp_path / "out"))
    code, stderr = invoke_json("backfill", "--tenant", "acme", *days, *locations)
    assert code == 2
    assert "ends before it begins" in stderr


def test_status_covers_every_day_of_every_tenant_with_a_folder(source: Path, tmp_path: Path) -> None:
    run = ("--date", DAYS[1].isoformat(), "--input", str(source), "--output", str(tmp_path / "out"))
    assert invoke_json("run", "--tenant", "globex", *run)[0] == 0
    code, output = status(source, tmp_path / "out", "--all-tenants")
    assert code == 0
    states = by_day(output, "state")
    assert len(states) == 6
    assert states.pop(("globex", DAYS[1].isoformat())).startswith("COMPLETED")
    assert set(states.values()) == {"MISSING"}
    assert all(row["late"] is (row["state"] == "MISSING") for row in output["days"])
    assert status(source, tmp_path / "out", "--all-tenants", "--check")[0] == 1


def test_status_skips_an_invalid_tenant_id_and_reports_the_others(source: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    store = SqliteStore(tmp_path / "out/makoto-ledger.sqlite")
    for tenant in ("acme", "../globex"):
        store.put({"PK": keys.TENANTS, "SK": f"{keys.TENANT}{tenant}"}, expected=None)
    options = ["--all-tenants", "--from", DAYS[0].isoformat(), "--to", DAYS[-1].isoformat(), "--json"]
    code, stdout, stderr = invoke("status", *options, "--input", str(source), "--output", str(tmp_path / "out"))
    assert code == 0
    assert {row["tenant"] for row in json.loads(stdout)["days"]} == {"acme"}
    assert "skipped: the tenant id '../globex' is not allowed" in stderr


def test_status_verify_detects_changes_after_completion(source: Path, tmp_path: Path) -> None:
    backfill(source, tmp_path / "out", tenants="acme")
    (source / f"acme/exports/messages/{DAYS[0]:%Y/%m/%d}/late.jsonl").write_bytes(b"{}\n")
    unverified = by_day(status(source, tmp_path / "out", "--tenant", "acme")[1], "state")
    assert "CHANGED" not in unverified.values()
    verified = by_day(status(source, tmp_path / "out", "--tenant", "acme", "--verify")[1], "state")
    assert [key for key, state in verified.items() if state == "CHANGED"] == [("acme", DAYS[0].isoformat())]


def test_status_writes_nothing(source: Path, tmp_path: Path) -> None:
    status(source, tmp_path / "out", "--tenant", "acme")
    assert not (tmp_path / "out").exists()


def test_the_text_table_has_one_line_per_day(source: Path, tmp_path: Path) -> None:
    backfill(source, tmp_path / "out", tenants="acme")
    days = ["--from", DAYS[0].isoformat(), "--to", DAYS[-1].isoformat()]
    locations = ["--input", str(source), "--output", str(tmp_path / "out")]
    lines = invoke("status", "--tenant", "acme", *days, *locations)[1].splitlines()
    assert len(lines) == 4
    assert [line.split()[1] for line in lines[1:]] == [day.isoformat() for day in DAYS]


def test_look_back_runs_earlier_days_that_changed_or_never_ran(source: Path, tmp_path: Path) -> None:
    arguments = ("run", "--tenant", "acme", "--date", DAYS[2].isoformat(), "--look-back", "2")
    arguments += ("--input", str(source), "--output", str(tmp_path / "out"))
    code, first = invoke_json(*arguments)
    assert code == 0
    assert [receipt["date"] for receipt in first["receipts"]] == [str(day) for day in (DAYS[2], DAYS[1], DAYS[0])]
    (source / f"acme/exports/messages/{DAYS[0]:%Y/%m/%d}/late.jsonl").write_bytes(b"{}\n")
    code, second = invoke_json(*arguments)
    same = [one["run_id"] == two["run_id"] for one, two in zip(first["receipts"], second["receipts"], strict=True)]
    # The requested day always runs; earlier days run only if they changed.
    assert same == [False, True, False]
    before, after = (output["receipts"][2]["objects"]["listed"] for output in (first, second))
    assert after == before + 1


def test_a_day_is_due_at_six_the_next_morning() -> None:
    due = due_time(date(2025, 8, 12), load_settings(flags={}, environ={}))
    assert due == datetime(2025, 8, 12, 21, 0, tzinfo=UTC)
    assert day_status(None, now=due, due=due) == "MISSING"
    assert day_status(None, now=due - timedelta(seconds=1), due=due) == "NOT_DUE"
