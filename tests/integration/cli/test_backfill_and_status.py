"""A range of days, run and looked at: what changed or never ran is run, and status says what is missing or late."""

import json
import shutil
import signal
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from daily_batch.cli import app
from daily_batch.metadata import keys
from daily_batch.metadata.sqlite import SqliteStore
from daily_batch.orchestration.day_status import day_status, due_time
from daily_batch.settings import load_settings
from daily_batch.synthetic import generate
from tests.support.day_runs import DAY, ROOT, child_environment, published_state, read_tables, run_local

DAYS = [DAY - timedelta(days=2), DAY - timedelta(days=1), DAY]
TENANTS = ("acme", "globex")


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("days")
    for tenant in TENANTS:
        for number, day in enumerate(DAYS):
            made = root / f"{number}"
            generate(messages=40 + number, layout="export", seed=number, out=made, tenant=tenant, day=day, files=1)
            shutil.copytree(made, root / "in", dirs_exist_ok=True)
    return root / "in"


@pytest.fixture
def source(generated: Path, tmp_path: Path) -> Path:
    """Three days of two tenants, to change at will."""
    return Path(shutil.copytree(generated, tmp_path / "in"))


def call(*words: str) -> tuple[int, Any]:
    """A command by --json in this process: its status, and what it said."""
    answer = CliRunner().invoke(app, [*words, "--json"])
    return answer.exit_code, json.loads(answer.stdout) if answer.stdout else answer.stderr


def backfill(source: Path, output: Path, *more: str, tenants: str = "acme,globex") -> tuple[int, Any]:
    first, last = DAYS[0].isoformat(), DAYS[-1].isoformat()
    words = ("--tenant", tenants, "--from", first, "--to", last, "--input", str(source), "--output", str(output))
    return call("backfill", *words, *more)


def status(source: Path, output: Path, *more: str) -> tuple[int, Any]:
    first, last = DAYS[0].isoformat(), DAYS[-1].isoformat()
    return call("status", "--from", first, "--to", last, "--input", str(source), "--output", str(output), *more)


def outcomes(told: Any, name: str = "outcome") -> dict[tuple[str, str], str]:
    return {(row["tenant"], row["date"]): row[name] for row in told["days"]}


@pytest.mark.parametrize("parallel", ["1", "3"])
def test_backfill_publishes_what_single_runs_publish(source: Path, tmp_path: Path, parallel: str) -> None:
    code, told = backfill(source, tmp_path / "out", "--parallel", parallel)
    assert code == 0
    assert len(outcomes(told)) == 6
    assert set(outcomes(told).values()) <= {"completed", "completed, rejects"}
    for tenant in TENANTS:
        for day in DAYS:
            run_local(input=source, output=tmp_path / "wanted", tenant=tenant, day=day)
        assert read_tables(tmp_path / "out", tenant=tenant, day=None) == read_tables(
            tmp_path / "wanted", tenant=tenant, day=None
        )


@pytest.mark.parametrize("command", ["run", "backfill"])
def test_all_tenants_selects_the_tenants_with_a_folder(source: Path, tmp_path: Path, command: str) -> None:
    span = ("--date", DAY.isoformat()) if command == "run" else ("--from", DAY.isoformat(), "--to", DAY.isoformat())
    (source / "makoto-ledger.sqlite").touch()
    (source / "no tenant").mkdir()
    words = (*span, "--all-tenants", "--input", str(source), "--output", str(tmp_path / "out"))
    code, told = call(command, *words)
    assert code == 0
    assert [row["tenant"] for row in (told if command == "run" else told["days"])] == list(TENANTS)


def test_a_second_backfill_runs_only_changed_days(source: Path, tmp_path: Path) -> None:
    backfill(source, tmp_path / "out")
    state = published_state(tmp_path / "out")
    assert set(outcomes(backfill(source, tmp_path / "out")[1]).values()) == {"unchanged"}
    assert published_state(tmp_path / "out") == state
    late = source / f"acme/exports/messages/{DAYS[1]:%Y/%m/%d}/late.jsonl"
    late.write_bytes(b"{}\n")
    told = outcomes(backfill(source, tmp_path / "out")[1])
    assert [place for place, outcome in told.items() if outcome != "unchanged"] == [("acme", DAYS[1].isoformat())]
    assert "unchanged" not in outcomes(backfill(source, tmp_path / "out", "--force")[1]).values()


def test_backfill_reports_a_failed_day_and_runs_the_others(source: Path, tmp_path: Path) -> None:
    (broken,) = (source / f"acme/exports/messages/{DAYS[1]:%Y/%m/%d}").iterdir()
    broken.with_suffix("").write_bytes(b"{broken\n" * 9)
    broken.unlink()
    words = ("--input", str(source), "--output", str(tmp_path / "out"))
    span = ("--tenant", "acme", "--from", DAYS[0].isoformat(), "--to", DAYS[-1].isoformat())
    answer = CliRunner(env={"MAKOTO_MAX_REJECT_RATIO": "0.5"}).invoke(app, ["backfill", *span, *words, "--json"])
    assert answer.exit_code == 3
    rows = json.loads(answer.stdout)["days"]
    assert [row["outcome"] == "failed" for row in rows] == [False, True, False]
    assert "max_reject_ratio" in rows[1]["error"]
    code, told = status(source, tmp_path / "out", "--tenant", "acme", "--check")
    assert code == 1
    assert [row["state"] for row in told["days"]][1] == "failed"
    assert told["days"][1]["note"].startswith("late; ")


def backfilling(source: Path, output: Path) -> subprocess.Popen[str]:
    """The backfill as a process that is at work."""
    program = [sys.executable, "-m", "daily_batch", "backfill", "--tenant", "acme,globex"]
    program += ["--from", DAYS[0].isoformat(), "--to", DAYS[-1].isoformat()]
    program += ["--input", str(source), "--output", str(output)]
    return subprocess.Popen(program, env=child_environment(), cwd=ROOT, stderr=subprocess.PIPE, text=True)


def test_a_killed_backfill_resumes_where_it_stopped(source: Path, tmp_path: Path) -> None:
    with backfilling(source, tmp_path / "out") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("backfill days: "):
                break
        process.send_signal(signal.SIGKILL)
    done = {place for place, state in outcomes(status(source, tmp_path / "out", "--all-tenants")[1], "state").items()
            if state.startswith("completed")}  # fmt: skip
    assert done
    code, told = backfill(source, tmp_path / "out")
    assert code == 0
    assert {place for place, outcome in outcomes(told).items() if outcome == "unchanged"} == done
    assert len(outcomes(told)) == 6


def test_an_interrupted_backfill_resumes_without_a_traceback(source: Path, tmp_path: Path) -> None:
    with backfilling(source, tmp_path / "out") as process:
        assert process.stderr is not None
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        told = process.stderr.read()
    assert process.returncode == 1
    assert "stopped; what was published stays" in told
    assert "Traceback" not in told
    code, rows = backfill(source, tmp_path / "out")
    assert (code, len(outcomes(rows))) == (0, 6)


def test_a_range_that_ends_before_it_begins_is_refused(source: Path, tmp_path: Path) -> None:
    words = ("--tenant", "acme", "--from", "2025-08-13", "--to", "2025-08-12", "--input", str(source))
    code, told = call("backfill", *words, "--output", str(tmp_path / "out"))
    assert code == 2
    assert "ends before it begins" in told


def test_status_covers_every_day_of_every_tenant_with_a_folder(source: Path, tmp_path: Path) -> None:
    run = ("--date", DAYS[1].isoformat(), "--input", str(source), "--output", str(tmp_path / "out"))
    assert call("run", "--tenant", "globex", *run)[0] == 0
    code, told = status(source, tmp_path / "out", "--all-tenants")
    assert code == 0
    states = outcomes(told, "state")
    assert len(states) == 6
    assert states.pop(("globex", DAYS[1].isoformat())).startswith("completed")
    assert set(states.values()) == {"missing"}
    assert all(row["late"] is (row["state"] == "missing") for row in told["days"])
    assert status(source, tmp_path / "out", "--all-tenants", "--check")[0] == 1


def test_status_skips_an_invalid_tenant_id_and_reports_the_others(source: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    store = SqliteStore(tmp_path / "out/makoto-ledger.sqlite")
    for tenant in ("acme", "../globex"):
        store.put({"PK": keys.TENANTS, "SK": f"{keys.TENANT}{tenant}"}, expected=None)
    span = ["--all-tenants", "--from", DAYS[0].isoformat(), "--to", DAYS[-1].isoformat(), "--json"]
    answer = CliRunner().invoke(app, ["status", *span, "--input", str(source), "--output", str(tmp_path / "out")])
    assert answer.exit_code == 0
    assert {row["tenant"] for row in json.loads(answer.stdout)["days"]} == {"acme"}
    assert "skipped: the tenant id '../globex' is not allowed" in answer.stderr


def test_status_verify_detects_changes_after_completion(source: Path, tmp_path: Path) -> None:
    backfill(source, tmp_path / "out", tenants="acme")
    (source / f"acme/exports/messages/{DAYS[0]:%Y/%m/%d}/late.jsonl").write_bytes(b"{}\n")
    seen = status(source, tmp_path / "out", "--tenant", "acme")[1]
    assert "changed" not in outcomes(seen, "state").values()
    verified = outcomes(status(source, tmp_path / "out", "--tenant", "acme", "--verify")[1], "state")
    assert [place for place, state in verified.items() if state == "changed"] == [("acme", DAYS[0].isoformat())]


def test_status_writes_nothing(source: Path, tmp_path: Path) -> None:
    status(source, tmp_path / "out", "--tenant", "acme")
    assert not (tmp_path / "out").exists()


def test_the_text_table_has_one_line_per_day(source: Path, tmp_path: Path) -> None:
    backfill(source, tmp_path / "out", tenants="acme")
    words = ["status", "--tenant", "acme", "--from", DAYS[0].isoformat(), "--to", DAYS[-1].isoformat()]
    answer = CliRunner().invoke(app, [*words, "--input", str(source), "--output", str(tmp_path / "out")])
    lines = answer.stdout.splitlines()
    assert len(lines) == 4
    assert [line.split()[1] for line in lines[1:]] == [day.isoformat() for day in DAYS]


def test_look_back_runs_earlier_days_that_changed_or_never_ran(source: Path, tmp_path: Path) -> None:
    words = ("run", "--tenant", "acme", "--date", DAYS[2].isoformat(), "--input", str(source))
    words += ("--output", str(tmp_path / "out"), "--look-back", "2")
    code, first = call(*words)
    assert code == 0
    assert [receipt["date"] for receipt in first] == [str(day) for day in (DAYS[2], DAYS[1], DAYS[0])]
    (source / f"acme/exports/messages/{DAYS[0]:%Y/%m/%d}/late.jsonl").write_bytes(b"{}\n")
    code, second = call(*words)
    same = [one["run_id"] == two["run_id"] for one, two in zip(first, second, strict=True)]
    # The day itself is always run; of those before only what changed is.
    assert same == [False, True, False]
    assert second[2]["objects"]["listed"] == first[2]["objects"]["listed"] + 1


def test_a_day_is_due_at_six_the_next_morning() -> None:
    due = due_time(date(2025, 8, 12), load_settings(flags={}, environ={}))
    assert due == datetime(2025, 8, 12, 21, 0, tzinfo=UTC)
    assert day_status(None, now=due, due=due) == "missing"
    assert day_status(None, now=due - timedelta(seconds=1), due=due) == "not due"
