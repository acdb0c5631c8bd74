"""No day is emptied by mistake: missing objects, tables of another format, and unreadable objects."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from daily_batch.domain.receipt import Receipt
from daily_batch.entrypoints.submitted_job import run_submitted_job
from daily_batch.errors import TerminalError, UsageError
from daily_batch.ledger.process import current_user
from daily_batch.orchestration.requests import build_requests
from daily_batch.orchestration.spark_jobs import SparkJob
from daily_batch.pipeline.runners.local import LocalRunner
from daily_batch.settings import load_settings
from tests.support.command_runs import invoke, run_command
from tests.support.day_runs import DAY, published_state, read_tables

EXPORT = f"acme/exports/messages/{DAY:%Y/%m/%d}"


@pytest.fixture(autouse=True)
def no_tenant_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TENANT_ID", raising=False)


def empty_input(root: Path) -> Path:
    """Create an input with the tenant's folder and no object of the day."""
    (root / "empty/acme").mkdir(parents=True)
    return root / "empty"


@pytest.mark.parametrize("table_format", ["delta", "parquet"])
@pytest.mark.parametrize("deleted", ["nothing", "the ledger", "the ledger and the receipts"])
def test_a_wrong_input_never_empties_a_published_day(
    source: Path, tmp_path: Path, deleted: str, table_format: str
) -> None:
    output, more = tmp_path / "out", ("--format", table_format)
    assert run_command(source, output, *more)[0] == 0
    if deleted != "nothing":
        (output / "makoto-ledger.sqlite").unlink()
    if deleted == "the ledger and the receipts":
        shutil.rmtree(output / "acme/analytics/_receipts")
    before = published_state(output)
    code, receipt, stderr = run_command(empty_input(tmp_path), output, *more)
    assert (code, receipt) == (3, None)
    assert "would lose rows that are published" in stderr
    assert "--allow-shrink" in stderr
    (row,) = run_command(tmp_path / "empty", output, *more, command="backfill")[1]["days"]
    assert (row["outcome"], row["status"]) == ("FAILED", 3)
    assert published_state(output) == before


def test_fewer_objects_than_in_the_last_receipt_are_refused(source: Path, tmp_path: Path) -> None:
    run_command(source, tmp_path / "out")
    (original, *_) = sorted((source / EXPORT).iterdir())
    moved = original.rename(tmp_path / original.name)
    code, _, stderr = run_command(source, tmp_path / "out")
    assert (code, "1 of the 3 objects of run" in stderr) == (3, True)
    moved.rename(original)
    (source / EXPORT / "late.jsonl").write_text("\n")
    assert run_command(source, tmp_path / "out")[0] == 0


@pytest.mark.parametrize("command", ["run", "backfill"])
def test_the_receipt_names_who_allowed_a_loss(source: Path, tmp_path: Path, command: str) -> None:
    run_command(source, tmp_path / "out")
    assert run_command(empty_input(tmp_path), tmp_path / "out", "--allow-shrink", command=command)[0] == 0
    assert read_tables(tmp_path / "out")["messages"] == []
    receipts = (tmp_path / f"out/acme/analytics/_receipts/{DAY}").iterdir()
    last = max(receipts, key=lambda path: path.stat().st_mtime_ns)  # ids of runs of the same second are in no order
    shrink = json.loads(last.read_text())["shrink"]
    assert shrink["by"].startswith(f"{current_user()}, ")
    assert (shrink["messages"] > 0, shrink["objects"]) == (True, 3)


def test_a_submitted_job_receives_who_allowed_a_loss(source: Path, tmp_path: Path) -> None:
    assert run_command(source, tmp_path / "out")[0] == 0
    flags: dict[str, object] = {"tenants": "acme", "date": str(DAY), "output": str(tmp_path / "out")}
    flags["input"] = str(empty_input(tmp_path))

    def submit(token: int, allow_shrink: str) -> Receipt:
        settings = load_settings(flags=flags, environ={})
        (request,) = build_requests(settings, datetime.now(UTC), allow_shrink=allow_shrink)
        job = SparkJob(request=request, run_id="9", token=token, settings=settings.for_job(tenant="acme"))
        own = job.parameters()["settings"] or None
        return run_submitted_job(flags, {}, run_id="9", token=token, submitter_settings=own, spark=LocalRunner)

    with pytest.raises(TerminalError, match="would lose rows that are published"):
        submit(8, "")
    shrink = submit(9, "alice, a function").shrink
    assert shrink and shrink.by == "alice, a function"
    stored = tmp_path / f"out/acme/analytics/_receipts/{DAY}/9.json"
    assert json.loads(stored.read_text())["shrink"]["by"] == "alice, a function"


def test_a_day_runs_without_the_objects_of_an_erased_user(tmp_path: Path) -> None:
    room = "chat/{user}/r/messages/2025/08/12"
    for user in ("u1", "u2"):
        for number in range(3):
            file = tmp_path / f"in/acme/{room.format(user=user)}/01-00-0{number}Z-{user}{number}.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            body = {"message_id": f"{user}{number}", "content": "a", "timestamp": f"2025-08-12T01:00:0{number}Z"}
            file.write_text(json.dumps(body))
    assert run_command(tmp_path / "in", tmp_path / "out")[1]["records"]["written"] == 6
    output = str(tmp_path / "out")
    assert invoke("erase", "--tenant", "acme", "--user", "u1", "--output", output, "--confirm")[0] == 0
    shutil.rmtree(tmp_path / "in/acme/chat/u1")
    code, receipt, _ = run_command(tmp_path / "in", tmp_path / "out")
    assert (code, receipt["records"]["written"], "shrink" in receipt) == (0, 3, False)


# Table formats


@pytest.mark.parametrize(("published", "requested"), [("delta", "parquet"), ("parquet", "delta")])
def test_tables_of_the_other_format_are_refused_with_a_next_step(
    source: Path, tmp_path: Path, published: str, requested: str
) -> None:
    output = tmp_path / "out"
    run_command(source, output, "--format", published)
    before = published_state(output)
    code, _, stderr = run_command(source, output, "--format", requested)
    assert (code, f"use --format {published}" in stderr, "another --output" in stderr) == (2, True, True)
    assert published_state(output) == before
    flags = {
        "tenants": "acme",
        "date": str(DAY),
        "input": str(source),
        "output": str(output),
        "table_format": requested,
    }
    with pytest.raises(UsageError, match=f"use --format {published}"):
        run_submitted_job(flags, {}, run_id="9", token=9, spark=LocalRunner)
    assert published_state(output) == before
    assert run_command(source, tmp_path / "other", "--format", requested)[0] == 0


# Unreadable objects


def test_unreadable_objects_are_a_warning_of_every_command(source: Path, tmp_path: Path) -> None:
    (broken, *_) = sorted((source / EXPORT).iterdir())
    broken.write_bytes(broken.read_bytes()[:-50])
    code, receipt, stderr = run_command(source, tmp_path / "out")
    assert (code, receipt["objects"]["unreadable"]) == (0, 1)
    assert "WARNING: tenant=acme day=2025-08-12: 1 of 3 objects (33.3%) could not be read" in stderr
    options = ("--tenant", "acme", "--input", str(source), "--output", str(tmp_path / "out"))
    stdout = invoke("run", *options, "--date", str(DAY))[1]
    assert "WARNING  1 of 3 objects (33.3%) could not be read" in stdout
    assert "Next step: " in stdout
    (row,) = run_command(source, tmp_path / "out", command="backfill")[1]["days"]
    assert (row["outcome"], row["unreadable"]) == ("UNCHANGED", 1)
    lost = "1 of 3 objects (33.3%) could not be read"
    assert row["note"].startswith(lost)
    days = ("--from", str(DAY), "--to", str(DAY))
    header, _, note = invoke("backfill", *options, *days)[1].splitlines()
    assert "unreadable" in header
    assert note.startswith(f"acme {DAY}: {lost}; max_unreadable 0.3333, at most 0.01")
    header, line = invoke("status", *options, *days)[1].splitlines()[:2]
    assert "unreadable" in header
    assert lost in line
    assert lost in invoke("report", *options, *days, "--markdown")[1]


def test_too_many_unreadable_objects_fail_the_day(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for broken in sorted((source / EXPORT).iterdir())[:2]:
        broken.write_bytes(b"no gzip")
    code, _, stderr = run_command(source, tmp_path / "out")
    assert (code, "2 of 3 objects cannot be read (66.7%), and max_unreadable_ratio is 0.5" in stderr) == (3, True)
    assert read_tables(tmp_path / "out")["messages"] == []
    monkeypatch.setenv("MAKOTO_MAX_UNREADABLE_RATIO", "0.7")
    assert run_command(source, tmp_path / "out")[0] == 0
