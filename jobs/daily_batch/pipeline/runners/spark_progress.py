"""Report the progress of Spark's stages like any other runner's; Spark's own bar does not name the stage of a task.

Spark Connect calls a handler; a classic session's status tracker is polled. A run does not depend on either.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from daily_batch.pipeline.runners.base import Progress

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

INTERVAL_SECONDS = 2.0
# The first stage of each of our jobs is the map, the second the reduce.
STAGE_NAMES = ("intake", "clean")

# The number of finished tasks and of all tasks, by stage.
Stages = list[tuple[int, int]]


@contextmanager
def report_tasks(spark: "SparkSession", progress: Progress) -> Iterator[None]:
    """Report the stages of the jobs that run in the block."""
    if hasattr(spark, "registerProgressHandler") and is_connect(spark):
        handler = _connect_handler(progress)
        spark.registerProgressHandler(handler)
        try:
            yield
        finally:
            spark.removeProgressHandler(handler)
        return
    stop = threading.Event()
    poller = threading.Thread(target=_poll, args=(spark, progress, stop), daemon=True)
    poller.start()
    try:
        yield
    finally:
        stop.set()
        poller.join()


def is_connect(spark: "SparkSession") -> bool:
    """Return whether a session is a client of Spark Connect, whose server may be on another machine."""
    return type(spark).__module__.startswith("pyspark.sql.connect")


def report_stages(stages: Stages, progress: Progress) -> None:
    """Report stages; Spark also counts the second success of a task that was speculated or whose output was lost."""
    for name, (done, total) in zip(STAGE_NAMES, stages, strict=False):
        if total and done:
            progress(name, min(done, total), total, "tasks")


def _connect_handler(progress: Progress) -> Callable[..., None]:
    def handle(stages: Any, **_: Any) -> None:
        report_stages([(stage.num_completed_tasks, stage.num_tasks) for stage in stages], progress)

    return handle


def _poll(spark: "SparkSession", progress: Progress, stop: threading.Event) -> None:
    with suppress(Exception):  # showing progress must never fail a run
        tracker = spark.sparkContext.statusTracker()
        earlier_jobs = set(tracker.getJobIdsForGroup(None))
        while not stop.wait(INTERVAL_SECONDS):
            jobs = sorted(set(tracker.getJobIdsForGroup(None)) - earlier_jobs)
            infos = [tracker.getJobInfo(job) for job in jobs]
            stage_ids = {stage for info in infos if info for stage in info.stageIds}
            stages = [tracker.getStageInfo(stage) for stage in sorted(stage_ids)]
            report_stages([(info.numCompletedTasks, info.numTasks) for info in stages if info], progress)
