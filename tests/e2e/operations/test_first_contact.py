"""The first minutes of a new user: `make run`'s script, the lines that it prints, and the README's tour, as printed."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.day_runs import ROOT, child_environment

TIMES = 4


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like the project's after `make setup`."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("jobs", "conf", "samples", "tools", ".cache"):
        (folder / name).symlink_to(ROOT / name)
    (folder / ".venv").symlink_to(Path(sys.executable).parents[1])
    return folder


def call(checkout: Path, line: str) -> subprocess.CompletedProcess[str]:
    """Run a line as a user's shell would, and keep its output apart from its errors."""
    bin_folder = Path(sys.executable).parent
    environment = child_environment(PATH=f"{bin_folder}:{os.environ['PATH']}")
    return subprocess.run(
        ["bash", "-c", line], cwd=checkout, env=environment, capture_output=True, text=True, check=False, timeout=300
    )


@pytest.fixture(scope="module")
def first_run(checkout: Path) -> subprocess.CompletedProcess[str]:
    return call(checkout, "tools/run-samples out acme,globex 2025-08-12")


def test_the_first_run_shows_both_runners_and_nothing_of_ivy_or_the_jvm(
    first_run: subprocess.CompletedProcess[str],
) -> None:
    assert first_run.returncode == 0, first_run.stderr
    assert len(re.findall(r"^COMPLETED_WITH_REJECTS  (acme|globex) ", first_run.stdout, re.MULTILINE)) == 4
    assert first_run.stdout.index("local runner, ") < first_run.stdout.index("spark runner, ")
    assert "faults on purpose" in first_run.stdout
    for noise in (":: ", "incubator", "WARN ", "Ivy"):
        assert noise not in first_run.stdout + first_run.stderr


def read_queries(text: str) -> dict[str, str]:
    """Return the lines that query the tables, by engine."""
    _, _, lines = text.partition("Query the tables:\n")
    return dict(line.strip().split("  ", 1) for line in lines.splitlines() if line.startswith("  "))


@pytest.mark.parametrize(("engine", "found"), [("DuckDB", "room_id"), ("pandas", "duplicate_key"), ("Spark", "room_")])
def test_each_printed_query_works_every_time(
    checkout: Path, first_run: subprocess.CompletedProcess[str], engine: str, found: str
) -> None:
    line = read_queries(first_run.stdout)[engine]
    for _ in range(1 if engine == "Spark" else TIMES):  # a crash at the end of the process would show only at times
        answer = call(checkout, line)
        assert answer.returncode == 0, answer.stderr
        assert found in answer.stdout


def read_tour(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield each command of a page's blocks and the lines that it prints, as the page has them."""
    command, printed = "", list[str]()
    for line in page.read_text(encoding="utf-8").splitlines():
        if command and not line.startswith("    "):
            yield command, printed
            command, printed = "", []
        if line.startswith("    $ "):
            if command:
                yield command, printed
            command, printed = line.removeprefix("    $ "), []
        elif command:
            printed.append(line.removeprefix("    "))


# Patterns of what differs from run to run: ids, times, numbers of up to three digits, what is left out, blanks.
VARYING = (r"\d{8}T\d{6}Z-[0-9a-f]{8}", r"\d{4}-\d\d-\d\d +\d\d:\d\dZ", r"(?<![\d,.])\d{1,3}(?![\d,.])", "…", " +")


def to_pattern(line: str) -> str:
    """Return a pattern of a printed line, in which only what varies may differ."""
    for number, varying in enumerate(VARYING):
        line = re.sub(varying, chr(number), line)
    pattern = re.escape(line)
    for number, varying in enumerate(VARYING):
        pattern = pattern.replace(re.escape(chr(number)), ".*" if varying == "…" else varying)
    return pattern


def test_pattern_compares_figures_and_ignores_times() -> None:
    line = "acme  2025-08-12  run 20261124T194343Z-a986048d  49,951  local  5  …"
    same = "acme 2025-08-12 run 20270101T000000Z-00000000 49,951 local 17  more"
    assert re.fullmatch(to_pattern(line), same)
    assert not re.fullmatch(to_pattern(line), same.replace("49,951", "49,952"))


@pytest.mark.parametrize("name", ["README.md", "README.ja.md"])
def test_the_tour_prints_what_the_readme_says(checkout: Path, name: str, tmp_path: Path) -> None:
    for each in ("jobs", "conf", "samples", "tools", ".cache", ".venv"):
        (tmp_path / each).symlink_to(checkout / each)
    commands = [(command, printed) for command, printed in read_tour(ROOT / name) if not command.startswith("make ")]
    assert len(commands) > 6
    for command, printed in commands:
        answer = call(tmp_path, command)
        assert answer.returncode == 0, (command, answer.stderr)
        lines = iter(answer.stdout.splitlines())
        for line in printed:
            if line.strip() != "…":
                pattern = to_pattern(line.rstrip())
                assert any(re.fullmatch(pattern, found.rstrip()) for found in lines), (command, line, answer.stdout)


def test_the_tables_in_the_readme_are_those_of_the_samples(
    checkout: Path, first_run: subprocess.CompletedProcess[str]
) -> None:
    line = re.search(r"^ {4}(\.venv/bin/python -c .*)$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert line is not None
    answer = call(checkout, line[1])
    assert answer.returncode == 0, answer.stderr
    shown = [row.strip() for row in answer.stdout.splitlines()]
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert shown
    assert [row for row in shown if " ".join(row.split()) not in text] == []


def test_scripts_end_with_the_status_of_what_they_run(checkout: Path) -> None:
    assert call(checkout, "tools/quiet-spark sh -c 'echo out; echo err >&2; exit 7'").returncode == 7
    shown = call(
        checkout, "tools/quiet-spark sh -c 'echo out; echo WARNING: Using incubator modules: x >&2; echo e >&2'"
    )
    assert (shown.returncode, shown.stdout, shown.stderr) == (0, "out\n", "e\n")
