"""One message of the queue: one tenant-day, run in this function or submitted to EMR Serverless."""

import shutil
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from daily_batch.errors import BatchError, LeaseHeld, Retryable, advise, is_retryable
from daily_batch.night import Task, read_task
from daily_batch.night.work import Worked, work
from lambda_trigger.environment import count, logger, metrics, now, read_settings

# What is under way when the time is over must end, publish and be told before the function is killed.
RESERVE_SECONDS = 90
METRICS = {"published": "DaysCompleted", "submitted": "DaysSubmitted"}

# A message that is reported does not count among the function's errors; one that raises does.
processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> Any:
    """Deal with each message; those that fail are delivered again, and end among the dead letters.

    Raises:
        BatchError: a day failed. One that another run holds is only delivered again.
    """
    _tidy()
    deal = partial(_deal, context=context)
    answer = process_partial_response(event=event, record_handler=deal, processor=processor, context=context)
    for _, error, _ in processor.exceptions:
        if error is not None and not isinstance(error, LeaseHeld):
            raise error
    return answer


@cache
def _tidy() -> None:
    """Remove, once, what a killed run left: the temporary folder outlives it, and may hold another's messages."""
    for left in Path(gettempdir()).glob("makoto-*"):
        shutil.rmtree(left, ignore_errors=True)


def _deal(record: SQSRecord, context: LambdaContext) -> None:
    try:
        task = read_task(record.body)
        logger.append_keys(tenant=task.tenant, day=task.date)
        worked = _work(task, record, context)
    except LeaseHeld as error:
        logger.info(error.advice)
        raise
    except Exception as error:
        logger.error(advise(error))
        if not is_retryable(error):
            count("DaysFailed")
        if isinstance(error, BatchError):
            raise
        raise Retryable(advise(error), next_step="look at the log") from None  # its own text may quote what was read
    _tell(worked)


def _work(task: Task, record: SQSRecord, context: LambdaContext) -> Worked:
    settings = read_settings()
    seconds = context.get_remaining_time_in_millis() // 1000 - RESERVE_SECONDS
    limit = min(filter(None, (settings.time_limit_seconds, max(seconds, 1))))
    sent = datetime.fromtimestamp(int(record.attributes.sent_timestamp) / 1000, UTC)
    return work(
        task,
        settings,
        now=now(),
        sent=sent,
        # Sandboxes may be copies of one machine, so their processes cannot tell whether another one lives.
        owner=f"{context.function_name} {context.log_stream_name}",
        seconds=limit,
        progress=_report,
    )


def _tell(worked: Worked) -> None:
    if metric := METRICS.get(worked.outcome):
        count(metric)
    answer = worked.answer
    facts: dict[str, Any] = {}
    if answer:
        facts = {"run_id": answer.run_id, "job_id": answer.job_id, "reason": answer.reason}
    if answer and (receipt := answer.receipt):
        facts |= {"status": receipt.status, "records": asdict(receipt.records), "seconds": receipt.seconds}
    logger.info(worked.outcome, **facts)


def _report(stage: str, done: int, total: int, unit: str) -> None:
    logger.debug(stage, done=done, total=total, unit=unit)
