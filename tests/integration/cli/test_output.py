"""What commands print: the answer alone on standard output, plain text, errors with their true cause."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from daily_batch.cli import app
from tests.support.day_runs import ROOT, SAMPLES, child_environment, run_arguments

DAY_ARGUMENTS = ("--tenant", "acme", "--date", "2025-08-12")


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a run of both tenants."""
    folder = tmp_path_factory.mktemp("output") / "out"
    arguments = run_arguments(input=SAMPLES, output=folder, tenant="acme,globex")
    assert CliRunner().invoke(app, ["run", *arguments]).exit_code == 0
    return folder


@pytest.mark.parametrize(
    "words",
    [
        ("run", *DAY_ARGUMENTS, "--input", str(SAMPLES)),
        ("run", *DAY_ARGUMENTS, "--input", str(SAMPLES), "--show-config"),
        ("plan", *DAY_ARGUMENTS, "--input", str(SAMPLES), "--cost", "--strays"),
        ("backfill", "--tenant", "acme", "--from", "2025-08-11", "--to", "2025-08-12", "--input", str(SAMPLES)),
        ("replay", *DAY_ARGUMENTS, "--input", str(SAMPLES), "--dry-run"),
        ("status", "--tenant", "acme", "--from", "2025-08-11", "--to", "2025-08-12"),
        ("optimize", "--tenant", "acme"),
        ("vacuum", "--tenant", "acme"),
        ("erase", "--tenant", "acme", "--user", "user456"),
    ],
    ids=lambda words: " ".join(words[:1]),
)
def test_text_for_people_has_no_trailing_blanks_and_no_special_spaces(output: Path, words: tuple[str, ...]) -> None:
    answer = CliRunner().invoke(app, [*words, "--output", str(output)])
    assert answer.exit_code == 0, answer.output
    assert answer.stdout
    assert [line for line in answer.stdout.splitlines() if line != line.rstrip()] == []
    assert "\u00a0" not in answer.stdout


@pytest.mark.parametrize("tenants", ["acme", "acme,globex"])
@pytest.mark.parametrize(
    ("words", "key"),
    [
        (("run", "--date", "2025-08-12", "--input", str(SAMPLES)), "receipts"),
        (("plan", "--date", "2025-08-12", "--input", str(SAMPLES)), "days"),
        (("replay", "--date", "2025-08-12", "--input", str(SAMPLES), "--dry-run"), "days"),
        (("status", "--from", "2025-08-12", "--to", "2025-08-12"), "days"),
        (("backfill", "--from", "2025-08-12", "--to", "2025-08-12", "--input", str(SAMPLES)), "days"),
        (("ddl", "--engine", "athena", "--format", "parquet"), "tenants"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else value,
)
def test_json_has_one_shape_for_one_tenant_and_for_many(
    output: Path, words: tuple[str, ...], key: str, tenants: str
) -> None:
    where = "s3://bucket/x" if words[0] == "ddl" else str(output)
    answer = CliRunner().invoke(app, [*words, "--tenant", tenants, "--output", where, "--json"])
    assert answer.exit_code == 0, answer.output
    assert [each["tenant"] for each in json.loads(answer.stdout)[key]] == tenants.split(",")


def test_states_are_codes_in_json_and_words_for_people(output: Path) -> None:
    words = ["status", "--tenant", "acme", "--from", "2025-08-02", "--to", "2025-08-12", "--output", str(output)]
    states = [row["state"] for row in json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)["days"]]
    assert (states[0], states[-1]) == ("MISSING", "COMPLETED_WITH_REJECTS")
    lines = [line for line in CliRunner().invoke(app, words).stdout.splitlines() if line.startswith("acme ")]
    assert ("missing" in lines[0], "completed, rejects" in lines[-1]) == (True, True)


def test_an_error_is_json_with_its_context_and_next_step(tmp_path: Path) -> None:
    arguments = run_arguments(input=tmp_path / "none", output=tmp_path / "out")
    answer = CliRunner().invoke(app, ["run", *arguments, "--json"])
    assert answer.exit_code == 3
    error = json.loads(answer.stderr.splitlines()[-1])
    assert set(error) == {"error", "retryable", "next_step", "tenant", "date"}
    assert (error["tenant"], error["date"], error["retryable"]) == ("acme", "2025-08-12", False)


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        ({"--input": "s3://Bad_Bucket/x"}, "no valid bucket name"),
        ({"--input": "abfss://data@account/x"}, "is not abfss://"),
        ({"--input": str(ROOT / "README.md")}, "is a file"),
        ({"--output": str(ROOT / "README.md/out")}, "the output folder"),
    ],
    ids=["bucket", "container", "file", "output"],
)
def test_an_error_names_the_true_cause(tmp_path: Path, changed: dict[str, str], cause: str) -> None:
    flags = run_arguments(input=SAMPLES, output=tmp_path / "out")
    given = {**dict(zip(flags[::2], flags[1::2], strict=True)), **changed}
    answer = CliRunner().invoke(app, ["run", *(word for pair in given.items() for word in pair)])
    assert answer.exit_code in (2, 3)
    assert cause in answer.stderr
    assert "=-" not in answer.stderr


def test_an_output_folder_inside_the_input_is_no_tenant(tmp_path: Path) -> None:
    (tmp_path / "acme").symlink_to(SAMPLES / "acme")
    output = tmp_path / "out"
    words = ["--from", "2025-08-12", "--to", "2025-08-12", "--input", str(tmp_path), "--output", str(output), "--json"]
    assert CliRunner().invoke(app, ["run", *run_arguments(input=tmp_path, output=output)]).exit_code == 0
    answer = CliRunner().invoke(app, ["backfill", "--all-tenants", *words])
    assert [row["tenant"] for row in json.loads(answer.stdout)["days"]] == ["acme"]
    report = CliRunner().invoke(app, ["report", "--all-tenants", *words])
    assert {row["tenant"] for row in json.loads(report.stdout)["days"]} == {"acme"}


def test_conf_and_env_choose_the_settings(tmp_path: Path) -> None:
    (tmp_path / "defaults.toml").write_text("buckets = 3\n")
    (tmp_path / "prod.toml").write_text("slack_seconds = 77\n")
    words = ["run", *run_arguments(input=SAMPLES, output=tmp_path / "out"), "--show-config"]
    shown = CliRunner().invoke(app, [*words, "--conf", str(tmp_path), "--env", "prod"]).stdout.splitlines()
    lines = [line.split() for line in shown]
    assert ["buckets", "3", f"{tmp_path.name}/defaults.toml"] in lines
    assert ["slack_seconds", "77", f"{tmp_path.name}/prod.toml"] in lines


@pytest.mark.parametrize("confirmed", [False, True])
def test_commands_that_remove_things_change_nothing_unless_confirmed(tmp_path: Path, confirmed: bool) -> None:
    output = tmp_path / "out"
    assert CliRunner().invoke(app, ["run", *run_arguments(input=SAMPLES, output=output)]).exit_code == 0
    before = sorted(path for path in output.rglob("*") if path.is_file() and "ledger" not in path.name)
    for words in (("vacuum", "--keep-days", "1"), ("erase", "--user", "user456")):
        more = ["--tenant", "acme", "--output", str(output), *(["--confirm"] if confirmed else [])]
        answer = CliRunner().invoke(app, [*words, *more])
        assert answer.exit_code == 0, answer.output
        assert ("dry run: nothing was changed" in answer.stdout) is not confirmed
    after = sorted(path for path in output.rglob("*") if path.is_file() and "ledger" not in path.name)
    assert (before == after) is not confirmed


def test_ctrl_c_ends_with_130_and_the_ledger_says_so(tmp_path: Path) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    sample = ["sample", "--messages", "60000", "--out", str(source)]
    assert CliRunner().invoke(app, sample).exit_code == 0
    command = [sys.executable, "-m", "daily_batch", "run", *run_arguments(input=source, output=output)]
    with subprocess.Popen(
        command, cwd=ROOT, env=child_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        seen = ""
        while "intake" not in seen:  # the day is being read
            seen = process.stderr.readline()
            assert seen, "the run ended before it was interrupted"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
    assert process.returncode == 130
    assert errors.splitlines()[-1].startswith("error: the run was interrupted. Next step: ")
    words = ["status", "--tenant", "acme", "--from", "2025-08-12", "--to", "2025-08-12", "--output", str(output)]
    (row,) = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)["days"]
    assert row["state"] == "FAILED"
    assert "the run was interrupted" in row["note"]
    assert not list(output.rglob("_receipts"))


def test_a_closed_pipe_ends_quietly(output: Path) -> None:
    words = ("status", "--tenant", "acme", "--from", "2025-01-01", "--to", "2025-12-31", "--output", str(output))
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "daily_batch", *words],
            stdout=closed, stderr=subprocess.PIPE, text=True, env=child_environment(), cwd=ROOT, check=False,
        )  # fmt: skip
    assert "unexpected" not in done.stderr
    assert "Traceback" not in done.stderr
