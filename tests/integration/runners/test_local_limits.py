"""Test local runs within a function's limits: they spill and publish equal tables, or hand the day over cleanly."""

import errno
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import deltalake
import duckdb
import pytest

from daily_batch.domain.contract import TABLES
from daily_batch.domain.run import Limits
from daily_batch.errors import HandOverError, RetryableError
from daily_batch.pipeline.runners import local
from daily_batch.pipeline.runners.deadline import Deadline
from daily_batch.pipeline.runners.local import LocalRunner
from daily_batch.pipeline.runners.resource_limits import SPILL_LIMIT
from daily_batch.pipeline.runners.resources import MIB, Resources
from daily_batch.pipeline.transform.duckdb_session import connect
from daily_batch.storage.stores import Storage
from daily_batch.synthetic import FaultRates, generate
from tests.support.day_runs import (
    ROOT,
    RUN_COLUMNS,
    child_environment,
    published_state,
    read_tables,
    run_arguments,
    run_day_with,
    run_local,
)
from tests.support.run_specs import sample_spec

LARGE = 200_000
SMALL_MIB = 320


def make_resources(memory_mib: int, *, temp_mib: int = 1_024) -> Resources:
    return Resources(memory_bytes=memory_mib * MIB, cores=2, temp_bytes=temp_mib * MIB)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Generate two versions of a day, each in eight files."""
    folders = tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("second")
    for seed, folder in enumerate(folders):
        generate(messages=300, layout="export", seed=seed, out=folder, rates=FaultRates.rich(), files=8)
    return folders


@pytest.fixture
def published(inputs: tuple[Path, Path], tmp_path: Path) -> Path:
    """Publish the first version; return the output."""
    run_local(input=inputs[0], output=tmp_path / "published")
    return tmp_path / "published"


@pytest.fixture
def temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Create an empty folder for temporary files."""
    (tmp_path / "temp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temp"))
    return tmp_path / "temp"


@pytest.fixture
def many_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every object a chunk of its own."""
    monkeypatch.setattr(local, "EXPORT_CHUNK_OBJECTS", 1)


MEASURED = [sys.executable, "-m", "tests.support.measured_run"]


def run_limited(source: Path, output: Path, memory_mib: int) -> int:
    """Run the large day with this function size; return the peak memory of its process in bytes."""
    completed = subprocess.run(
        [*MEASURED, "run", "--runner", "local", *run_arguments(input=source, output=output)],
        cwd=ROOT,
        env=child_environment(AWS_LAMBDA_FUNCTION_MEMORY_SIZE=str(memory_mib)),
        capture_output=True,
        text=True,
    )
    assert completed.returncode == 0, completed.stderr
    return int(completed.stderr.split()[-1])


def scan(output: Path, table: str) -> str:
    """Return a query of a published table's rows, without the columns that differ between runs."""
    files = deltalake.DeltaTable(f"{output}/acme/analytics/{table}").file_uris()
    return f"(SELECT * EXCLUDE ({', '.join(RUN_COLUMNS)}) FROM read_parquet({files}))"


@pytest.mark.long
def test_day_larger_than_memory_spills_and_gives_equal_tables(tmp_path: Path) -> None:
    source = tmp_path / "in"
    generate(messages=LARGE, layout="export", seed=1, out=source, files=8)
    assert run_limited(source, tmp_path / "small", SMALL_MIB) <= SMALL_MIB * MIB
    assert run_limited(source, tmp_path / "large", 3_008) <= 3_008 * MIB
    for table in TABLES:
        small, large = (scan(tmp_path / name, table.name) for name in ("small", "large"))
        for one, other in ((small, large), (large, small)):
            assert duckdb.sql(f"SELECT count(*) FROM ({one} EXCEPT ALL {other})").fetchall() == [(0,)], table.name
        assert duckdb.sql(f"SELECT count(*) FROM {small}").fetchall() != [(0,)]


def test_worker_size_does_not_change_the_tables(inputs: tuple[Path, Path], many_chunks: None, tmp_path: Path) -> None:
    run_day_with(LocalRunner(make_resources(256)), input=inputs[0], output=tmp_path / "a", buckets=9)
    run_day_with(LocalRunner(make_resources(10_240)), input=inputs[0], output=tmp_path / "b", buckets=1)
    assert read_tables(tmp_path / "a") == read_tables(tmp_path / "b")


def assert_handed_over(
    runner: LocalRunner, source: Path, published: Path, temp: Path, *, message: str, **arguments: Any
) -> None:
    """Assert that the run hands over, publishes nothing and leaves no thread or temporary file."""
    state_before = published_state(published)
    threads_before = set(threading.enumerate())
    with pytest.raises(HandOverError, match=message) as caught:
        run_day_with(runner, input=source, output=published, **arguments)
    assert "tenant=acme day=2025-08-12" in str(caught.value)
    assert "run the day on Spark" in str(caught.value)
    assert published_state(published) == state_before
    for thread in set(threading.enumerate()) - threads_before:
        thread.join(10)
        assert not thread.is_alive()
    assert not list(temp.iterdir())


class Clock:
    """A clock that reaches the deadline once `done` tasks of `stage` are completed."""

    deadline = 1.0

    def __init__(self, stage: str, done: int) -> None:
        self.now = 0.0
        self.late_stage, self.late_done = stage, done

    def __call__(self) -> float:
        return self.now

    def progress(self, stage: str, done: int, total: int, unit: str) -> None:
        if stage == self.late_stage and done >= self.late_done:
            self.now = self.deadline


@pytest.mark.parametrize(
    ("stage", "done", "message"),
    [
        ("manifest", 1, r"the time is over: 0 of \d+ chunks"),
        ("intake", 3, r"the time is over: [3-9] of \d+ chunks in 1 s"),
        ("clean", 2, r"the time is over: \d of 6 buckets in 1 s"),
        ("clean", 6, r"the time is over: 6 of 6 buckets in 1 s"),
    ],
)
def test_deadline_hands_the_day_over_in_every_stage(
    inputs: tuple[Path, Path],
    published: Path,
    temp: Path,
    many_chunks: None,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    done: int,
    message: str,
) -> None:
    clock = Clock(stage, done)
    monkeypatch.setattr(local, "Deadline", partial(Deadline, clock=clock))
    runner = LocalRunner(make_resources(1_024), deadline=clock.deadline)
    assert_handed_over(runner, inputs[1], published, temp, message=message, progress=clock.progress, buckets=6)


def test_run_within_its_deadline_is_published(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    run_day_with(LocalRunner(deadline=time.monotonic() + 600), input=inputs[0], output=tmp_path / "in-time")
    run_local(input=inputs[0], output=tmp_path / "without-deadline")
    assert read_tables(tmp_path / "in-time") == read_tables(tmp_path / "without-deadline")


def test_unresponsive_store_does_not_delay_a_run_beyond_its_deadline(
    inputs: tuple[Path, Path], published: Path, temp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()

    class BlockedStore:
        def __init__(self, store: Any) -> None:
            self.store = store

        def __getattr__(self, name: str) -> Any:
            return getattr(self.store, name)

        def get(self, path: str) -> Any:
            released.wait()
            return self.store.get(path)

    original = Storage.open_input
    monkeypatch.setattr(Storage, "open_input", lambda self: BlockedStore(original(self)))
    before = published_state(published)
    try:
        with pytest.raises(HandOverError, match=r"0 of \d+ chunks"):
            run_day_with(LocalRunner(deadline=time.monotonic() + 1), input=inputs[1], output=published)
    finally:
        released.set()
    assert published_state(published) == before
    assert not list(temp.iterdir())


NO_SPACE = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        ("map_chunk", MemoryError(), "the memory does not suffice: 0 of"),
        ("map_chunk", duckdb.OutOfMemoryException("could not allocate block"), "the memory does not suffice: 0 of"),
        ("map_chunk", NO_SPACE, "the temporary disk is full: 0 of"),
        ("reduce_bucket", duckdb.OutOfMemoryException("failed to pin"), "the memory does not suffice: 0 of 1 buckets"),
        (
            "reduce_bucket",
            duckdb.OutOfMemoryException(f"failed to offload. This limit was set by the {SPILL_LIMIT!r} setting."),
            "the temporary disk is full: 0 of 1 buckets",
        ),
        ("reduce_bucket", duckdb.IOException("No space left on device"), "the temporary disk is full: 0 of 1 buckets"),
        ("recover", NO_SPACE, "the temporary disk is full: 1 of 1 buckets"),
        ("write_rejects", duckdb.OutOfMemoryException("failed to pin"), "the memory does not suffice: 1 of 1 buckets"),
    ],
)
def test_exhausted_memory_or_temporary_disk_hands_the_day_over(
    inputs: tuple[Path, Path],
    published: Path,
    temp: Path,
    monkeypatch: pytest.MonkeyPatch,
    function: str,
    error: Exception,
    message: str,
) -> None:
    monkeypatch.setattr(local, function, raising(error))
    assert_handed_over(LocalRunner(make_resources(3_008)), inputs[1], published, temp, message=message, buckets=1)


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise error

    return fail


def test_insufficient_memory_for_one_task_hands_the_day_over(
    inputs: tuple[Path, Path], published: Path, temp: Path
) -> None:
    assert_handed_over(LocalRunner(make_resources(128)), inputs[1], published, temp, message="128 MiB of memory")


def test_full_output_disk_is_a_retryable_error(
    inputs: tuple[Path, Path], published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "reduce_bucket", raising(NO_SPACE))
    with pytest.raises(RetryableError, match="No space left"):
        run_local(input=inputs[1], output=published)


@pytest.mark.parametrize(("spill_bytes", "suffices"), [(MIB, False), (512 * MIB, True)])
def test_task_spills_at_most_its_share_of_the_temporary_disk(tmp_path: Path, spill_bytes: int, suffices: bool) -> None:
    spec = replace(sample_spec(), spill_bytes=spill_bytes, limits=Limits(memory_bytes=32 * MIB))
    with connect(scratch=tmp_path, spec=spec) as connection:
        expectation = nullcontext() if suffices else pytest.raises(duckdb.OutOfMemoryException, match=SPILL_LIMIT)
        with expectation:
            connection.execute("CREATE TABLE t AS SELECT uuid()::VARCHAR || uuid()::VARCHAR AS s FROM range(1_500_000)")
            assert connection.execute("SELECT count(*) FROM t").fetchall() == [(1_500_000,)]


def test_duckdb_default_applies_without_a_spill_limit(tmp_path: Path) -> None:
    with connect(scratch=tmp_path, spec=sample_spec()) as connection:
        limit = connection.execute("SELECT current_setting('max_temp_directory_size')").fetchall()
    assert limit == [("90% of available disk space",)]
