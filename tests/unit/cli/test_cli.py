"""The command line as a person meets it, in a process of its own where that matters."""

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
    *("optimize", "vacuum", "erase", "sample"),
)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_with_an_example_and_json(name: str) -> None:
    answer = CliRunner().invoke(app, [name, "--help"])
    assert answer.exit_code == 0
    assert f"Example: makoto-batch {name} " in answer.output
    assert "--json" in answer.output


def test_command_list_is_complete() -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    assert set(group.commands) == set(COMMANDS)


def test_run_writes_the_same_receipt_to_stdout_and_file(tmp_path: Path) -> None:
    file = tmp_path / "receipt.json"
    answer = makoto_batch(
        "run", *run_arguments(input=SAMPLES, output=tmp_path / "out"), "--json", "--receipt", str(file)
    )
    assert answer.returncode == 0
    assert json.loads(answer.stdout) == json.loads(file.read_text())
    assert json.loads(answer.stdout)["records"]["written"] == 282
    assert "intake: 1/1 chunks" in answer.stderr


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
    flags = run_arguments(input=SAMPLES, output=tmp_path / "out")
    given = {**dict(zip(flags[::2], flags[1::2], strict=True)), **changed}
    answer = CliRunner().invoke(app, ["run", *(word for pair in given.items() for word in pair), "--json"])
    assert answer.exit_code == status
    assert answer.stdout == ""
    assert answer.stderr
    assert not (tmp_path / "out").exists() or status == 3


def test_tenants_and_day_come_from_the_environment(tmp_path: Path) -> None:
    answer = makoto_batch(
        *("run", "--input", str(SAMPLES), "--output", str(tmp_path), "--json"),
        TENANT_ID="acme,globex",
        MAKOTO_DATE=DAY.isoformat(),
    )
    assert answer.returncode == 0, answer.stderr
    assert [receipt["tenant"] for receipt in json.loads(answer.stdout)] == ["acme", "globex"]


def test_a_flag_wins_over_the_environment(tmp_path: Path) -> None:
    answer = makoto_batch("run", *run_arguments(input=SAMPLES, output=tmp_path), "--json", TENANT_ID="globex")
    assert json.loads(answer.stdout)["tenant"] == "acme"


def test_too_many_rejects_exit_with_status_3(tmp_path: Path) -> None:
    answer = makoto_batch(
        "run", *run_arguments(input=SAMPLES, output=tmp_path), "--json", MAKOTO_MAX_REJECT_RATIO="0.001"
    )
    assert (answer.returncode, answer.stdout) == (3, "")
    assert "tenant=acme day=2025-08-12" in answer.stderr
    assert "Next step: " in answer.stderr


def test_run_of_a_sample_reports_its_expected_counts(tmp_path: Path) -> None:
    out = str(tmp_path / "in")
    answer = makoto_batch("sample", "--messages", "300", "--rates", "rich", "--seed", "4", "--out", out, "--json")
    assert answer.returncode == 0, answer.stderr
    truth = json.loads(answer.stdout)
    receipt = json.loads(
        makoto_batch("run", *run_arguments(input=tmp_path / "in", output=tmp_path / "out"), "--json").stdout
    )
    assert (receipt["records"], receipt["rejects"], receipt["flags"]) == (
        truth["records"],
        truth["rejects"],
        truth["flags"],
    )


def test_terminal_shows_a_progress_bar_and_stdout_only_the_receipt(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "daily_batch", "run", *run_arguments(input=SAMPLES, output=tmp_path), "--json"]
    environment = child_environment(TERM="xterm-256color", COLUMNS="120")
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        drawn = b""
        with suppress(OSError):  # how a terminal tells its end
            while part := os.read(ours, 4096):
                drawn += part
        assert process.stdout is not None
        told = process.stdout.read()
    os.close(ours)
    assert json.loads(told)["tenant"] == "acme"
    assert "━" in drawn.decode()
    assert "tenant=acme day=2025-08-12" in drawn.decode()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_exists_for_each_shell(shell: str) -> None:
    # What --show-completion prints, but for the shell that is named and not the one that the tests run in.
    shown = makoto_batch(_MAKOTO_BATCH_COMPLETE=f"source_{shell}")
    assert shown.returncode == 0
    assert f"complete_{shell}" in shown.stdout


def test_a_shell_completes_commands_and_values() -> None:
    words = {"bash": ("makoto-batch ba", "1"), "runner": ("makoto-batch run --runner s", "3")}
    found = {
        name: makoto_batch(_MAKOTO_BATCH_COMPLETE="complete_bash", COMP_WORDS=typed, COMP_CWORD=at).stdout.split()
        for name, (typed, at) in words.items()
    }
    assert found == {"bash": ["backfill"], "runner": ["spark"]}
