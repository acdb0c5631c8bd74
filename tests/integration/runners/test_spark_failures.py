"""What a cluster does that one JVM does not: it loses executors, and its machines lack files, Pythons and packages."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daily_batch.errors import BatchError, RetryableError, TerminalError
from daily_batch.pipeline.runners.spark_errors import explained_spark_errors
from tests.support.day_runs import ROOT, SAMPLES, child_environment, read_tables, run_local

pytestmark = pytest.mark.each_spark
CONTENT = "content binary"


def run_program(name: str, *arguments: str, temp: Path) -> "subprocess.CompletedProcess[str]":
    temp.mkdir()
    program = [sys.executable, "-m", f"tests.support.{name}", *arguments]
    environment = child_environment(TMPDIR=str(temp))
    return subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


def test_killed_executor_loses_no_row_and_leaves_no_file_after_the_application(tmp_path: Path) -> None:
    output, local, seen, temp = (tmp_path / name for name in ("output", "local", "seen", "temp"))
    completed = run_program("executor_run", str(SAMPLES), str(output), str(local), str(seen), temp=temp)
    assert completed.returncode == 0, completed.stderr[-3000:]
    run_local(input=SAMPLES, output=tmp_path / "expected")
    assert read_tables(output) == read_tables(tmp_path / "expected")
    # Other machines see the output, and not the driver's temporary folder: the manifest was there, and is gone.
    observed = json.loads(seen.read_text())
    assert observed["staged"]
    assert list(output.rglob("_staging/*")) == []
    # The killed task's folder, with messages, was in the executor's local folder, which Spark has removed.
    assert observed["left"]
    assert all(Path(folder).is_relative_to(local) for folder in observed["left"])
    assert [path for root in (local, temp) for path in root.rglob("makoto-batch-*")] == []


@pytest.mark.parametrize("way", ["stopped", "killed"])
def test_session_that_ends_is_the_error_and_not_the_settings_it_no_longer_takes(way: str, tmp_path: Path) -> None:
    arguments = (str(SAMPLES), str(tmp_path / "output"), way)
    completed = run_program("ended_session_run", *arguments, temp=tmp_path / "temp")
    assert completed.returncode == RetryableError.exit_code, completed.stderr[-3000:]
    assert completed.stdout.startswith(
        "tenant=acme day=2025-08-12: the Spark session ended during the job. Next step: "
    )


def read_folder(spark: Any, folder: Path) -> Any:
    folder.mkdir()
    (folder / "0.json").write_text("[]")
    return spark.read.format("binaryFile").load(f"file://{folder}").select("content")


def explain(frame: Any, task: Any) -> BatchError:
    with pytest.raises(BatchError) as failure, explained_spark_errors():
        frame.mapInArrow(task, CONTENT).collect()
    return failure.value


def pass_through(batches: Iterator[Any]) -> Iterator[Any]:
    yield from batches


def test_missing_python_of_the_workers_is_named(spark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = read_folder(spark, tmp_path / "in")
    monkeypatch.setattr(spark.sparkContext, "pythonExec", "/missing/environment/bin/python")
    failure = explain(frame, pass_through)
    assert type(failure) is TerminalError
    assert failure.what.endswith("Python, /missing/environment/bin/python")


def test_missing_package_of_the_workers_is_named(spark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A module that the driver alone finds: workers have their own path.
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages/drivers_own.py").write_text("def task(batches):\n    yield from batches\n")
    monkeypatch.syspath_prepend(tmp_path / "packages")
    task = __import__("drivers_own").task
    failure = explain(read_folder(spark, tmp_path / "in"), task)
    assert type(failure) is TerminalError
    assert "lacks the package drivers_own" in failure.what


def test_missing_file_is_named_as_such(spark: Any, tmp_path: Path) -> None:
    frame = read_folder(spark, tmp_path / "in")
    (tmp_path / "in/0.json").unlink()
    assert "does not find the driver's list of objects" in explain(frame, pass_through).what
    with pytest.raises(RetryableError, match="does not find the driver's list of objects"), explained_spark_errors():
        spark.read.format("binaryFile").load(f"file://{tmp_path}/none")


def test_killed_python_worker_is_named_as_such(spark: Any, tmp_path: Path) -> None:
    def die(batches: Iterator[Any]) -> Iterator[Any]:
        yield from batches
        os.kill(os.getpid(), signal.SIGKILL)

    assert "Python worker of Spark was killed" in explain(read_folder(spark, tmp_path / "in"), die).what
