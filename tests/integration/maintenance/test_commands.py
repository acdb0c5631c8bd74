"""The commands: what they print, and their exit status."""

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
def test_each_command_explains_itself_with_an_example(command: str) -> None:
    said = call(command, "--help")
    assert said.exit_code == 0
    assert f"Example: makoto-batch {command} --tenant acme" in " ".join(said.output.split())
    assert call(command, "--help", app=maintain_tables.app).exit_code == 0


def test_optimize_says_what_it_would_do_does_it_and_then_finds_nothing(small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source, buckets=(3,))
    seen = json.loads(call("optimize", *of(tenant, "--dry-run", "--json")).stdout)
    (row,) = seen
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


def test_vacuum_tells_counts_and_bytes_of_each_table(small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source)
    told = json.loads(call("vacuum", *of(tenant, "--keep-days", "30", "--dry-run", "--json")).stdout)
    assert told["dry_run"] is True
    assert [(row["table"], row["days"]) for row in told["tables"]][:5] == [
        (name, 1) for name in ("rejects", "messages", "rooms_daily", "users_daily", "summary_daily")
    ]
    assert told["tables"][5]["files"] == 1  # the receipt
    assert call("vacuum", *of(tenant, "--keep-days", "30")).exit_code == 0
    assert json.loads(call("vacuum", *of(tenant, "--keep-days", "30", "--json")).stdout)["tables"][1]["days"] == 0
    assert call("vacuum", *of(tenant, "--retain-hours", "1")).exit_code == 2


def test_erase_removes_what_killed_runs_left_on_this_machine_and_names_what_stays(
    tmp_path: Path, small_source: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant, temp = publish(small_source), tmp_path / "temp"
    left = leave_behind(temp)
    monkeypatch.setattr("tempfile.tempdir", str(temp))
    whom = of(tenant, "--user", "nobody", *ledger_of(tenant))
    with other_run(temp) as alive:
        seen = json.loads(call("erase", *whom, "--json").stdout)
        assert seen["temporary_folders_remain"] == [{"folder": str(alive.folder), "why": "a run is using it"}]
        assert not left.exists()
        told = " ".join(call("erase", *whom).stdout.split())
        assert f"the temporary folder {alive.folder} may hold messages and stays: a run is using it" in told
    assert json.loads(call("erase", *whom, "--json").stdout)["temporary_folders_remain"] == []


def test_erase_only_looks_until_it_is_confirmed_and_warns_of_what_would_come_back(
    tmp_path: Path, small_source: Path, publish: Publish
) -> None:
    tenant = publish(small_source)
    theirs = tmp_path / "in/acme/chat/user_1/r/messages/2025/08/12/00-00-00Z-m.json"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("{}")
    asked = ["erase", *of(tenant), *ledger_of(tenant), "--user", "user_1", "--json"]
    seen = json.loads(call(*asked, "--input", str(tmp_path / "in")).stdout)
    assert (seen["confirmed"], seen["source_objects_remain"]) == (False, True)
    assert not (tenant.root / "_erasures").exists()
    done = json.loads(call(*asked, "--confirm", "--by", "support").stdout)
    assert (done["confirmed"], done["source_objects_remain"]) == (True, None)
    assert (done["evidence"]["state"], done["evidence"]["by"]) == ("done", "support")
    assert done["evidence"]["days"][0]["tables"]["messages"]["removed"] == 6


def test_each_way_to_fail_has_its_exit_status(tmp_path: Path, small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source)
    assert call("erase", *of(tenant)).exit_code == 2
    assert call("erase", *of(tenant), "--user", "a", "--room", "b").exit_code == 2
    assert call("erase", "--tenant", "acme,globex", "--output", str(tenant.output), "--user", "a").exit_code == 2
    assert call("optimize", "--tenant", "acme").exit_code == 2
    assert call("optimize", "--tenant", "../x", "--output", str(tmp_path)).exit_code == 2
    tenant.ledger.acquire("acme", DAY, owner="elsewhere:1:1", run_id="run9")
    # The tests' clock stands long before now, so the lease of a real clock is taken.
    from datetime import UTC, datetime

    assert tenant.clock is not None
    tenant.clock.now = datetime.now(UTC)
    tenant.ledger.acquire("acme", DAY, owner="elsewhere:1:1", run_id="run10")
    held = call("erase", *of(tenant), *ledger_of(tenant), "--user", "user_1", "--confirm")
    assert held.exit_code == 4
    assert "run run10 of elsewhere:1:1 holds the lease" in held.output


@pytest.mark.parametrize("broken", ["cut", "gone", "log"])
def test_a_broken_table_is_told_as_one(small_source: Path, publish: Publish, broken: str) -> None:
    tenant = publish(small_source, buckets=(3,))
    file = sorted((tenant.root / f"messages/date={DAY}").iterdir())[0]
    if broken == "cut":
        file.write_bytes(file.read_bytes()[:-50])
    elif broken == "gone":
        file.unlink()
    else:
        sorted((tenant.root / "messages/_delta_log").glob("*.json"))[-1].write_text('{"add":')
    for words in (["optimize"], ["erase", "--user", "user_1", *ledger_of(tenant)]):
        said = call(words[0], *of(tenant), *words[1:])
        assert (said.exit_code, "Next step: " in said.stderr) == (3, True), said.stderr


@pytest.mark.parametrize("user", ["a\tb", "user_1"])
def test_an_erasure_where_nothing_lies_is_refused_and_an_odd_id_is_not(
    tmp_path: Path, small_source: Path, publish: Publish, user: str
) -> None:
    tenant = publish(small_source)
    words = ["--user", user, "--input", str(small_source), *ledger_of(tenant), "--confirm"]
    assert call("erase", *of(tenant), *words).exit_code == 0
    (tmp_path / "empty").mkdir()
    refused = call("erase", "--tenant", "acme", "--output", str(tmp_path / "empty"), *words)
    assert (refused.exit_code, list((tmp_path / "empty").iterdir())) == (2, [])
    assert "there is no table of this tenant" in refused.stderr


def test_the_script_for_spark_knows_the_same_commands() -> None:
    program = [sys.executable, str(ROOT / "jobs/maintain_tables.py"), "vacuum", "--help"]
    said = subprocess.run(program, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "--keep-days" in said


def test_a_large_table_goes_to_spark_where_there_is_one(
    small_source: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch, spark: Any
) -> None:
    tenant = publish(small_source, buckets=(3,))
    monkeypatch.setenv("MAKOTO_MAINTAIN_SPARK_BYTES", "1")
    (here,) = json.loads(call("optimize", *of(tenant, "--dry-run", "--json")).stdout)
    (there,) = json.loads(call("optimize", *of(tenant, "--json"), app=maintain_tables.app).stdout)
    assert (here["done"], there["done"]) == ("no, a dry run", "on Spark")


def test_a_bucket_is_kept_in_order_as_a_folder_is(
    tmp_path: Path, small_source: Path, publish: Publish, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in bucket.environment.items():
        monkeypatch.setenv(name, value)
    bucket.upload(publish(small_source, buckets=(3,)).output)
    place = ["--tenant", "acme", "--output", bucket.url, "--json"]
    (done,) = json.loads(call("optimize", *place).stdout)
    assert (done["files"], done["done"]) == (3, "here")
    assert json.loads(call("optimize", *place).stdout) == []
    asked = ["erase", *place, "--user", "user_1", "--confirm", "--ledger", str(tmp_path / "out.sqlite")]
    erased = json.loads(call(*asked).stdout)["evidence"]
    assert (erased["state"], erased["days"][0]["tables"]["messages"]["remaining"]) == ("done", 6)
    for key in bucket.keys("acme/"):
        path = tmp_path / "copy" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        bucket.client().download_file(bucket.name, key, str(path))
    assert files_naming(tmp_path / "copy", "user_1") == []
    assert len(read_tables(bucket.url, options=bucket.reader_options)["messages"]) == 6
    assert call("vacuum", *place).exit_code == 0
