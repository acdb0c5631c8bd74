"""docs/python.md: its example runs, and it names what the API has."""

import inspect
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

import daily_batch
from daily_batch import BatchError, DayPlan, plan_day, run_day
from tests.support.day_runs import ROOT, SAMPLES, child_environment

PAGE = (ROOT / "docs/python.md").read_text(encoding="utf-8")


def test_the_example_runs_as_it_is_printed(tmp_path: Path) -> None:
    (tmp_path / "samples").symlink_to(SAMPLES)
    (example,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    for changed in (True, False):
        answer = subprocess.run(
            [sys.executable, "-c", example], cwd=tmp_path, env=child_environment(), capture_output=True, text=True
        )
        assert (answer.returncode, answer.stderr) == (0, "")
        first, last = answer.stdout.splitlines()
        assert first == f"321 objects, local runner, changed: {changed}"
        assert last.startswith("COMPLETED_WITH_REJECTS 282 {")


@pytest.mark.parametrize("function", [run_day, plan_day])
def test_the_page_names_each_argument(function: object) -> None:
    assert callable(function)
    names = [f"**{name}" if name == "settings" else name for name in inspect.signature(function).parameters]
    assert f"`{function.__name__}({', '.join([*names[:2], '*', *names[2:]])})`" in PAGE


def test_the_page_names_each_error_and_each_field_of_a_plan() -> None:
    errors = {each for each in map(daily_batch.__dict__.get, daily_batch.__all__) if isinstance(each, type)}
    for error in errors - {BatchError}:
        if issubclass(error, BatchError):
            assert f"- `{error.__name__}` ({error.exit_code})" in PAGE
    names = {each.name for each in fields(DayPlan)} - {"tenant", "date"}
    assert {name for name in names if f"`{name}`" not in PAGE} == set()
