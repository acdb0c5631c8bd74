"""FAULTS 5 and 7: a run that is stopped past its lease, and goes on when another has published, changes nothing."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from daily_batch.ledger import Entry, Ledger
from daily_batch.metadata.sqlite import SqliteStore
from daily_batch.synthetic import FaultRates, generate
from tests.support.day_runs import DAY, ROOT, child_environment, makoto_batch, read_tables, run_arguments, run_local

STOPPING = [sys.executable, "-m", "tests.support.interrupted_run", "SIGSTOP"]
LEASE_SECONDS = 3


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two versions of one day, small enough to be run in less than a lease."""
    root = tmp_path_factory.mktemp("inputs")
    for name, seed in (("first", 1), ("second", 2)):
        generate(messages=200, layout="export", seed=seed, out=root / name, rates=FaultRates.rich(), files=4)
    return root / "first", root / "second"


def find(output: Path) -> Entry:
    ledger = Ledger(store=SqliteStore(output / "makoto-ledger.sqlite"), clock=lambda: datetime.now(UTC))
    found = ledger.find("acme", DAY)
    assert found is not None
    return found


@contextmanager
def stopped_at(place: str, moment: str, nth: int, arguments: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A run that has stopped itself at a call; it is killed in the end, whatever became of it."""
    process = subprocess.Popen(
        [*STOPPING, place, moment, str(nth), *arguments],
        env=child_environment(MAKOTO_LEASE_SECONDS=str(LEASE_SECONDS)),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 120
        while psutil.Process(process.pid).status() != psutil.STATUS_STOPPED:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline, "the run never came to the call"
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for_the_lease_to_end(output: Path) -> None:
    while find(output).is_leased(datetime.now(UTC)):
        time.sleep(0.1)


def go_on(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Let the run go on to its end: its status, and what it said."""
    process.send_signal(signal.SIGCONT)
    _, told = process.communicate(timeout=120)
    return process.returncode, told


DELTA = [
    ("daily_batch.pipeline.runners.local:clean_bucket", "before", 1),  # at work
    ("daily_batch.pipeline.process_day:check_sums", "before", 1),  # about to publish
    ("daily_batch.pipeline.publish.delta:_commit", "before", 1),  # past every question to the ledger
    ("daily_batch.pipeline.publish.delta:_commit", "before", 2),  # between two tables
    ("daily_batch.pipeline.process_day:to_json", "before", 1),  # all is published, but for the receipt and the ledger
]
SPARK = [
    ("daily_batch.pipeline.runners.spark:combine", "before", 1),
    ("daily_batch.pipeline.publish.delta:_commit", "before", 1),
]
PARQUET = [("daily_batch.pipeline.process_day:check_sums", "before", 1)]
CASES = [
    *(("local", "delta", case) for case in DELTA),
    *(("spark", "delta", case) for case in SPARK),
    *(("local", "parquet", case) for case in PARQUET),
]


@pytest.mark.parametrize(("runner", "table_format", "case"), CASES)
def test_7_a_run_that_was_stopped_past_its_lease_publishes_nothing_more(
    inputs: tuple[Path, Path], tmp_path: Path, runner: str, table_format: str, case: tuple[str, str, int]
) -> None:
    first, second = inputs
    output, wanted = tmp_path / "out", tmp_path / "wanted"
    arguments = [*run_arguments(input=first, output=output, table_format=table_format), "--runner", runner]
    with stopped_at(*case, arguments) as zombie:
        zombie_run = find(output).run_id
        wait_for_the_lease_to_end(output)
        later = makoto_batch("run", *run_arguments(input=second, output=output, table_format=table_format), "--json")
        assert later.returncode == 0, later.stderr
        status, told = go_on(zombie)
    assert status == 4, told
    assert "the lease is lost" in told
    run_local(input=second, output=wanted, table_format=table_format)
    assert read_tables(output, table_format=table_format) == read_tables(wanted, table_format=table_format)
    entry = find(output)
    assert (entry.run_id, entry.token) == (json.loads(later.stdout)["run_id"], 2)
    assert entry.run_id != zombie_run
    assert entry.is_complete


@pytest.mark.parametrize("case", [DELTA[0], DELTA[2]])
def test_7_a_zombie_is_kept_out_before_the_later_run_has_published(
    inputs: tuple[Path, Path], tmp_path: Path, case: tuple[str, str, int]
) -> None:
    first, second = inputs
    output = tmp_path / "out"
    with stopped_at(*case, run_arguments(input=first, output=output)) as zombie:
        wait_for_the_lease_to_end(output)
        arguments = run_arguments(input=second, output=output)
        with stopped_at("daily_batch.pipeline.process_day:audit", "before", 1, arguments) as later:
            status, told = go_on(zombie)
            assert status == 4, told
            assert read_tables(output)["messages"] == []
            status, told = go_on(later)
            assert status == 0, told
    run_local(input=second, output=tmp_path / "wanted")
    assert read_tables(output) == read_tables(tmp_path / "wanted")


def test_5_while_a_run_is_at_work_another_says_who_it_is_and_does_nothing(
    inputs: tuple[Path, Path], tmp_path: Path
) -> None:
    first, second = inputs
    output = tmp_path / "out"
    with stopped_at(*DELTA[0], run_arguments(input=first, output=output)) as at_work:
        other = makoto_batch("run", *run_arguments(input=second, output=output), "--json")
        assert (other.returncode, other.stdout) == (4, "")
        entry = find(output)
        assert str(entry.run_id) in other.stderr
        assert str(entry.owner) in other.stderr
        assert "tenant=acme day=2025-08-12" in other.stderr
        status, told = go_on(at_work)
    assert status == 0, told
    run_local(input=first, output=tmp_path / "wanted")
    assert read_tables(output) == read_tables(tmp_path / "wanted")


def test_7_an_operator_who_knows_that_a_run_is_dead_need_not_wait(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    first, second = inputs
    output = tmp_path / "out"
    with stopped_at(*DELTA[2], run_arguments(input=first, output=output)) as zombie:
        taken = makoto_batch("run", *run_arguments(input=second, output=output), "--take-over", "--json")
        assert taken.returncode == 0, taken.stderr
        status, told = go_on(zombie)
    assert status == 4, told
    assert find(output).run_id == json.loads(taken.stdout)["run_id"]


@pytest.mark.parametrize("seconds", ["3600"])
def test_1_a_killed_run_of_this_machine_is_not_waited_for(
    inputs: tuple[Path, Path], tmp_path: Path, seconds: str
) -> None:
    first, _ = inputs
    output = tmp_path / "out"
    killing = [
        sys.executable,
        "-m",
        "tests.support.interrupted_run",
        "SIGKILL",
        *("daily_batch.pipeline.process_day:check_sums", "before", "1"),
    ]
    environment = child_environment(MAKOTO_LEASE_SECONDS=seconds)
    arguments = run_arguments(input=first, output=output)
    killed = subprocess.run([*killing, *arguments], env=environment, cwd=ROOT, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert find(output).is_leased(datetime.now(UTC))
    again = makoto_batch("run", *arguments)
    assert again.returncode == 0, again.stderr
    run_local(input=first, output=tmp_path / "wanted")
    assert read_tables(output) == read_tables(tmp_path / "wanted")
