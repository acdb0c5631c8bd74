"""Worker: handle queue messages; each is one tenant-day, run in this function or submitted to EMR Serverless."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from daily_batch.errors import LeaseHeldError, UsageError
from daily_batch.orchestration.worker import handle_message
from daily_batch.telemetry import sanitize, sanitized_errors
from lambda_trigger.environment import logger, metrics, now, read_settings, telemetry

# A reported message does not count as an error of the function; an exception does.
processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: object, context: LambdaContext) -> Any:
    """Handle each message; those that fail are delivered again, and end in the dead-letter queue.

    Raises:
        BatchError: A day failed, or the event is not the queue's. A day that another run holds is only delivered again.
    """
    with sanitized_errors(telemetry):
        response = process_partial_response(
            event=_check_event(event),
            record_handler=partial(_handle, context=context),
            processor=processor,
            context=context,
        )
    for _, error, _ in processor.exceptions:
        if isinstance(error, Exception) and not isinstance(error, LeaseHeldError):
            raise sanitize(error) from None
    return response


def _check_event(event: object) -> dict[str, Any]:
    """Return the event if each of its records has an id by which its failure can be reported.

    Raises:
        UsageError: It is not an event of the queue.
    """
    records = event.get("Records") if isinstance(event, dict) else None
    if isinstance(event, dict) and isinstance(records, list) and records and all(map(_is_message, records)):
        return event
    raise UsageError("the event is not from the queue", next_step="put the task on the queue, which calls the worker")


def _is_message(record: object) -> bool:
    return isinstance(record, Mapping) and isinstance(record.get("messageId"), str)


def _handle(record: SQSRecord, context: LambdaContext) -> None:
    moment = now()
    handle_message(
        record.get("body"),
        read_settings=read_settings,
        now=moment,
        sent=_read_sent(record.get("attributes"), moment),
        # Sandboxes may be clones of one machine, so no process can find out whether another is alive.
        owner=f"{context.function_name} {context.log_stream_name}",
        seconds=context.get_remaining_time_in_millis() // 1000,
        telemetry=telemetry,
    )


def _read_sent(attributes: object, moment: datetime) -> datetime:
    """Return when the message was put on the queue; `moment` if that is not known."""
    sent = attributes.get("SentTimestamp") if isinstance(attributes, Mapping) else None
    try:
        return datetime.fromtimestamp(int(str(sent)) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return moment
