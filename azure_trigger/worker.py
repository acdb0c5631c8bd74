"""One message of the queue: one tenant-day, run in this function or submitted to Databricks; and those given up."""

from datetime import UTC
from pathlib import Path

import azure.functions as func

from azure_trigger.environment import now, read_settings, read_timeout
from azure_trigger.log import JsonLog, open_log
from daily_batch.domain.metrics import TASKS_GIVEN_UP
from daily_batch.errors import UsageError
from daily_batch.orchestration import read_task
from daily_batch.orchestration.worker import handle_message


def deal_with(message: func.QueueMessage, context: func.Context, *, host: Path) -> None:
    """Deal with a message. One that fails comes again after host.json's visibilityTimeout, and in the end is poison.

    Args:
        host: host.json.

    Raises:
        BatchError: the day failed, or another run holds it.
    """
    moment = now()
    sent = message.insertion_time or moment
    with open_log() as telemetry:
        handle_message(
            message.get_body().decode("utf-8", errors="replace"),
            read_settings=read_settings,
            now=moment,
            sent=sent if sent.tzinfo else sent.replace(tzinfo=UTC),
            # Instances may be copies of one machine; by the invocation's id its log is found.
            owner=f"{context.function_name} {context.invocation_id}",
            seconds=read_timeout(host),
            telemetry=telemetry,
        )


def tell_poison(message: func.QueueMessage) -> None:
    """Tell of a message that failed too often, and count it. It leaves the queue: its day is asked for by hand."""
    with open_log() as telemetry:
        telemetry.measure(TASKS_GIVEN_UP)
        _tell_whose(message, telemetry)


def _tell_whose(message: func.QueueMessage, telemetry: JsonLog) -> None:
    try:
        task = read_task(message.get_body().decode("utf-8", errors="replace"))
    except UsageError as error:
        telemetry.error(error.advice, message_id=message.id, bytes=len(message.get_body()))
        return
    telemetry.bind(tenant=task.tenant, day=task.date)
    telemetry.error("the day failed as often as a message is delivered", force=task.force, message_id=message.id)
