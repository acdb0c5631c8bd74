"""Dispatcher: at 02:00 JST, or on request, put one message on the queue for each tenant-day."""

from functools import partial
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from daily_batch.orchestration.dispatcher import enqueue_tasks
from daily_batch.telemetry import sanitized_errors
from lambda_trigger.environment import logger, metrics, now, read_settings, send_tasks, telemetry


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: object, context: LambdaContext) -> dict[str, Any]:
    """Queue the event's tenant-days; return how many, and the tenants whose names were refused.

    Raises:
        BatchError: The event is not understood, or must be sent again.
    """
    with sanitized_errors(telemetry):
        settings = read_settings()
        return enqueue_tasks(event, settings, now=now(), send=partial(send_tasks, settings), telemetry=telemetry)
