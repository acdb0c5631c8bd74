"""How deep the code nests: our frames between the Lambda handler and the first GET of a message object."""

import sys
import threading
from types import FrameType
from typing import Any

import pytest

from daily_batch.orchestration import Task
from daily_batch.pipeline.transform import fetch
from tests.support.day_runs import DAY, ROOT
from tests.support.operations.aws_functions import AwsFunctions
from tests.support.operations.synthetic_night import Night

MAX_FRAMES = 10
OURS = (str(ROOT / "jobs/daily_batch"), str(ROOT / "lambda_trigger"))


def our_frames(frame: FrameType | None) -> list[str]:
    """The functions of ours on a stack, innermost first."""
    found = []
    while frame is not None:
        if frame.f_code.co_filename.startswith(OURS):
            found.append(f"{frame.f_globals['__name__']}.{frame.f_code.co_qualname}")
        frame = frame.f_back
    return found


def test_few_frames_lie_between_the_handler_and_the_first_get(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    stacks: list[list[str]] = []
    get = fetch._get

    def recorded(*arguments: Any) -> Any:
        # Tasks and requests run in threads: the handler's thread waits for them.
        stacks.append(our_frames(sys._current_frames()[threading.main_thread().ident or 0]))
        return get(*arguments)

    monkeypatch.setattr(fetch, "_get", recorded)
    night.write()
    AwsFunctions(night).work(Task(tenant="acme", date=DAY.isoformat()))
    *between, handler = stacks[0]
    assert handler == "lambda_trigger.worker.handler"
    assert len(between) <= MAX_FRAMES, "\n".join(between)
    assert sum(frame.startswith("daily_batch.orchestration.dispatch.") for frame in between) <= 3
