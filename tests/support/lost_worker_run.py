"""Run two days on Spark whose Python worker kills itself once, as `kill -9` would: in the map and in the reduce.

Arguments: the input, the output. The first attempt of the task leaves a file in the output: `died-in-map` or
`died-in-reduce`. A separate program, because the tests' session gives a task one attempt, and a second master needs a
second process.
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
    """Return the task, whose first attempt is killed when it has yielded half of its output."""

    def dying(batches: Iterator[Any], *, spec: Any, storage: Any) -> Iterator[Any]:
        output = list(task(batches, spec=spec, storage=storage))
        yield from output[: len(output) // 2]
        try:
            marker.touch(exist_ok=False)
        except FileExistsError:
            yield from output[len(output) // 2 :]
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
