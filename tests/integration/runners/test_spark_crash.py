"""Test that no row is lost or duplicated when Spark loses a Python worker, or its driver is killed."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from daily_batch.pipeline.runners.spark import SparkRunner
from daily_batch.synthetic import FaultRates, generate
from tests.support.day_runs import DAY, ROOT, child_environment, read_tables, run_arguments, run_day_with, run_local
from tests.support.spark_session import LOCAL_CONF

pytestmark = [pytest.mark.each_spark, pytest.mark.long]
SUBMIT = [str(Path(sys.executable).with_name("spark-submit")), "--properties-file", str(LOCAL_CONF)]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("spark-crash")
    generate(messages=3_000, layout="export", seed=5, out=output, rates=FaultRates.rich(), files=6)
    return output


def test_task_of_a_killed_worker_is_retried_and_counts_once(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "spark"
    program = [sys.executable, "-m", "tests.support.lost_worker_run", str(source), str(output)]
    completed = subprocess.run(program, cwd=ROOT, env=child_environment(), capture_output=True, text=True)
    assert completed.returncode == 0, completed.stderr[-3000:]
    run_local(input=source, output=tmp_path / "local")
    for task in ("map", "reduce"):
        assert (output / f"died-in-{task}").exists()
        assert read_tables(output / task) == read_tables(tmp_path / "local")
    # The killed attempt of the reduce task had written its file, which no commit names.
    committed = {Path(uri).name for uri in DeltaTable(str(output / "reduce/acme/analytics/messages")).file_uris()}
    written = {path.name for path in (output / f"reduce/acme/analytics/messages/date={DAY}").iterdir()}
    assert committed < written


@pytest.mark.parametrize(("moment", "table_format"), [("mapping", "delta"), ("writing", "parquet")])
def test_next_run_repairs_the_day_of_a_killed_driver(
    spark: Any, source: Path, table_format: str, moment: str, tmp_path: Path
) -> None:
    arguments: dict[str, Any] = {"input": source, "output": tmp_path / "output", "table_format": table_format}
    run_local(input=source, output=tmp_path / "undisturbed", table_format=table_format)
    expected = read_tables(tmp_path / "undisturbed", table_format=table_format)
    with subprocess.Popen(
        [*SUBMIT, "jobs/daily_messages.py", *run_arguments(**arguments)],
        cwd=ROOT,
        env=child_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        wait_for_listing(process)
        if moment == "mapping":
            time.sleep(random.Random(table_format).uniform(0, 3))
        else:
            wait_for_file(tmp_path / "output/acme/analytics/messages")
        os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    run_day_with(SparkRunner(spark), **arguments)
    assert read_tables(tmp_path / "output", table_format=table_format) == expected


def wait_for_listing(process: "subprocess.Popen[str]") -> None:
    assert process.stdout is not None  # spark-submit also writes its program's standard error here
    while "manifest:" not in process.stdout.readline():
        assert process.poll() is None, "the job ended before it listed anything"


def wait_for_file(folder: Path) -> None:
    """Wait until a worker has written its first file; the driver has not published yet."""
    deadline = time.monotonic() + 60
    while not any(folder.rglob("*.parquet")):
        assert time.monotonic() < deadline, "no worker wrote a file"
        time.sleep(0.005)
