"""Test the output and exit status of the maintenance commands."""

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
from tests.support.maintenance_days import Publish, Tenant, files_containing
from tests.support.s3_bucket import Bucket
from tests.support.temporary_folders import leave_behind, other_run

runner = typer.testing.CliRunner()


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TENANT_ID", "S3_BUCKET_NAME", "MAKOTO_INPUT", "MAKOTO_OUTPUT", "MAKOTO_LEDGER"):
        monkeypatch.delenv(name, raising=False)


def invoke(*arguments: str, app: Any = cli.app) -> typer.testing.Result:
    return runner.invoke(app, [*map(str, arguments)])


def tenant_flags(tenant: Tenant, *more: str) -> list[str]:
    return ["--tenant", "acme", "--output", str(tenant.output), *more]


def ledger_flags(tenant: Tenant) -> list[str]:
    return ["--ledger", f"{tenant.output}.sqlite"]


@pytest.mark.parametrize("command", ["optimize", "vacuum", "erase"])
def test_help_of_each_command_shows_an_example(command: str) -> None:
    result = invoke(command, "--help")
    assert result.exit_code == 0
    assert f" makoto-batch {command} --tenant acme" in " ".join(result.output.split())
    assert invoke(command, "--help", app=maintain_tables.app).exit_code == 0


def test_optimize_previews_compacts_and_then_finds_nothing_to_do(small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source, buckets=(3,))
    preview = json.loads(invoke("optimize", *tenant_flags(tenant, "--dry-run", "--json")).stdout)["days"]
    columns = ("table", "date", "files", "wanted", "done")
    assert [tuple(row[name] for name in columns) for row in preview] == [
        (table, DAY.isoformat(), 3, 1, "no, a dry run") for table in ("messages", "turns")
    ]
    done = json.loads(invoke("optimize", *tenant_flags(tenant, "--json")).stdout)["days"]
    assert done == [{**row, "done": "here"} for row in preview]
    assert "nothing to do" in invoke("optimize", *tenant_flags(tenant)).stdout


def test_vacuum_reports_the_expired_days_of_each_table(small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source)
    dry_run = json.loads(invoke("vacuum", *tenant_flags(tenant, "--keep-days", "30", "--json")).stdout)
    assert dry_run["dry_run"] is True
    assert [(row["table"], row["days"]) for row in dry_run["tables"]][:6] == [
        (name, 1) for name in ("rejects", "messages", "turns", "rooms_daily", "users_daily", "summary_daily")
    ]
    assert dry_run["tables"][6]["files"] == 1  # the receipt
    assert invoke("vacuum", *tenant_flags(tenant, "--keep-days", "30", "--confirm")).exit_code == 0
    repeated = json.loads(invoke("vacuum", *tenant_flags(tenant, "--keep-days", "30", "--json")).stdout)
    assert repeated["tables"][1]["days"] == 0
    assert invoke("vacuum", *tenant_flags(tenant, "--retain-hours", "1")).exit_code == 2


def test_erase_deletes_leftovers_of_killed_runs_and_names_folders_in_use(
    tmp_path: Path, small_source: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant, temp = publish(small_source), tmp_path / "temp"
    leftover = leave_behind(temp)
    monkeypatch.setattr("tempfile.tempdir", str(temp))
    arguments = tenant_flags(tenant, "--user", "nobody", *ledger_flags(tenant))
    with other_run(temp) as alive:
        preview = json.loads(invoke("erase", *arguments, "--json").stdout)
        assert preview["temporary_folders_remain"] == [{"folder": str(alive.folder), "why": "a run is using it"}]
        assert not leftover.exists()
        printed = " ".join(invoke("erase", *arguments).stdout.split())
        assert f"the temporary folder {alive.folder} may hold messages and stays: a run is using it" in printed
    assert json.loads(invoke("erase", *arguments, "--json").stdout)["temporary_folders_remain"] == []


def test_erase_is_a_dry_run_until_confirmed_and_reports_source_objects(
    tmp_path: Path, small_source: Path, publish: Publish
) -> None:
    tenant = publish(small_source)
    source = tmp_path / "in/acme/chat/user_1/r/messages/2025/08/12/00-00-00Z-m.json"
    source.parent.mkdir(parents=True)
    source.write_text("{}")
    command = ["erase", *tenant_flags(tenant), *ledger_flags(tenant), "--user", "user_1", "--json"]
    preview = json.loads(invoke(*command, "--input", str(tmp_path / "in")).stdout)
    assert (preview["confirmed"], preview["source_objects_remain"]) == (False, True)
    assert not (tenant.root / "_erasures").exists()
    done = json.loads(invoke(*command, "--confirm", "--by", "support").stdout)
    assert (done["confirmed"], done["source_objects_remain"]) == (True, None)
    assert (done["evidence"]["state"], done["evidence"]["by"]) == ("done", "support")
    assert done["evidence"]["days"][0]["tables"]["messages"]["removed"] == 6


def test_each_failure_has_its_exit_status(tmp_path: Path, small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source)
    assert invoke("erase", *tenant_flags(tenant)).exit_code == 2
    assert invoke("erase", *tenant_flags(tenant), "--user", "a", "--room", "b").exit_code == 2
    assert invoke("erase", "--tenant", "acme,globex", "--output", str(tenant.output), "--user", "a").exit_code == 2
    assert invoke("optimize", "--tenant", "acme").exit_code == 2
    assert invoke("optimize", "--tenant", "../x", "--output", str(tmp_path)).exit_code == 2
    tenant.ledger.acquire("acme", DAY, owner="elsewhere:1:1", run_id="run9")
    # The tests' clock is in the past, so this lease is acquired at the current time.
    from datetime import UTC, datetime

    assert tenant.clock is not None
    tenant.clock.now = datetime.now(UTC)
    tenant.ledger.acquire("acme", DAY, owner="elsewhere:1:1", run_id="run10")
    held = invoke("erase", *tenant_flags(tenant), *ledger_flags(tenant), "--user", "user_1", "--confirm")
    assert held.exit_code == 4
    assert "run run10 of elsewhere:1:1 holds the lease" in held.output


@pytest.mark.parametrize("damage", ["cut", "gone", "log"])
def test_damaged_table_is_an_error_with_a_next_step(small_source: Path, publish: Publish, damage: str) -> None:
    tenant = publish(small_source, buckets=(3,))
    file = sorted((tenant.root / f"messages/date={DAY}").iterdir())[0]
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-50])
    elif damage == "gone":
        file.unlink()
    else:
        sorted((tenant.root / "messages/_delta_log").glob("*.json"))[-1].write_text('{"add":')
    for command in (["optimize"], ["erase", "--user", "user_1", *ledger_flags(tenant)]):
        result = invoke(command[0], *tenant_flags(tenant), *command[1:])
        assert (result.exit_code, "Next step: " in result.stderr) == (3, True), result.stderr


@pytest.mark.parametrize("user", ["a\tb", "user_1"])
def test_erase_accepts_any_valid_id_and_rejects_an_output_without_tables(
    tmp_path: Path, small_source: Path, publish: Publish, user: str
) -> None:
    tenant = publish(small_source)
    command = ["--user", user, "--input", str(small_source), *ledger_flags(tenant), "--confirm"]
    assert invoke("erase", *tenant_flags(tenant), *command).exit_code == 0
    (tmp_path / "empty").mkdir()
    refused = invoke("erase", "--tenant", "acme", "--output", str(tmp_path / "empty"), *command)
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
    preview = json.loads(invoke("optimize", *tenant_flags(tenant, "--dry-run", "--json")).stdout)["days"]
    result = json.loads(invoke("optimize", *tenant_flags(tenant, "--json"), app=maintain_tables.app).stdout)["days"]
    assert [row["done"] for row in (*preview, *result)] == ["no, a dry run"] * 2 + ["on Spark"] * 2


def test_maintenance_works_on_s3(
    tmp_path: Path, small_source: Path, publish: Publish, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in bucket.environment.items():
        monkeypatch.setenv(name, value)
    bucket.upload(publish(small_source, buckets=(3,)).output)
    flags = ["--tenant", "acme", "--output", bucket.url, "--json"]
    done = json.loads(invoke("optimize", *flags).stdout)["days"]
    assert [(day["files"], day["done"]) for day in done] == [(3, "here")] * 2
    assert json.loads(invoke("optimize", *flags).stdout)["days"] == []
    command = ["erase", *flags, "--user", "user_1", "--confirm", "--ledger", str(tmp_path / "out.sqlite")]
    erased = json.loads(invoke(*command).stdout)["evidence"]
    assert (erased["state"], erased["days"][0]["tables"]["messages"]["remaining"]) == ("done", 6)
    for key in bucket.keys("acme/"):
        path = tmp_path / "copy" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        bucket.client().download_file(bucket.name, key, str(path))
    assert files_containing(tmp_path / "copy", "user_1") == []
    assert len(read_tables(bucket.url, options=bucket.reader_options)["messages"]) == 6
    assert invoke("vacuum", *flags, "--confirm").exit_code == 0
