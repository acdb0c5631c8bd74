"""Help texts: complete, in the order of use, with examples that work."""

import json
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from daily_batch.cli import app
from tests.support.day_runs import SAMPLES

GROUP = typer.main.get_command(app)
COMMANDS = tuple(GROUP.commands)  # type: ignore[attr-defined]  # it is a group
HEADINGS = ["Prepare:", "Run:", "Watch:", "Read:", "Maintain:"]


def read_examples(name: str) -> list[list[str]]:
    """Return the words of each `makoto-batch` line of a command's examples."""
    text = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"}).output
    _, _, lines = text.partition("Examples:\n")
    return [shlex.split(line)[1:] for line in lines.splitlines() if line.strip().startswith("makoto-batch ")]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the samples and a day of both tenants, as the examples of later commands expect."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(SAMPLES, folder / "samples")
    before = Path.cwd()
    os.chdir(folder)
    arguments = ("--date", "2025-08-12", "--input", "samples", "--output", "out")
    assert CliRunner().invoke(app, ["run", "--tenant", "acme,globex", *arguments]).exit_code == 0
    yield folder
    os.chdir(before)


@pytest.mark.parametrize(
    ("name", "words"),
    [(name, words) for name in COMMANDS if name != "smoke" for words in read_examples(name)],
    ids=lambda value: value if isinstance(value, str) else " ".join(value[1:]),
)
def test_every_example_of_the_help_works(project: Path, name: str, words: list[str]) -> None:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example(name: str) -> None:
    assert read_examples(name)
    assert all(words[0] == name for words in read_examples(name))


def test_help_groups_the_commands_in_the_order_of_use_and_cuts_no_summary() -> None:
    text = CliRunner().invoke(app, ["-h"], env={"COLUMNS": "60"}).output
    assert [line for line in text.splitlines() if line in HEADINGS] == HEADINGS
    assert "..." not in text.partition("Prepare:")[2]
    assert re.findall(r"^  ([a-z]+) ", text.partition("Prepare:")[2], re.MULTILINE) == list(COMMANDS)


def test_without_a_command_the_help_is_printed() -> None:
    assert CliRunner().invoke(app, []).output == CliRunner().invoke(app, ["--help"]).output


def test_the_version_is_that_of_the_package() -> None:
    answer = CliRunner().invoke(app, ["--version"])
    assert answer.exit_code == 0
    assert re.fullmatch(r"makoto-batch \d+\.\d+\.\d+\n", answer.output)


@pytest.mark.parametrize(
    "words",
    [("nothing",), ("run", "--nothing"), ("run", "--format", "csv"), ("run", "--look-back", "-1"), ("ddl",)],
    ids=" ".join,
)
def test_a_usage_error_is_one_line_with_the_next_step_also_as_json(words: tuple[str, ...]) -> None:
    plain = CliRunner().invoke(app, words, prog_name="makoto-batch")
    as_json = CliRunner().invoke(app, [*words, "--json"], prog_name="makoto-batch")
    assert (plain.exit_code, plain.stdout) == (as_json.exit_code, as_json.stdout) == (2, "")
    (line,) = plain.stderr.splitlines()
    assert re.fullmatch(r"error: .+\. Next step: see makoto-batch.* --help\.", line)
    assert "Value error" not in line
    error = json.loads(as_json.stderr)
    assert (error["retryable"], error["next_step"].startswith("see makoto-batch")) == (False, True)
    assert error["error"] in line
