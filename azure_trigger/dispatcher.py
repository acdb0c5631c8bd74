"""Dispatcher: at 17:00 UTC, or on request, put one message on the queue for each tenant-day."""

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

# Missed nights are made up for this far back; earlier ones are for an operator to request.
MISSED = timedelta(days=7)
# The timer's clock may be behind ours.
CLOCK_SKEW = timedelta(minutes=1)


def dispatch_night(timer: func.TimerRequest) -> list[str]:
    """Return the messages of the timer's night, and of nights that the host missed.

    Raises:
        BatchError: The night must be requested again.
    """
    moment, tasks = now(), list[Task]()
    with open_log() as telemetry, sanitized_errors(telemetry):
        settings = read_settings()
        for event in find_nights(timer, moment):
            enqueue_tasks(event, settings, now=moment, send=tasks.extend, telemetry=telemetry)
    return write_messages(tasks)


def find_nights(timer: func.TimerRequest, moment: datetime) -> list[dict[str, str]]:
    """Return an event for each night that is due, the latest first.

    The host's `Next` is the moment for which it calls. It calls once for all moments that it missed.
    """
    # The type of the argument declares only `past_due`.
    status = getattr(timer, "schedule_status", None)
    try:
        due = datetime.fromisoformat(str(status.get("Next") if isinstance(status, Mapping) else None))
    except ValueError:
        return [{}]
    # When called by hand, the next moment is in the future; before the host knows one, it is in the year 1.
    if due.tzinfo is None or not moment - MISSED <= due <= moment + CLOCK_SKEW:
        return [{}]
    nights = range((moment + CLOCK_SKEW - due) // timedelta(days=1), -1, -1)
    return [{"time": (due + timedelta(days=night)).isoformat()} for night in nights]


def dispatch_request(request: func.HttpRequest) -> tuple[func.HttpResponse, list[str]]:
    """Return the HTTP response to an operator's request, and the messages to queue.

    The status is 202; or nothing is queued and it is 400 for a bad request, 503 if trying again can help, else 500.
    """
    tasks = list[Task]()
    try:
        with open_log() as telemetry, sanitized_errors(telemetry):
            queued = enqueue_tasks(
                _read_event(request.get_body()), read_settings(), now=now(), send=tasks.extend, telemetry=telemetry
            )
    except BatchError as error:
        status = 400 if isinstance(error, UsageError) else 503 if is_retryable(error) else 500
        return _answer(status, {"error": error.advice}), []
    return _answer(202, queued), write_messages(tasks)


def _read_event(body: bytes) -> Mapping[str, Any]:
    try:
        return msgspec.json.decode(body or b"{}", type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise UsageError("the body is not a JSON object", next_step=f"give {FORM}") from error


def _answer(status: int, body: Mapping[str, Any]) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(body) + "\n", status_code=status, mimetype="application/json")
