"""The environment of the three functions: log, metrics, clock, settings and queue."""

import os
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import boto3
from aws_lambda_powertools import Logger, Metrics
from botocore import exceptions as boto

from daily_batch.domain.metrics import Metric
from daily_batch.errors import RetryableError, UsageError
from daily_batch.orchestration import Task, write_task
from daily_batch.settings import Settings, load_settings
from daily_batch.storage import boto_errors
from daily_batch.telemetry import quiet_libraries

logger = Logger()
metrics = Metrics()
quiet_libraries()
# An unchanged day records no metric, which is no reason to warn.
warnings.filterwarnings("ignore", message="No application metrics to publish")
# The number of messages that SQS accepts in one request.
BATCH = 10
# Lines name the code that logged them, not the class below.
CALLER = 3


def now() -> datetime:
    """Return the current time, with its zone."""
    return datetime.now(UTC)


def read_settings() -> Settings:
    """Return the settings of the function's environment."""
    return load_settings(flags={}, environ=os.environ)


class _Telemetry:
    """Log and metrics by Powertools; bound context is cleared when the next event arrives."""

    def bind(self, **context: Any) -> None:
        logger.append_keys(**context)

    def debug(self, message: str, **facts: Any) -> None:
        logger.debug(message, stacklevel=CALLER, **facts)

    def info(self, message: str, **facts: Any) -> None:
        logger.info(message, stacklevel=CALLER, **facts)

    def error(self, message: str, **facts: Any) -> None:
        logger.error(message, stacklevel=CALLER, **facts)

    def measure(self, metric: Metric, value: float = 1) -> None:
        metrics.add_metric(name=metric.name, unit=metric.unit, value=value)


telemetry = _Telemetry()


def send_tasks(settings: Settings, tasks: Sequence[Task]) -> None:
    """Put tasks on the queue.

    Raises:
        UsageError: No queue is set.
        RetryableError: Some tasks were not queued. Those that were may be delivered twice, which does no harm.
    """
    if not settings.queue_url:
        raise UsageError("no queue is named", next_step="set MAKOTO_QUEUE_URL")
    client = boto3.client("sqs")
    for start in range(0, len(tasks), BATCH):
        entries = [
            {"Id": str(number), "MessageBody": write_task(task)}
            for number, task in enumerate(tasks[start : start + BATCH])
        ]
        _send(client, settings.queue_url, entries)


def _send(client: Any, queue_url: str, entries: list[dict[str, str]]) -> None:
    try:
        response = client.send_message_batch(QueueUrl=queue_url, Entries=entries)
    except (boto.BotoCoreError, boto.ClientError) as error:
        known = boto_errors.explain(error)
        why, step = (known.what, known.next_step) if known else (type(error).__name__, "try again")
        raise RetryableError(f"the queue does not accept tasks ({why})", next_step=step) from error
    if failed := response.get("Failed"):
        raise RetryableError(f"the queue refused {len(failed)} of {len(entries)} tasks", next_step="try again")
