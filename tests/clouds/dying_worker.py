"""The worker's handler in a process that is killed at a step, as a function is that lacks memory or time.

DIE_AT names the step; without it, it is the worker and nothing else.
"""

import os
import signal
from collections.abc import Callable
from typing import Any

import daily_batch.batch
from daily_batch.ledger import Ledger
from daily_batch.publish.day import DayPublisher
from daily_batch.submit.emr_serverless import EmrServerless
from lambda_trigger.worker import handler

__all__ = ["handler"]

STEPS: dict[str, tuple[Any, str, bool]] = {
    # step: where, which call, and whether the process dies before it (else after it)
    "after the lease": (Ledger, "take", False),
    "after the manifest": (daily_batch.batch, "list_day", False),
    "before the commit": (DayPublisher, "publish", True),
    "after the commit": (DayPublisher, "publish", False),
    "before the ledger's word": (Ledger, "complete", True),
    "after the ledger's word": (Ledger, "complete", False),
    "before the submission": (EmrServerless, "submit", True),
    "after the submission": (EmrServerless, "submit", False),
}


def die_at(step: str) -> None:
    where, name, before = STEPS[step]
    real: Callable[..., Any] = getattr(where, name)

    def dying(*arguments: Any, **named: Any) -> Any:
        if not before:
            real(*arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(where, name, dying)


if step := os.environ.get("DIE_AT"):
    die_at(step)
