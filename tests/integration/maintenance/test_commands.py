"""The maintenance commands: their output and exit statuses."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.testing

from daily_batch import cli
from daily_batch.entrypoints import maintain_tables
from tests.support.day_runs import DAY, ROOT, read_tables
from tests.support.maintenance_days import Publish, Tenant, files_naming
from tests.support.s3_bucket import Bucket
from tests.support.temporary_folders import leave_behind, other_run

runner = typer.testing.CliRunner()


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TENANT_ID", "S3_BUCKET_NAME", "MAKOTO_INPUT", "MAKOTO_OUTPUT", "MAKOTO_LEDGER"):
        monkeypatch.delenv(name, raising=False)


def call(*arguments: str, app: Any = cli.app) -> typer.testing.Result:
    return runner.invoke(app, [*map(str, arguments)])


def of(tenant: Tenant, *more: str) -> list[str]:
    return ["--tenant", "acme", "--output", str(tenant.output), *more]


def ledger_of(tenant: Tenant) -> list[str]:
    return ["--ledger", f"{tenant.output}.sqlite"]


@pytest.mark.parametrize("command", ["optimize", "vacuum", "erase"])
def test_help_of_each_command_shows_an_example(command: str) -> None:
    result = call(command, "--help")
    assert result.exit_code == 0
    assert f"Example: makoto-batch {command} --tenant acme" in " ".join(result.output.split())
    assert call(command, "--help", app=maintain_tables.app).exit_code == 0


def test_optimize_previews_compacts_and_then_finds_nothing_to_do(small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source, buckets=(3,))
    preview = json.loads(call("optimize", *of(tenant, "--dry-run", "--json")).stdout)
    (row,) = preview
    assert (row["table"], row["date"], row["files"], row["wanted"], row["done"]) == (
        "messages",
        DAY.isoformat(),
        3,
        1,
        "no, a dry run",
    )
    (done,) = json.loads(call("optimize", *of(tenant, "--json")).stdout)
    assert done == {**row, "done": "here"}
    assert "nothing to do" in call("optimize", *of(tenant)).stdout


def test_vacuum_reports_the_expired_days_of_each_table(small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source)
    dry_run = json.loads(call("vacuum", *of(tenant, "--keep-days", "30", "--dry-run", "--json")).stdout)
    assert dry_run["dry_run"] is True
    assert [(row["table"], row["days"]) for row in dry_run["tables"]][:5] == [
        (name, 1) for name in ("rejects", "messages", "rooms_daily", "users_daily", "summary_daily")
    ]
    assert dry_run["tables"][5]["files"] == 1  # the receipt
    assert call("vacuum", *of(tenant, "--keep-days", "30")).exit_code == 0
    assert json.loads(call("vacuum", *of(tenant, "--keep-days", "30", "--json")).stdout)["tables"][1]["days"] == 0
    assert call("vacuum", *of(tenant, "--retain-hours", "1")).exit_code == 2


def test_erase_deletes_leftovers_of_killed_runs_and_names_folders_in_use(
    tmp_path: Path, small_source: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant, temp = publish(small_source), tmp_path / "temp"
    leftover = leave_behind(temp)
    monkeypatch.setattr("tempfile.tempdir", str(temp))
    arguments = of(tenant, "--user", "nobody", *ledger_of(tenant))
    with other_run(temp) as alive:
        preview = json.loads(call("erase", *arguments, "--json").stdout)
        assert preview["temporary_folders_remain"] == [{"folder": str(alive.folder), "why": "a run is using it"}]
        assert not leftover.exists()
        printed = " ".join(call("erase", *arguments).stdout.split())
        assert f"the temporary folder {alive.folder} may hold messages and stays: a run is using it" in printed
    assert json.loads(call("erase", *arguments, "--json").stdout)["temporary_folders_remain"] == []


def test_erase_is_a_dry_run_until_confirmed_and_reports_source_objects(
    tmp_path: Path, small_source: Path, publish: Publish
) -> None:
    tenant = publish(small_source)
    source = tmp_path / "in/acme/chat/user_1/r/messages/2025/08/12/00-00-00Z-m.json"
    source.parent.mkdir(parents=True)
    source.write_text("{}")
    command = ["erase", *of(tenant), *ledger_of(tenant), "--user", "user_1", "--json"]
    preview = json.loads(call(*command, "--input", str(tmp_path / "in")).stdout)
    assert (preview["confirmed"], preview["source_objects_remain"]) == (False, True)
    assert not (tenant.root / "_erasures").exists()
    done = json.loads(call(*command, "--confirm", "--by", "support").stdout)
    assert (done["confirmed"], done["source_objects_remain"]) == (True, None)
    assert (done["evidence"]["state"], done["evidence"]["by"]) == ("done", "support")
    assert done["evidence"]["days"][0]["tables"]["messages"]["removed"] == 6


def test_each_failure_has_its_exit_status(tmp_path: Path, small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source)
    assert call("erase", *of(tenant)).exit_code == 2
    assert call("erase", *of(tenant), "--user", "a", "--room", "b").exit_code == 2
    assert call("erase", "--tenant", "acme,globex", "--output", str(tenant.output), "--user", "a").exit_code == 2
    assert call("optimize", "--tenant", "acme").exit_code == 2
    assert call("optimize", "--tenant", "../x", "--output", str(tmp_path)).exit_code == 2
    tenant.ledger.acquire("acme", DAY, owner="elsewhere:1:1", run_id="run9")
    # The tests' clock is in the past, so acquire a lease at the current time.
    from datetime import UTC, datetime

    assert tenant.clock is not None
    tenant.clock.now = datetime.now(UTC)
    tenant.ledger.acquire("acme", DAY, owner="elsewhere:1:1", run_id="run10")
    held = call("erase", *of(tenant), *ledger_of(tenant), "--user", "user_1", "--confirm")
    assert held.exit_code == 4
    assert "run run10 of elsewhere:1:1 holds the lease" in held.output


@pytest.mark.parametrize("broken", ["cut", "gone", "log"])
def test_damaged_table_is_an_error_with_a_next_step(small_source: Path, publish: Publish, broken: str) -> None:
    tenant = publish(small_source, buckets=(3,))
    file = sorted((tenant.root / f"messages/date={DAY}").iterdir())[0]
    if broken == "cut":
        file.write_bytes(file.read_bytes()[:-50])
    elif broken == "gone":
        file.unlink()
    else:
        sorted((tenant.root / "messages/_delta_log").glob("*.json"))[-1].write_text('{"add":')
    for command in (["optimize"], ["erase", "--user", "user_1", *ledger_of(tenant)]):
        result = call(command[0], *of(tenant), *command[1:])
        assert (result.exit_code, "Next step: " in result.stderr) == (3, True), result.stderr


@pytest.mark.parametrize("user", ["a\tb", "user_1"])
def test_erase_accepts_any_valid_id_and_rejects_an_output_without_tables(
    tmp_path: Path, small_source: Path, publish: Publish, user: str
) -> None:
    tenant = publish(small_source)
    command = ["--user", user, "--input", str(small_source), *ledger_of(tenant), "--confirm"]
    assert call("erase", *of(tenant), *command).exit_code == 0
    (tmp_path / "empty").mkdir()
    refused = call("erase", "--tenant", "acme", "--output", str(tmp_path / "empty"), *command)
    assert (refused.exit_code, list((tmp_path / "empty").iterdir())) == (2, [])
    assert "this tenant has no table in" in refused.stderr


def test_spark_script_has_the_same_commands() -> None:
    program = [sys.executable, str(ROOT / "jobs/maintain_tables.py"), "vacuum", "--help"]
    result = subprocess.run(program, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "--keep-days" in result


def test_large_table_is_compacted_on_spark_if_available(
    small_source: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch, spark: Any
) -> None:
    tenant = publish(small_source, buckets=(3,))
    monkeypatch.setenv("MAKOTO_MAINTAIN_SPARK_BYTES", "1")
    (here,) = json.loads(call("optimize", *of(tenant, "--dry-run", "--json")).stdout)
    (there,) = json.loads(call("optimize", *of(tenant, "--json"), app=maintain_tables.app).stdout)
    assert (here["done"], there["done"]) == ("no, a dry run", "on Spark")


def test_maintenance_works_on_s3(
    tmp_path: Path, small_source: Path, publish: Publish, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in bucket.environment.items():
        monkeypatch.setenv(name, value)
    bucket.upload(publish(small_source, buckets=(3,)).output)
    place = ["--tenant", "acme", "--output", bucket.url, "--json"]
    (done,) = json.loads(call("optimize", *place).stdout)
    assert (done["files"], done["done"]) == (3, "here")
    assert json.loads(call("optimize", *place).stdout) == []
    command = ["erase", *place, "--user", "user_1", "--confirm", "--ledger", str(tmp_path / "out.sqlite")]
    erased = json.loads(call(*command).stdout)["evidence"]
    assert (erased["state"], erased["days"][0]["tables"]["messages"]["remaining"]) == ("done", 6)
    for key in bucket.keys("acme/"):
        path = tmp_path / "copy" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        bucket.client().download_file(bucket.name, key, str(path))
    assert files_naming(tmp_path / "copy", "user_1") == []
    assert len(read_tables(bucket.url, options=bucket.reader_options)["messages"]) == 6
    assert call("vacuum", *place).exit_code == 0
