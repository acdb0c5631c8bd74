"""Checks of the input: missing and unknown tenants, and objects that no run reads."""

import json
from pathlib import Path

import pytest

from daily_batch.metadata import keys
from daily_batch.metadata.sqlite import SqliteStore
from tests.support.command_runs import invoke, run_command
from tests.support.day_runs import DAY


@pytest.fixture(autouse=True)
def no_tenant_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TENANT_ID", raising=False)


# Tenants


@pytest.mark.parametrize(
    ("folder", "tenant", "hint"),
    [
        (".", "acmee", "there are 'acme'"),
        (".", "ACME", "there is 'acme', in another case"),
        ("acme", "acme", "use the folder above it"),
        ("..", "acme", "one level deeper: 'in'/acme"),
    ],
)
def test_an_input_without_the_tenant_is_an_error_with_a_hint(
    source: Path, tmp_path: Path, folder: str, tenant: str, hint: str
) -> None:
    for command in ("run", "plan", "replay"):
        code, _, stderr = run_command(source / folder, tmp_path / "out", tenant=tenant, command=command)
        assert (code, hint in stderr) == (3, True), stderr
    assert not list((tmp_path / "out").glob("*/analytics"))


def test_a_new_tenant_of_the_metadata_store_gets_an_empty_day(source: Path, tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "ledger.sqlite")

    def add_tenant(tenant: str) -> None:
        store.put({"PK": keys.TENANTS, "SK": f"{keys.TENANT}{tenant}"}, expected=None)

    more = ("--ledger", str(store.file))
    add_tenant("new")
    assert run_command(source, tmp_path / "out", *more, tenant="new")[1]["status"] == "COMPLETED"
    add_tenant("other")
    code, _, stderr = run_command(source, tmp_path / "out", *more, tenant="new")
    assert (code, "nor of any other tenant of the metadata store" in stderr) == (3, True)
    add_tenant("acme")
    assert run_command(source, tmp_path / "out", *more, tenant="new")[0] == 0


@pytest.mark.parametrize("command", ["status", "report", "vacuum", "optimize", "erase"])
def test_every_command_rejects_an_unknown_tenant(source: Path, tmp_path: Path, command: str) -> None:
    run_command(source, tmp_path / "out")
    more = {"erase": ["--user", "u"], "report": ["--json"]}.get(command, [])
    arguments = (command, "--output", str(tmp_path / "out"), *more)
    assert invoke(*arguments, "--tenant", "acme")[0] == 0
    code, stdout, stderr = invoke(*arguments, "--tenant", "acmee")
    assert (code, stdout) == (2, "")
    assert "acmee" in stderr
    assert ('"next_step": ' if "--json" in more else "Next step: ") in stderr


@pytest.mark.parametrize(
    "command",
    [
        *(("run",), ("plan",), ("replay",), ("backfill", "--from", "2025-08-12", "--to", "2025-08-12")),
        *(("status",), ("report",), ("vacuum",), ("optimize",), ("erase", "--user", "u")),
        ("ddl", "--engine", "athena"),
    ],
    ids=lambda command: str(command[0]),
)
@pytest.mark.parametrize("conf", [False, True])
def test_the_tenant_must_be_named_explicitly(
    source: Path, tmp_path: Path, command: tuple[str, ...], conf: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if conf:  # the defaults of a deployment name no tenant
        (tmp_path / "conf").mkdir()
        (tmp_path / "conf/defaults.toml").write_text("tenants = ['default_tenant']\n")
        monkeypatch.setenv("MAKOTO_CONF_DIR", str(tmp_path / "conf"))
    locations = ["--output", str(tmp_path / "out")]
    locations += [] if command[0] in ("vacuum", "optimize", "ddl") else ["--input", str(source)]
    code, _, stderr = invoke(*command, *locations)
    assert (code, "no tenant is given" in stderr) == (2, True), stderr
    assert not (tmp_path / "out").exists()


def test_the_environment_can_name_the_tenant(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENANT_ID", "acme")
    locations = ("--input", str(source), "--output", str(tmp_path / "out"))
    assert invoke("run", "--date", str(DAY), *locations)[0] == 0


# Stray objects


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
    valid = ["acme/chat/u1/r1/messages/2025/08/12/deeper/a.json", "acme/exports/messages/1999/12/31/a.jsonl"]
    ignored = ["acme/analytics/messages/a.parquet", "acme/2025/_SUCCESS"]
    for key in (*strays, *valid, *ignored):
        (source / key).parent.mkdir(parents=True, exist_ok=True)
        (source / key).write_text("{}")
    code, plan, _ = run_command(source, tmp_path / "out", "--strays", command="plan")
    (planned,) = plan["days"]
    found = planned["strays"]
    assert (code, found["objects"], found["listed"]) == (0, len(strays), len(strays) + len(valid) + 3)
    assert {each["example"]: each["why"] for each in found["folders"]}.items() <= strays.items()
    assert (found["folders"][0]["folder"], found["folders"][0]["objects"]) == ("chat/*/*/messages/2025/8/2", 2)
    options = ("--tenant", "acme", "--output", str(tmp_path / "out"))
    assert "7 stray objects, which no run reads" in invoke("status", *options)[1]
    assert "acme: 7 stray objects, which no run reads" in invoke("report", *options, "--markdown")[1]
    page = tmp_path / "report.html"
    assert invoke("report", *options, "--html", str(page))[0] == 0
    assert "acme: 7 stray objects, which no run reads" in page.read_text()
    for command in ("status", "report"):
        assert json.loads(invoke(command, *options, "--json")[1])["strays"][0]["objects"] == 7
    for key in strays:
        (source / key).unlink()
    assert run_command(source, tmp_path / "out", "--strays", command="plan")[1]["days"][0]["strays"]["objects"] == 0
    assert "no run reads" not in invoke("status", *options)[1]
