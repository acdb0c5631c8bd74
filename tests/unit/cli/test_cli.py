"""The command line as an operator uses it, in a separate process where that matters."""

import json
import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from daily_batch.cli import app
from tests.support.day_runs import DAY, ROOT, SAMPLES, child_environment, makoto_batch, run_arguments

COMMANDS = (
    *("run", "plan", "backfill", "status", "report", "replay", "ddl", "smoke"),
    *("optimize", "vacuum", "erase", "erasures", "redact", "sample"),
)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_with_an_example_and_json(name: str) -> None:
    result = CliRunner().invoke(app, [name, "--help"])
    assert result.exit_code == 0
    assert f"makoto-batch {name} " in result.output
    assert "--json" in result.output


def test_command_list_is_complete() -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    assert set(group.commands) == set(COMMANDS)


def test_run_writes_the_same_receipt_to_stdout_and_file(tmp_path: Path) -> None:
    file = tmp_path / "receipt.json"
    result = makoto_batch(
        "run", *run_arguments(input=SAMPLES, output=tmp_path / "out"), "--json", "--receipt", str(file)
    )
    assert result.returncode == 0
    assert json.loads(result.stdout) == json.loads(file.read_text())
    assert json.loads(result.stdout)["receipts"][0]["records"]["written"] == 282
    assert "intake: 1/1 chunks" in result.stderr


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"--tenant": "../acme"}, 2),
        ({"--tenant": "*"}, 2),
        ({"--date": "tomorrow"}, 2),
        ({"--date": "9999-01-01"}, 2),
        ({"--format": "csv"}, 2),
        ({"--input": "ftp://host/x"}, 2),
        ({"--input": "/no/such/folder"}, 3),
        ({"--unknown": "x"}, 2),
    ],
)
def test_exit_status_reflects_the_kind_of_error(tmp_path: Path, changed: dict[str, str], status: int) -> None:
    defaults = run_arguments(input=SAMPLES, output=tmp_path / "out")
    options = {**dict(zip(defaults[::2], defaults[1::2], strict=True)), **changed}
    result = CliRunner().invoke(app, ["run", *(word for pair in options.items() for word in pair), "--json"])
    assert result.exit_code == status
    assert result.stdout == ""
    assert result.stderr
    assert not (tmp_path / "out").exists() or status == 3


def test_tenants_and_day_come_from_the_environment(tmp_path: Path) -> None:
    result = makoto_batch(
        *("run", "--input", str(SAMPLES), "--output", str(tmp_path), "--json"),
        TENANT_ID="acme,globex",
        MAKOTO_DATE=DAY.isoformat(),
    )
    assert result.returncode == 0, result.stderr
    assert [receipt["tenant"] for receipt in json.loads(result.stdout)["receipts"]] == ["acme", "globex"]


def test_flag_wins_over_the_environment(tmp_path: Path) -> None:
    result = makoto_batch("run", *run_arguments(input=SAMPLES, output=tmp_path), "--json", TENANT_ID="globex")
    assert json.loads(result.stdout)["receipts"][0]["tenant"] == "acme"


def test_too_many_rejects_exit_with_status_3(tmp_path: Path) -> None:
    result = makoto_batch(
        "run", *run_arguments(input=SAMPLES, output=tmp_path), "--json", MAKOTO_MAX_REJECT_RATIO="0.001"
    )
    assert (result.returncode, result.stdout) == (3, "")
    error = json.loads(result.stderr.splitlines()[-1])
    assert (error["tenant"], error["date"], error["retryable"]) == ("acme", "2025-08-12", False)


def test_run_of_a_sample_reports_its_expected_counts(tmp_path: Path) -> None:
    out = str(tmp_path / "in")
    result = makoto_batch("sample", "--messages", "300", "--rates", "rich", "--seed", "4", "--out", out, "--json")
    assert result.returncode == 0, result.stderr
    expected = json.loads(result.stdout)
    completed = makoto_batch("run", *run_arguments(input=tmp_path / "in", output=tmp_path / "out"), "--json")
    (receipt,) = json.loads(completed.stdout)["receipts"]
    assert (receipt["records"], receipt["rejects"], receipt["flags"]) == (
        expected["records"],
        expected["rejects"],
        expected["flags"],
    )


def test_terminal_shows_a_progress_bar_and_stdout_only_the_receipt(tmp_path: Path) -> None:
    parent, child = pty.openpty()
    command = [sys.executable, "-m", "daily_batch", "run", *run_arguments(input=SAMPLES, output=tmp_path), "--json"]
    environment = child_environment(TERM="xterm-256color", COLUMNS="120")
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=child) as process:
        os.close(child)
        output = b""
        with suppress(OSError):  # a closed terminal raises OSError
            while chunk := os.read(parent, 4096):
                output += chunk
        assert process.stdout is not None
        stdout = process.stdout.read()
    os.close(parent)
    assert json.loads(stdout)["receipts"][0]["tenant"] == "acme"
    assert "━" in output.decode()
    assert "tenant=acme day=2025-08-12" in output.decode()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_exists_for_each_shell(shell: str) -> None:
    # Prints what --show-completion prints, but for the named shell instead of the one that runs the tests.
    result = makoto_batch(_MAKOTO_BATCH_COMPLETE=f"source_{shell}")
    assert result.returncode == 0
    assert f"complete_{shell}" in result.stdout


def test_shell_completes_commands_and_values() -> None:
    lines = {"bash": ("makoto-batch ba", "1"), "runner": ("makoto-batch run --runner s", "3")}
    found = {
        name: makoto_batch(_MAKOTO_BATCH_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=position).stdout.split()
        for name, (line, position) in lines.items()
    }
    assert found == {"bash": ["backfill"], "runner": ["spark"]}
