"""No day is emptied by mistake: wrong inputs, unknown tenants, tables of another format, and strays."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from daily_batch.cli import app
from daily_batch.domain.receipt import Receipt
from daily_batch.entrypoints.submitted_job import run_submitted_job
from daily_batch.errors import TerminalError, UsageError
from daily_batch.ledger.process import current_user
from daily_batch.metadata import keys
from daily_batch.metadata.sqlite import SqliteStore
from daily_batch.orchestration.requests import build_requests
from daily_batch.orchestration.spark_jobs import SparkJob
from daily_batch.pipeline.runners.local import LocalRunner
from daily_batch.settings import load_settings
from daily_batch.synthetic import generate
from tests.support.day_runs import DAY, published_state, read_tables

EXPORT = f"acme/exports/messages/{DAY:%Y/%m/%d}"


@pytest.fixture(autouse=True)
def no_tenant_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TENANT_ID", raising=False)


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("generated")
    generate(messages=60, layout="export", seed=1, out=root, tenant="acme", day=DAY, files=3)
    return root


@pytest.fixture
def source(generated: Path, tmp_path: Path) -> Path:
    """A day of three objects, to change at will."""
    return Path(shutil.copytree(generated, tmp_path / "in"))


def call(*words: str) -> tuple[int, str, str]:
    answer = CliRunner().invoke(app, list(words))
    return answer.exit_code, answer.stdout, answer.stderr


def run(source: Path, output: Path, *more: str, tenant: str = "acme", command: str = "run") -> tuple[int, Any, str]:
    span = ("--from", str(DAY), "--to", str(DAY)) if command == "backfill" else ("--date", str(DAY))
    words = (command, "--tenant", tenant, *span, "--input", str(source), "--output", str(output), *more, "--json")
    code, out, err = call(*words)
    return code, json.loads(out) if out else None, err


def empty(root: Path) -> Path:
    """An input with the tenant's folder and no object of the day."""
    (root / "empty/acme").mkdir(parents=True)
    return root / "empty"


@pytest.mark.parametrize("table_format", ["delta", "parquet"])
@pytest.mark.parametrize("forgotten", ["nothing", "the ledger", "the ledger and the receipts"])
def test_a_wrong_input_never_empties_a_published_day(
    source: Path, tmp_path: Path, forgotten: str, table_format: str
) -> None:
    output, more = tmp_path / "out", ("--format", table_format)
    assert run(source, output, *more)[0] == 0
    if forgotten != "nothing":
        (output / "makoto-ledger.sqlite").unlink()
    if forgotten == "the ledger and the receipts":
        shutil.rmtree(output / "acme/analytics/_receipts")
    shown = published_state(output)
    code, told, err = run(empty(tmp_path), output, *more)
    assert (code, told) == (3, None)
    assert "would lose rows that are published" in err
    assert "--allow-shrink" in err
    (row,) = run(tmp_path / "empty", output, *more, command="backfill")[1]["days"]
    assert (row["outcome"], row["status"]) == ("failed", 3)
    assert published_state(output) == shown


def test_fewer_objects_than_in_the_last_receipt_are_refused(source: Path, tmp_path: Path) -> None:
    run(source, tmp_path / "out")
    (gone, *_) = sorted((source / EXPORT).iterdir())
    kept = gone.rename(tmp_path / gone.name)
    code, _, err = run(source, tmp_path / "out")
    assert (code, "1 of the 3 objects of run" in err) == (3, True)
    kept.rename(gone)
    (source / EXPORT / "late.jsonl").write_text("\n")
    assert run(source, tmp_path / "out")[0] == 0


@pytest.mark.parametrize("command", ["run", "backfill"])
def test_the_receipt_names_who_allowed_a_loss(source: Path, tmp_path: Path, command: str) -> None:
    run(source, tmp_path / "out")
    assert run(empty(tmp_path), tmp_path / "out", "--allow-shrink", command=command)[0] == 0
    assert read_tables(tmp_path / "out")["messages"] == []
    receipts = (tmp_path / f"out/acme/analytics/_receipts/{DAY}").iterdir()
    last = max(receipts, key=lambda path: path.stat().st_mtime_ns)  # runs of one second have ids in any order
    shrink = json.loads(last.read_text())["shrink"]
    assert shrink["by"].startswith(f"{current_user()}, ")
    assert (shrink["messages"] > 0, shrink["objects"]) == (True, 3)


def test_a_submitted_job_receives_who_allowed_a_loss(source: Path, tmp_path: Path) -> None:
    assert run(source, tmp_path / "out")[0] == 0
    flags: dict[str, object] = {"tenants": "acme", "date": str(DAY), "output": str(tmp_path / "out")}
    flags["input"] = str(empty(tmp_path))

    def submit(token: int, allow_shrink: str) -> Receipt:
        settings = load_settings(flags=flags, environ={})
        (request,) = build_requests(settings, datetime.now(UTC), allow_shrink=allow_shrink)
        job = SparkJob(request=request, run_id="9", token=token, settings=settings.for_job(tenant="acme"))
        given = job.parameters()["settings"] or None
        return run_submitted_job(flags, run_id="9", token=token, submitter_settings=given, spark=LocalRunner)

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
    assert run(tmp_path / "in", tmp_path / "out")[1]["records"]["written"] == 6
    words = ("--tenant", "acme", "--user", "u1", "--output", str(tmp_path / "out"), "--confirm")
    assert call("erase", *words)[0] == 0
    shutil.rmtree(tmp_path / "in/acme/chat/u1")
    code, receipt, _ = run(tmp_path / "in", tmp_path / "out")
    assert (code, receipt["records"]["written"], "shrink" in receipt) == (0, 3, False)


# Whose input it is.


@pytest.mark.parametrize(
    ("below", "tenant", "told"),
    [
        (".", "acmee", "there are 'acme'"),
        (".", "ACME", "there is 'acme', in another case"),
        ("acme", "acme", "use the folder above it"),
        ("..", "acme", "one level deeper: 'in'/acme"),
    ],
)
def test_an_input_without_the_tenant_is_an_error_with_a_hint(
    source: Path, tmp_path: Path, below: str, tenant: str, told: str
) -> None:
    for command in ("run", "plan", "replay"):
        code, _, err = run(source / below, tmp_path / "out", tenant=tenant, command=command)
        assert (code, told in err) == (3, True), err
    assert not list((tmp_path / "out").glob("*/analytics"))


def test_a_new_tenant_of_the_metadata_store_gets_an_empty_day(source: Path, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "ledger.sqlite")

    def name(tenant: str) -> None:
        store.put({"PK": keys.TENANTS, "SK": f"{keys.TENANT}{tenant}"}, expected=None)

    more = ("--ledger", str(store.file))
    name("new")
    assert run(source, tmp_path / "out", *more, tenant="new")[1]["status"] == "COMPLETED"
    name("other")
    code, _, err = run(source, tmp_path / "out", *more, tenant="new")
    assert (code, "nor of any other tenant of the metadata store" in err) == (3, True)
    name("acme")
    assert run(source, tmp_path / "out", *more, tenant="new")[0] == 0


@pytest.mark.parametrize("command", ["status", "report", "vacuum", "optimize", "erase"])
def test_every_command_rejects_an_unknown_tenant(source: Path, tmp_path: Path, command: str) -> None:
    run(source, tmp_path / "out")
    more = {"erase": ["--user", "u"], "report": ["--json"]}.get(command, [])
    words = (command, "--output", str(tmp_path / "out"), *more)
    assert call(*words, "--tenant", "acme")[0] == 0
    code, out, err = call(*words, "--tenant", "acmee")
    assert (code, out) == (2, "")
    assert "error: tenant=acmee" in err
    assert "Next step: " in err


@pytest.mark.parametrize(
    "words",
    [
        *(("run",), ("plan",), ("replay",), ("backfill", "--from", "2025-08-12", "--to", "2025-08-12")),
        *(("status",), ("report",), ("vacuum",), ("optimize",), ("erase", "--user", "u")),
        ("ddl", "--engine", "athena"),
    ],
    ids=lambda words: str(words[0]),
)
@pytest.mark.parametrize("conf", [False, True])
def test_the_tenant_must_be_named_explicitly(
    source: Path, tmp_path: Path, words: tuple[str, ...], conf: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if conf:  # a deployment's defaults name nobody
        (tmp_path / "conf").mkdir()
        (tmp_path / "conf/defaults.toml").write_text("tenants = ['default_tenant']\n")
        monkeypatch.setenv("MAKOTO_CONF_DIR", str(tmp_path / "conf"))
    places = ["--output", str(tmp_path / "out")]
    places += [] if words[0] in ("vacuum", "optimize", "ddl") else ["--input", str(source)]
    code, _, err = call(*words, *places)
    assert (code, "no tenant is given" in err) == (2, True), err
    assert not (tmp_path / "out").exists()


def test_the_environment_can_name_the_tenant(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENANT_ID", "acme")
    assert call("run", "--date", str(DAY), "--input", str(source), "--output", str(tmp_path / "out"))[0] == 0


# What lies there already.


@pytest.mark.parametrize(("first", "then"), [("delta", "parquet"), ("parquet", "delta")])
def test_tables_of_the_other_format_are_refused_with_a_next_step(
    source: Path, tmp_path: Path, first: str, then: str
) -> None:
    output = tmp_path / "out"
    run(source, output, "--format", first)
    shown = published_state(output)
    code, _, err = run(source, output, "--format", then)
    assert (code, f"use --format {first}" in err, "another --output" in err) == (2, True, True)
    assert published_state(output) == shown
    flags = {"tenants": "acme", "date": str(DAY), "input": str(source), "output": str(output), "table_format": then}
    with pytest.raises(UsageError, match=f"use --format {first}"):
        run_submitted_job(flags, run_id="9", token=9, spark=LocalRunner)
    assert published_state(output) == shown
    assert run(source, tmp_path / "other", "--format", then)[0] == 0


# What is lost is told.


def test_unreadable_objects_are_a_warning_of_every_command(source: Path, tmp_path: Path) -> None:
    (broken, *_) = sorted((source / EXPORT).iterdir())
    broken.write_bytes(broken.read_bytes()[:-50])
    code, receipt, err = run(source, tmp_path / "out")
    assert (code, receipt["objects"]["unreadable"]) == (0, 1)
    assert "WARNING: tenant=acme day=2025-08-12: 1 of 3 objects (33.3%) could not be read" in err
    words = ("--tenant", "acme", "--input", str(source), "--output", str(tmp_path / "out"))
    shown = call("run", *words, "--date", str(DAY))[1]
    assert "WARNING  1 of 3 objects (33.3%) could not be read" in shown
    assert "Next step: " in shown
    (row,) = run(source, tmp_path / "out", command="backfill")[1]["days"]
    assert (row["outcome"], row["unreadable"]) == ("unchanged", 1)
    span = ("--from", str(DAY), "--to", str(DAY))
    assert "unreadable" in call("backfill", *words, *span)[1].splitlines()[0]
    header, line = call("status", *words, *span)[1].splitlines()[:2]
    assert "unreadable" in header
    assert "1 objects could not be read" in line


def test_too_many_unreadable_objects_fail_the_day(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for broken in sorted((source / EXPORT).iterdir())[:2]:
        broken.write_bytes(b"no gzip")
    code, _, err = run(source, tmp_path / "out")
    assert (code, "2 of 3 objects cannot be read (66.7%), and max_unreadable_ratio is 0.5" in err) == (3, True)
    assert read_tables(tmp_path / "out")["messages"] == []
    monkeypatch.setenv("MAKOTO_MAX_UNREADABLE_RATIO", "0.7")
    assert run(source, tmp_path / "out")[0] == 0


# What no run reads.


def test_stray_objects_are_counted_by_folder_and_reported(source: Path, tmp_path: Path) -> None:
    strays = {
        "acme/chat/u1/r1/messages/2025/8/2/a.json": "its day is not written yyyy/mm/dd",
        "acme/chat/u2/r2/messages/2025/8/2/b.json": "its day is not written yyyy/mm/dd",
        "acme/chat/u1/r1/messages/2025/02/30/a.json": "there is no such day",
        "acme/chat/u1/r1/message/2025/08/12/a.json": "it is not in {user}/{room}/messages",
        "acme/exports/messages/2025-08-12/a.jsonl": "its day is not written as in export_template",
        "acme/export/messages/2025/08/12/a.jsonl": "no run reads this folder",
        "acme/a.jsonl": "no run reads this folder",
    }
    read = ["acme/chat/u1/r1/messages/2025/08/12/deeper/a.json", "acme/exports/messages/1999/12/31/a.jsonl"]
    beside = ["acme/analytics/messages/a.parquet", "acme/2025/_SUCCESS"]
    for key in (*strays, *read, *beside):
        (source / key).parent.mkdir(parents=True, exist_ok=True)
        (source / key).write_text("{}")
    code, told, _ = run(source, tmp_path / "out", "--strays", command="plan")
    found = told["strays"]
    assert (code, found["objects"], found["listed"]) == (0, len(strays), len(strays) + len(read) + 3)
    assert {each["example"]: each["why"] for each in found["folders"]}.items() <= strays.items()
    assert (found["folders"][0]["folder"], found["folders"][0]["objects"]) == ("chat/*/*/messages/2025/8/2", 2)
    words = ("--tenant", "acme", "--output", str(tmp_path / "out"))
    assert "7 stray objects, which no run reads" in call("status", *words)[1]
    assert "acme: 7 stray objects, which no run reads" in call("report", *words, "--markdown")[1]
    page = tmp_path / "report.html"
    assert call("report", *words, "--html", str(page))[0] == 0
    assert "acme: 7 stray objects, which no run reads" in page.read_text()
    for command in ("status", "report"):
        assert json.loads(call(command, *words, "--json")[1])["strays"][0]["objects"] == 7
    for key in strays:
        (source / key).unlink()
    assert run(source, tmp_path / "out", "--strays", command="plan")[1]["strays"]["objects"] == 0
    assert "no run reads" not in call("status", *words)[1]
