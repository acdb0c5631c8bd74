"""Kill a worker's process at a step, as the platform kills a function that exceeds its memory or time.

The environment variable CRASH_AT names the step.
"""

import os
import signal
from collections.abc import Callable
from typing import Any

import daily_batch.orchestration.day_run
import daily_batch.pipeline.process_day
from daily_batch.ledger import Ledger
from daily_batch.orchestration.spark_jobs.databricks import Databricks
from daily_batch.orchestration.spark_jobs.emr_serverless import EmrServerless
from daily_batch.pipeline.publish.publisher import DayPublisher

SERVICES = (EmrServerless, Databricks)
STEPS: dict[str, tuple[tuple[Any, ...], str, bool]] = {
    # Step: classes or modules, the function, and whether the process is killed before the call or after it.
    "after the lease": ((Ledger,), "acquire", False),
    "after the manifest": ((daily_batch.orchestration.day_run, daily_batch.pipeline.process_day), "discover", False),
    "before the commit": ((DayPublisher,), "publish", True),
    "after the commit": ((DayPublisher,), "publish", False),
    "before the ledger's word": ((Ledger,), "complete", True),
    "after the ledger's word": ((Ledger,), "complete", False),
    "before the submission": (SERVICES, "submit", True),
    "after the submission": (SERVICES, "submit", False),
}


def crash_if_requested() -> None:
    """Install the crash that CRASH_AT names, if it is set."""
    if step := os.environ.get("CRASH_AT"):
        crash_at(step)


def crash_at(step: str) -> None:
    """Install a crash at a step."""
    owners, name, before = STEPS[step]
    for owner in owners:
        setattr(owner, name, _kill_at_call(getattr(owner, name), before=before))


def _kill_at_call(function: Callable[..., Any], *, before: bool) -> Callable[..., None]:
    def call_and_die(*arguments: Any, **named: Any) -> None:
        if not before:
            function(*arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    return call_and_die
