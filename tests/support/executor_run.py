"""Run a day on Spark with executors of their own and a folder as output; an executor is killed during the map.

Arguments: the input, the output, the folder for the executors' local files, the file for what the map saw: whether the
manifest was in the output, and the temporary folder that the killed task left.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from daily_batch.pipeline.runners import spark as spark_runner
from daily_batch.pipeline.runners.spark_tasks import map_chunks
from tests.support.day_runs import run_day_with
from tests.support.spark_session import start_session


def kill_executor_once(task: Callable[..., Iterator[Any]], output: Path, seen: Path) -> Callable[..., Iterator[Any]]:
    """Return the task; the first attempt kills its executor after its first blob, and with it itself."""

    def killing(batches: Iterator[Any], *, spec: Any, storage: Any) -> Iterator[Any]:
        blobs = task(batches, spec=spec, storage=storage)
        yield next(blobs)
        try:
            with seen.open("x") as file:
                staged = [path.name for path in output.rglob("_staging/*/*")]
                folders = os.environ["SPARK_LOCAL_DIRS"].split(",")
                left = [str(path) for folder in folders for path in Path(folder).glob("makoto-batch-*")]
                json.dump({"staged": staged, "left": left}, file)
        except FileExistsError:
            yield from blobs
        else:
            # The worker's parent is PySpark's daemon, whose parent is the executor.
            executor = int(Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()[1])
            os.kill(executor, signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)

    return killing


def main() -> None:
    source, output, local, seen = sys.argv[1:]
    Path(output).mkdir()
    Path(local).mkdir()
    conf = {
        "spark.master": "local-cluster[2,1,1024]",
        "spark.executor.memory": "512m",
        "spark.local.dir": local,
    }
    session = start_session(warehouse=Path(output) / "warehouse", extra_conf=conf)
    with patch.object(spark_runner, "map_chunks", kill_executor_once(map_chunks, Path(output), Path(seen))):
        run_day_with(spark_runner.SparkRunner(session), input=source, output=output, buckets=3)
    session.stop()


if __name__ == "__main__":
    main()
