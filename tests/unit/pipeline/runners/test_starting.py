"""Test the runner that starts in the background."""

import subprocess
import sys
from pathlib import Path
from threading import Event
from typing import Any, cast

import pytest

from daily_batch.errors import UsageError
from daily_batch.pipeline.runners.base import Runner
from daily_batch.pipeline.runners.starting import StartingRunner


class RecordingRunner:
    """A runner that returns what it was given."""

    name = "spark"

    def run(self, manifest: Any, **arguments: Any) -> Any:
        return manifest, arguments


ARGUMENTS: dict[str, Any] = {"spec": "spec", "storage": "storage", "scratch": Path("scratch"), "progress": print}


def test_run_waits_for_the_start_and_passes_everything_on() -> None:
    listed = Event()

    def start() -> Runner:
        assert listed.wait(60)  # starts only after the caller has gone on
        return cast("Runner", RecordingRunner())

    runner = StartingRunner(start)
    assert runner.name == "spark"
    listed.set()
    assert runner.run(cast("Any", "manifest"), **ARGUMENTS) == ("manifest", ARGUMENTS)


def test_one_start_serves_all_days() -> None:
    starts: list[int] = []

    def start() -> Runner:
        starts.append(1)
        return cast("Runner", RecordingRunner())

    runner = StartingRunner(start)
    for day in ("first", "second"):
        assert runner.run(cast("Any", day), **ARGUMENTS) == (day, ARGUMENTS)
    assert starts == [1]


def test_an_error_of_the_start_is_the_error_of_the_run() -> None:
    def fail() -> Runner:
        raise UsageError("Spark did not start", next_step="install Java")

    runner = StartingRunner(fail)
    for _ in range(2):
        with pytest.raises(UsageError, match="install Java"):
            runner.run(cast("Any", "manifest"), **ARGUMENTS)


def test_a_process_that_fails_meanwhile_waits_for_the_start() -> None:
    program = """
import sys, time
from daily_batch.pipeline.runners.starting import StartingRunner

def start():
    time.sleep(1)
    print("started")

StartingRunner(start)
sys.exit("failed")
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "started\n", "failed\n")


def test_a_process_that_fails_meanwhile_cancels_a_job_that_waits_for_a_cluster() -> None:
    program = """
import sys, threading, types
from daily_batch.pipeline.runners import starting

starting.PATIENCE_SECONDS = 0.0
cancelled = threading.Event()
context = types.SimpleNamespace(cancelAllJobs=cancelled.set)
sys.modules["pyspark"] = types.SimpleNamespace(SparkContext=types.SimpleNamespace(_active_spark_context=context))
starting.StartingRunner(cancelled.wait)
sys.exit("failed")
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", "failed\n")
