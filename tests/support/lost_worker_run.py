"""Run a day twice on Spark; a Python worker is killed by SIGKILL once in a map task and once in a reduce task.

Arguments: the input, the output. The killed attempt leaves a file in the output: `died-in-map` or `died-in-reduce`. It
is a separate program, because the tests' session allows one attempt per task, and another master needs another process.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from daily_batch.pipeline.runners import spark as spark_runner
from daily_batch.pipeline.runners.spark_tasks import map_chunks, reduce_buckets
from tests.support.day_runs import run_day_with
from tests.support.spark_session import start_session


def die_once(task: Callable[..., Iterator[Any]], marker: Path) -> Callable[..., Iterator[Any]]:
    """Return the task; its first attempt is killed after half of its output."""

    def killed_once(batches: Iterator[Any], *, spec: Any, storage: Any) -> Iterator[Any]:
        output = list(task(batches, spec=spec, storage=storage))
        yield from output[: len(output) // 2]
        try:
            marker.touch(exist_ok=False)
        except FileExistsError:
            yield from output[len(output) // 2 :]
        else:
            os.kill(os.getpid(), signal.SIGKILL)

    return killed_once


def main() -> None:
    source, target = sys.argv[1], Path(sys.argv[2])
    target.mkdir(parents=True)
    session = start_session(warehouse=target / "warehouse", extra_conf={"spark.master": "local[2,4]"})
    runner = spark_runner.SparkRunner(session)
    with patch.object(spark_runner, "map_chunks", die_once(map_chunks, target / "died-in-map")):
        run_day_with(runner, input=source, output=target / "map", buckets=3)
    with patch.object(spark_runner, "reduce_buckets", die_once(reduce_buckets, target / "died-in-reduce")):
        run_day_with(runner, input=source, output=target / "reduce", buckets=3)
    session.stop()


if __name__ == "__main__":
    main()
