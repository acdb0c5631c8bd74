"""Limit the call depth: our frames between the Lambda handler and the first GET of a message object."""

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
OUR_FOLDERS = (str(ROOT / "jobs/daily_batch"), str(ROOT / "lambda_trigger"))


def list_our_frames(frame: FrameType | None) -> list[str]:
    """Return our functions on a stack, innermost first."""
    names = []
    while frame is not None:
        if frame.f_code.co_filename.startswith(OUR_FOLDERS):
            names.append(f"{frame.f_globals['__name__']}.{frame.f_code.co_qualname}")
        frame = frame.f_back
    return names


def test_few_frames_lie_between_the_handler_and_the_first_get(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    stacks: list[list[str]] = []
    get = fetch._get

    def get_and_record(*arguments: Any) -> Any:
        # Requests run in threads while the handler's thread waits for them.
        stacks.append(list_our_frames(sys._current_frames()[threading.main_thread().ident or 0]))
        return get(*arguments)

    monkeypatch.setattr(fetch, "_get", get_and_record)
    night.write_export()
    AwsFunctions(night).deliver(Task(tenant="acme", date=DAY.isoformat()))
    *inner, handler = stacks[0]
    assert handler == "lambda_trigger.worker.handler"
    assert len(inner) <= MAX_FRAMES, "\n".join(inner)
    assert sum(frame.startswith("daily_batch.orchestration.dispatch.") for frame in inner) <= 3
