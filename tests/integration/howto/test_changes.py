"""The examples of docs/project/add-*.md: their tests pass on a changed copy, and fail on an unchanged one."""

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.day_runs import ROOT, child_environment
from tests.support.page_changes import Change, read_changes

PAGES = [ROOT / f"docs/project/{name}.md" for name in ("add-column", "add-alias", "add-reason")]
TESTS = "tests/integration/faults/test_input_values.py"
# What the tests read beside code.
BESIDE = ("conf", "samples")


def test_the_tests_of_all_examples_pass_once_they_are_applied(tmp_path: Path) -> None:
    changes = [change for page in PAGES for change in read_changes(page)]
    finished = run_examples(tmp_path, changes)
    assert finished.returncode == 0, finished.stdout
    assert f"{len(PAGES)} passed" in finished.stdout


def test_the_tests_of_all_examples_fail_without_the_change_of_the_library(tmp_path: Path) -> None:
    changes = [change for page in PAGES for change in read_changes(page)]
    finished = run_examples(tmp_path, [change for change in changes if change.path.startswith("tests/")])
    assert f"{len(PAGES)} failed" in finished.stdout


def run_examples(copy: Path, changes: Sequence[Change]) -> "subprocess.CompletedProcess[str]":
    """Apply the changes to a copy of library and tests, and run the tests that they add."""
    for folder in ("jobs", "tests"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    for folder in BESIDE:
        (copy / folder).symlink_to(ROOT / folder)
    for change in changes:
        change.apply(copy)
    names = re.findall(r"def (test_\w+)", "".join(change.after for change in changes if change.path == TESTS))
    options = ("-n", "0", "-p", "no:cacheprovider", "-m", "not long", "-k", " or ".join(names))
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, TESTS],
        cwd=copy,
        env=child_environment(PYTHONPATH=str(copy / "jobs")),
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_an_example_changes_the_library_its_oracle_and_its_tests(page: Path) -> None:
    paths = {change.path for change in read_changes(page)}
    assert {TESTS, "tests/oracle/fields.py"} < paths
    assert any(path.startswith("jobs/") for path in paths)


def test_a_change_that_fits_no_place_or_two_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\ny = 1\nx = 1\n")
    page = tmp_path / "page.md"
    page.write_text("```diff\n--- a.py\n y = 1\n+z = 1\n-x = 2\n+x = 3\n-x = 1\n+x = 4\n+end = 1\n```\n")
    fits, nowhere, twice = read_changes(page)
    fits.apply(tmp_path)
    assert (tmp_path / "a.py").read_text() == "x = 1\ny = 1\nz = 1\nx = 1\n"
    for change in (nowhere, twice):
        with pytest.raises(AssertionError):
            change.apply(tmp_path)
    Change("a.py", "", "end = 1\n").apply(tmp_path)
    assert (tmp_path / "a.py").read_text().endswith("x = 1\nend = 1\n")
