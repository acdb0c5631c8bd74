"""Test runs killed by SIGKILL at any time: readers see one complete version, and the next run repairs the day."""

import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from daily_batch.domain.contract import MESSAGES, TABLES
from daily_batch.synthetic import FaultRates, generate
from tests.support.day_runs import DAY, ROOT, Tables, child_environment, read_tables, run_arguments, run_local

DAY_BEFORE = DAY - timedelta(days=1)
FORMATS = ("delta", "parquet")
LOCAL = [sys.executable, "-m", "daily_batch", "run", "--runner", "local"]
KILLED_RUN = [sys.executable, "-m", "tests.support.interrupted_run", "SIGKILL"]


class CrashScenario(NamedTuple):
    """An output with the first version of the day and the day before, and the expected tables of each version.

    `seconds` is the duration of an undisturbed run.
    """

    source: Path
    published: Path
    old: dict[str, Tables]
    new: dict[str, Tables]
    before: dict[str, Tables]
    seconds: float


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> CrashScenario:
    root = tmp_path_factory.mktemp("crash")
    generate(messages=600, layout="export", seed=1, out=root / "first", rates=FaultRates.rich(), files=4)
    generate(messages=400, layout="export", seed=2, out=root / "yesterday", day=DAY_BEFORE)
    shutil.copytree(root / "yesterday/acme", root / "first/acme", dirs_exist_ok=True)
    generate(messages=2_000, layout="export", seed=3, out=root / "second", rates=FaultRates.rich(), files=6)
    old, new, before = {}, {}, {}
    for table_format in FORMATS:
        output = root / "published" / table_format
        for day in (DAY_BEFORE, DAY):
            run_local(input=root / "first", output=output, day=day, table_format=table_format)
        old[table_format] = read_tables(output, table_format=table_format)
        before[table_format] = read_tables(output, table_format=table_format, day=DAY_BEFORE)
        run_local(input=root / "second", output=root / table_format, table_format=table_format)
        new[table_format] = read_tables(root / table_format, table_format=table_format)
        assert old[table_format] != new[table_format]
    started = time.perf_counter()
    completed = subprocess.run(command(LOCAL, root / "second", root / "measured"), env=child_environment(), cwd=ROOT)
    assert completed.returncode == 0
    return CrashScenario(root / "second", root / "published", old, new, before, time.perf_counter() - started)


def command(program: Sequence[str], source: Path, output: Path, table_format: str = "delta") -> list[str]:
    return [*program, *run_arguments(input=source, output=output, table_format=table_format)]


def assert_old_or_new(scenario: CrashScenario, output: Path, table_format: str) -> set[str]:
    """Assert that every table holds exactly one version; return the versions found."""
    tables = read_tables(output, table_format=table_format)
    versions = set()
    for table in TABLES:
        rows = tables[table.name]
        assert rows in (scenario.old[table_format][table.name], scenario.new[table_format][table.name]), table.name
        versions.add("old" if rows == scenario.old[table_format][table.name] else "new")
    return versions


def assert_recovered(scenario: CrashScenario, output: Path, table_format: str) -> None:
    """Run the day again; assert the new version, an unchanged day before and no leftovers."""
    run_local(input=scenario.source, output=output, table_format=table_format)
    assert read_tables(output, table_format=table_format) == scenario.new[table_format]
    assert read_tables(output, table_format=table_format, day=DAY_BEFORE) == scenario.before[table_format]
    if table_format == "parquet":
        assert not [path for path in output.rglob("_staging/**/*") if path.is_file()]
    else:
        rows = read_tables(output, day=None)[MESSAGES.name]
        assert len(rows) == len({(row["date"], row["room_id"], row["message_id"]) for row in rows})


@pytest.mark.parametrize("table_format", FORMATS)
@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 10))])
def test_next_run_repairs_a_run_killed_at_a_random_moment(
    scenario: CrashScenario, table_format: str, seed: int, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    # The interpreter's start takes about a third of the time, and nothing can break in it.
    delay = scenario.seconds * random.Random(f"{table_format}{seed}").uniform(0.3, 1.0)
    while not run_and_kill(scenario, output, table_format, after=delay):
        delay *= 0.8  # the run had ended
    if table_format == "delta":
        assert_old_or_new(scenario, output, table_format)
    assert_recovered(scenario, output, table_format)


def run_and_kill(scenario: CrashScenario, output: Path, table_format: str, *, after: float) -> bool:
    """Run over the published days and kill the run after `after` seconds; return whether it was still running."""
    shutil.rmtree(output, ignore_errors=True)
    shutil.copytree(scenario.published / table_format, output)
    with subprocess.Popen(
        command(LOCAL, scenario.source, output, table_format),
        env=child_environment(TMPDIR=str(output.parent)),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        time.sleep(after)
        process.kill()
    return process.returncode == -signal.SIGKILL


DELTA_KILLS = [
    *[
        ("daily_batch.pipeline.publish.delta:_commit", moment, nth)
        for nth in (1, 2, 5)
        for moment in ("before", "after")
    ],
    ("daily_batch.pipeline.process_day:check_sums", "after", 1),
    ("daily_batch.pipeline.process_day:to_json", "before", 1),
]
PARQUET_KILLS = [
    *[
        ("daily_batch.pipeline.publish.parquet:_unstage", moment, nth)
        for nth in (1, 2, 5)
        for moment in ("before", "after")
    ],
    *[("obstore:delete", moment, nth) for nth in (1, 2) for moment in ("before", "after")],
    ("daily_batch.pipeline.process_day:to_json", "before", 1),
]


def run_until_killed(
    scenario: CrashScenario, function: str, moment: str, nth: int, output: Path, table_format: str
) -> None:
    program = [*KILLED_RUN, function, moment, str(nth)]
    arguments = run_arguments(input=scenario.source, output=output, table_format=table_format)
    completed = subprocess.run(
        [*program, *arguments], env=child_environment(), cwd=ROOT, capture_output=True, text=True
    )
    assert completed.returncode == -signal.SIGKILL, completed.stderr[-2000:]


@pytest.mark.parametrize(("function", "moment", "nth"), DELTA_KILLS)
def test_run_killed_around_a_commit_leaves_consistent_tables(
    scenario: CrashScenario, function: str, moment: str, nth: int, tmp_path: Path
) -> None:
    shutil.copytree(scenario.published / "delta", tmp_path / "out")
    run_until_killed(scenario, function, moment, nth, tmp_path / "out", "delta")
    versions = assert_old_or_new(scenario, tmp_path / "out", "delta")
    if function.endswith("_commit"):
        assert "new" in versions or (nth, moment) == (1, "before")
        assert "old" in versions or nth > 2
    assert_recovered(scenario, tmp_path / "out", "delta")


def test_next_run_repairs_a_first_run_killed_after_table_creation(scenario: CrashScenario, tmp_path: Path) -> None:
    run_until_killed(scenario, "daily_batch.pipeline.publish.open_table:create_table", "after", 2, tmp_path, "delta")
    run_local(input=scenario.source, output=tmp_path)
    assert read_tables(tmp_path) == scenario.new["delta"]


@pytest.mark.parametrize(("function", "moment", "nth"), PARQUET_KILLS)
def test_next_run_repairs_a_run_killed_while_replacing_files(
    scenario: CrashScenario, function: str, moment: str, nth: int, tmp_path: Path
) -> None:
    shutil.copytree(scenario.published / "parquet", tmp_path / "out")
    run_until_killed(scenario, function, moment, nth, tmp_path / "out", "parquet")
    # Between copy and delete, readers of Parquet may find both versions, but never none.
    rows = [repr(row) for row in read_tables(tmp_path / "out", table_format="parquet")[MESSAGES.name]]
    old, new = ([repr(row) for row in side["parquet"][MESSAGES.name]] for side in (scenario.old, scenario.new))
    assert sorted(rows) in (sorted(old), sorted(new), sorted(old + new))
    assert_recovered(scenario, tmp_path / "out", "parquet")
