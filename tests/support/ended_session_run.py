"""Run a day on Spark, whose session ends during the map; print the error of the run.

Arguments: the input, the output, how the session ends: `stopped` or `killed`.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from daily_batch.errors import BatchError
from daily_batch.pipeline.runners import spark as spark_runner
from tests.support.day_runs import run_day_with
from tests.support.spark_session import start_session


def main() -> None:
    source, output, way = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    output.mkdir()
    started = output / "started"

    def wait(batches: Iterator[Any], *, spec: Any, storage: Any) -> Iterator[Any]:
        started.touch()
        time.sleep(300)
        yield from batches

    session = start_session(warehouse=output / "warehouse", extra_conf={"spark.master": "local[1]"})

    def end() -> None:
        while not started.exists():
            time.sleep(0.05)
        if way == "stopped":
            session.sparkContext._jsc.stop()  # as when the cluster ends the application
        else:
            gateway: Any = session.sparkContext._gateway
            os.kill(gateway.proc.pid, signal.SIGKILL)

    vars(spark_runner)["map_chunks"] = wait
    threading.Thread(target=end, daemon=True).start()
    try:
        run_day_with(spark_runner.SparkRunner(session), input=source, output=output)
    except BatchError as error:
        print(error, flush=True)
        os._exit(error.exit_code)


if __name__ == "__main__":
    main()
