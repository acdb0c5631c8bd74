"""How far Spark's stages are, as lines like any other runner's; Spark's own bar does not say which step a task is of.

Spark Connect tells a handler; a classic session is asked for its tracker, if it has one. Neither is needed to run.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from daily_batch.pipeline.runners.base import Progress

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

INTERVAL_SECONDS = 2.0
# The tasks of the map come first in every job of ours, then those of the reduce.
STEPS = ("intake", "clean")

Stages = list[tuple[int, int]]


@contextmanager
def watch_tasks(spark: "SparkSession", progress: Progress) -> Iterator[None]:
    """Report the stages of whatever Spark does meanwhile."""
    if hasattr(spark, "registerProgressHandler") and _is_connect(spark):
        handler = _connect_handler(progress)
        spark.registerProgressHandler(handler)
        try:
            yield
        finally:
            spark.removeProgressHandler(handler)
        return
    stop = threading.Event()
    watcher = threading.Thread(target=_poll, args=(spark, progress, stop), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()


def _is_connect(spark: "SparkSession") -> bool:
    return type(spark).__module__.startswith("pyspark.sql.connect")


def _report(stages: Stages, progress: Progress) -> None:
    for step, (done, total) in zip(STEPS, stages, strict=False):
        if total and done:
            progress(step, done, total, "tasks")


def _connect_handler(progress: Progress) -> Callable[..., None]:
    def handle(stages: Any, **_: Any) -> None:
        _report([(stage.num_completed_tasks, stage.num_tasks) for stage in stages], progress)

    return handle


def _poll(spark: "SparkSession", progress: Progress, stop: threading.Event) -> None:
    with suppress(Exception):  # what shows progress must never end a run
        tracker = spark.sparkContext.statusTracker()
        seen = set(tracker.getJobIdsForGroup(None))
        while not stop.wait(INTERVAL_SECONDS):
            jobs = sorted(set(tracker.getJobIdsForGroup(None)) - seen)
            infos = [tracker.getJobInfo(job) for job in jobs]
            known = {stage for info in infos if info for stage in info.stageIds}
            stages = [tracker.getStageInfo(stage) for stage in sorted(known)]
            _report([(info.numCompletedTasks, info.numTasks) for info in stages if info], progress)
