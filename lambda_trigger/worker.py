"""One message of the queue: one tenant-day, run in this function or submitted to EMR Serverless."""

from datetime import UTC, datetime
from functools import partial
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from daily_batch.errors import LeaseHeld
from daily_batch.night.dealing import deal
from lambda_trigger.environment import logger, metrics, now, read_settings, teller

# A message that is reported does not count among the function's errors; one that raises does.
processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> Any:
    """Deal with each message; those that fail are delivered again, and end among the dead letters.

    Raises:
        BatchError: a day failed. One that another run holds is only delivered again.
    """
    answer = process_partial_response(
        event=event, record_handler=partial(_deal, context=context), processor=processor, context=context
    )
    for _, error, _ in processor.exceptions:
        if error is not None and not isinstance(error, LeaseHeld):
            raise error
    return answer


def _deal(record: SQSRecord, context: LambdaContext) -> None:
    deal(
        record.body,
        read_settings=read_settings,
        now=now(),
        sent=datetime.fromtimestamp(int(record.attributes.sent_timestamp) / 1000, UTC),
        # Sandboxes may be copies of one machine, so their processes cannot tell whether another one lives.
        owner=f"{context.function_name} {context.log_stream_name}",
        seconds=context.get_remaining_time_in_millis() // 1000,
        teller=teller,
    )
