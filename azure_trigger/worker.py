"""Worker: handle a queue message, one tenant-day run here or submitted to Databricks; report poison messages."""

from datetime import UTC
from pathlib import Path

import azure.functions as func

from azure_trigger.environment import now, read_settings, read_timeout
from azure_trigger.log import JsonLog, open_log
from daily_batch.domain.metrics import TASKS_GIVEN_UP
from daily_batch.errors import UsageError
from daily_batch.orchestration import read_task
from daily_batch.orchestration.worker import handle_message


def handle(message: func.QueueMessage, context: func.Context, *, host: Path) -> None:
    """Handle a message. One that fails is delivered again after host.json's visibilityTimeout, and finally is poison.

    Args:
        host: Path of host.json.

    Raises:
        BatchError: The day failed, or another run holds it.
    """
    moment = now()
    sent = message.insertion_time or moment
    with open_log() as telemetry:
        handle_message(
            message.get_body().decode("utf-8", errors="replace"),
            read_settings=read_settings,
            now=moment,
            sent=sent if sent.tzinfo else sent.replace(tzinfo=UTC),
            # Instances may be clones of one machine; the invocation id leads to the log.
            owner=f"{context.function_name} {context.invocation_id}",
            seconds=read_timeout(host),
            telemetry=telemetry,
        )


def report_poison(message: func.QueueMessage) -> None:
    """Log and count a message that failed too often. It leaves the queue; its day must be requested by hand."""
    with open_log() as telemetry:
        telemetry.measure(TASKS_GIVEN_UP)
        _report_day(message, telemetry)


def _report_day(message: func.QueueMessage, telemetry: JsonLog) -> None:
    try:
        task = read_task(message.get_body().decode("utf-8", errors="replace"))
    except UsageError as error:
        telemetry.error(error.advice, message_id=message.id, bytes=len(message.get_body()))
        return
    telemetry.bind(tenant=task.tenant, day=task.date)
    telemetry.error("the day failed as often as a message is delivered", force=task.force, message_id=message.id)
