"""Run two days on Spark with a Python worker that is killed once, in the map and in the reduce.

Arguments: the input, the output. The first try of the task leaves a file there: `died-in-map` or `died-in-reduce`.
A program of its own, for the tests' session gives a task one try and a second master needs a second process.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from daily_batch.pipeline.runners import spark as spark_runner
from tests.support.day_runs import run_day_with
from tests.support.spark_session import start_session


def die_once(task: Callable[..., Iterator[Any]], marker: Path) -> Callable[..., Iterator[Any]]:
    """Wrap a task so that its first attempt is killed after all its work, with half of its output delivered."""

    def dying(batches: Iterator[Any], *, plan: Any, storage: Any) -> Iterator[Any]:
        answers = list(task(batches, plan=plan, storage=storage))
        yield from answers[: len(answers) // 2]
        try:
            marker.touch(exist_ok=False)
        except FileExistsError:
            yield from answers[len(answers) // 2 :]
        else:
            os.kill(os.getpid(), signal.SIGKILL)

    return dying


def main() -> None:
    source, target = sys.argv[1], Path(sys.argv[2])
    target.mkdir(parents=True)
    session = start_session(warehouse=target / "warehouse", more={"spark.master": "local[2,4]"})
    runner = spark_runner.SparkRunner(session)
    whole_map, whole_reduce = spark_runner.map_chunks, spark_runner.reduce_buckets
    spark_runner.map_chunks = die_once(whole_map, target / "died-in-map")
    run_day_with(runner, input=source, output=target / "map", buckets=3)
    spark_runner.map_chunks = whole_map
    spark_runner.reduce_buckets = die_once(whole_reduce, target / "died-in-reduce")
    run_day_with(runner, input=source, output=target / "reduce", buckets=3)
    session.stop()


if __name__ == "__main__":
    main()
