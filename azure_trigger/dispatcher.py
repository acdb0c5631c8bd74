"""At 17:00 UTC, or when a person asks: one message on the queue for each tenant-day."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import azure.functions as func
import msgspec

from azure_trigger.environment import now, read_settings, write_messages
from azure_trigger.log import open_log
from daily_batch.errors import BatchError, UsageError, is_retryable
from daily_batch.orchestration import Task
from daily_batch.orchestration.dispatcher import enqueue_tasks
from daily_batch.orchestration.tasks import FORM
from daily_batch.telemetry import sanitized_errors

# Nights that were missed are asked for so far back; earlier ones are a person's to ask for.
MISSED = timedelta(days=7)
# A timer's clock may be behind ours.
EARLY = timedelta(minutes=1)


def ask_at_night(timer: func.TimerRequest) -> list[str]:
    """The messages of the night that the timer means, and of those that it could not call for.

    Raises:
        BatchError: the night must be asked for again.
    """
    moment, tasks = now(), list[Task]()
    with open_log() as telemetry, sanitized_errors(telemetry):
        settings = read_settings()
        for event in find_nights(timer, moment):
            enqueue_tasks(event, settings, now=moment, send=tasks.extend, telemetry=telemetry)
    return write_messages(tasks)


def find_nights(timer: func.TimerRequest, moment: datetime) -> list[dict[str, str]]:
    """An event for each night that is due, the last one first.

    The host's `Next` is the moment for which it calls. It calls once for all that it missed.
    """
    # The interface that functions are given names past_due alone.
    status = getattr(timer, "schedule_status", None)
    try:
        due = datetime.fromisoformat(str(status.get("Next") if isinstance(status, Mapping) else None))
    except ValueError:
        return [{}]
    # Called by hand, the next moment is still to come; and before the host knows one it is in the year 1.
    if due.tzinfo is None or not moment - MISSED <= due <= moment + EARLY:
        return [{}]
    nights = range((moment + EARLY - due) // timedelta(days=1), -1, -1)
    return [{"time": (due + timedelta(days=night)).isoformat()} for night in nights]


def ask_for_person(request: func.HttpRequest) -> tuple[func.HttpResponse, list[str]]:
    """The answer to a person, and the messages.

    It is 202, or nothing is queued: 400 for what was asked, 503 where trying again can help, else 500.
    """
    tasks = list[Task]()
    try:
        with open_log() as telemetry, sanitized_errors(telemetry):
            told = enqueue_tasks(
                _read_event(request.get_body()), read_settings(), now=now(), send=tasks.extend, telemetry=telemetry
            )
    except BatchError as error:
        status = 400 if isinstance(error, UsageError) else 503 if is_retryable(error) else 500
        return _answer(status, {"error": error.advice}), []
    return _answer(202, told), write_messages(tasks)


def _read_event(body: bytes) -> Mapping[str, Any]:
    try:
        return msgspec.json.decode(body or b"{}", type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise UsageError("the body is no JSON object", next_step=f"give {FORM}") from error


def _answer(status: int, told: Mapping[str, Any]) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(told) + "\n", status_code=status, mimetype="application/json")
