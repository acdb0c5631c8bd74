"""Test zombies (FAULTS 1, 5 and 7): a run that is paused past its lease and resumes later changes nothing."""

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

PAUSED_RUN = [sys.executable, "-m", "tests.support.interrupted_run", "SIGSTOP"]
LEASE_SECONDS = 3


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Generate two versions of one day, small enough for a run within its lease."""
    root = tmp_path_factory.mktemp("inputs")
    for name, seed in (("first", 1), ("second", 2)):
        generate(messages=200, layout="export", seed=seed, out=root / name, rates=FaultRates.rich(), files=4)
    return root / "first", root / "second"


def find_entry(output: Path) -> Entry:
    ledger = Ledger(store=SqliteStore(output / "makoto-ledger.sqlite"), clock=lambda: datetime.now(UTC))
    entry = ledger.find("acme", DAY)
    assert entry is not None
    return entry


@contextmanager
def paused_at(function: str, moment: str, nth: int, arguments: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Yield a run that has paused itself at a call, and kill it at the end."""
    process = subprocess.Popen(
        [*PAUSED_RUN, function, moment, str(nth), *arguments],
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
            assert time.monotonic() < deadline, "the run never reached the call"
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for_lease_expiry(output: Path) -> None:
    while find_entry(output).is_leased(datetime.now(UTC)):
        time.sleep(0.1)


def resume(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Resume the run and wait for its end; return its exit status and standard error."""
    process.send_signal(signal.SIGCONT)
    _, stderr = process.communicate(timeout=120)
    return process.returncode, stderr


DELTA = [
    ("daily_batch.pipeline.runners.local:reduce_bucket", "before", 1),  # while it runs
    ("daily_batch.pipeline.process_day:check_sums", "before", 1),  # before it publishes
    ("daily_batch.pipeline.publish.delta:_commit", "before", 1),  # after its last request to the ledger
    ("daily_batch.pipeline.publish.delta:_commit", "before", 2),  # between two tables
    ("daily_batch.pipeline.process_day:to_json", "before", 1),  # before the receipt and the ledger
]
SPARK = [
    ("daily_batch.pipeline.runners.spark:merge_aggregates", "before", 1),
    ("daily_batch.pipeline.publish.delta:_commit", "before", 1),
]
PARQUET = [("daily_batch.pipeline.process_day:check_sums", "before", 1)]
CASES = [
    *(("local", "delta", case) for case in DELTA),
    *(pytest.param("spark", "delta", case, marks=pytest.mark.long) for case in SPARK),
    *(("local", "parquet", case) for case in PARQUET),
]


@pytest.mark.parametrize(("runner", "table_format", "case"), CASES)
def test_7_run_resumed_after_its_lease_expired_publishes_nothing_more(
    inputs: tuple[Path, Path], tmp_path: Path, runner: str, table_format: str, case: tuple[str, str, int]
) -> None:
    first, second = inputs
    output, expected = tmp_path / "out", tmp_path / "expected"
    arguments = [*run_arguments(input=first, output=output, table_format=table_format), "--runner", runner]
    with paused_at(*case, arguments) as zombie:
        zombie_run = find_entry(output).run_id
        wait_for_lease_expiry(output)
        later = makoto_batch("run", *run_arguments(input=second, output=output, table_format=table_format), "--json")
        assert later.returncode == 0, later.stderr
        status, stderr = resume(zombie)
    assert status == 4, stderr
    assert "the lease is lost" in stderr
    run_local(input=second, output=expected, table_format=table_format)
    assert read_tables(output, table_format=table_format) == read_tables(expected, table_format=table_format)
    entry = find_entry(output)
    assert (entry.run_id, entry.token) == (json.loads(later.stdout)["receipts"][0]["run_id"], 2)
    assert entry.run_id != zombie_run
    assert entry.is_complete


@pytest.mark.parametrize("case", [DELTA[0], DELTA[2]])
def test_7_zombie_is_fenced_before_the_later_run_publishes(
    inputs: tuple[Path, Path], tmp_path: Path, case: tuple[str, str, int]
) -> None:
    first, second = inputs
    output = tmp_path / "out"
    with paused_at(*case, run_arguments(input=first, output=output)) as zombie:
        wait_for_lease_expiry(output)
        arguments = run_arguments(input=second, output=output)
        with paused_at("daily_batch.pipeline.process_day:audit", "before", 1, arguments) as later:
            status, stderr = resume(zombie)
            assert status == 4, stderr
            assert read_tables(output)["messages"] == []
            status, stderr = resume(later)
            assert status == 0, stderr
    run_local(input=second, output=tmp_path / "expected")
    assert read_tables(output) == read_tables(tmp_path / "expected")


def test_5_second_run_names_the_active_run_and_changes_nothing(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    first, second = inputs
    output = tmp_path / "out"
    with paused_at(*DELTA[0], run_arguments(input=first, output=output)) as active:
        other = makoto_batch("run", *run_arguments(input=second, output=output), "--json")
        assert (other.returncode, other.stdout) == (4, "")
        entry = find_entry(output)
        assert str(entry.run_id) in other.stderr
        assert str(entry.owner) in other.stderr
        error = json.loads(other.stderr.splitlines()[-1])
        assert (error["tenant"], error["date"], error["retryable"]) == ("acme", "2025-08-12", True)
        status, stderr = resume(active)
    assert status == 0, stderr
    run_local(input=first, output=tmp_path / "expected")
    assert read_tables(output) == read_tables(tmp_path / "expected")


def test_7_operator_takes_over_a_dead_run_without_waiting(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    first, second = inputs
    output = tmp_path / "out"
    with paused_at(*DELTA[2], run_arguments(input=first, output=output)) as zombie:
        takeover = makoto_batch("run", *run_arguments(input=second, output=output), "--take-over", "--json")
        assert takeover.returncode == 0, takeover.stderr
        status, stderr = resume(zombie)
    assert status == 4, stderr
    assert find_entry(output).run_id == json.loads(takeover.stdout)["receipts"][0]["run_id"]


@pytest.mark.parametrize("seconds", ["3600"])
def test_1_next_run_does_not_wait_for_a_run_killed_on_this_machine(
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
    assert find_entry(output).is_leased(datetime.now(UTC))
    again = makoto_batch("run", *arguments)
    assert again.returncode == 0, again.stderr
    run_local(input=first, output=tmp_path / "expected")
    assert read_tables(output) == read_tables(tmp_path / "expected")
