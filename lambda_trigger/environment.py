"""What the three functions find around them: log, metrics, clock, settings, and the queue.

A log line names tenant, day and run, and never holds message content. Metrics have no tenant: each would cost extra.
"""

import os
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import boto3  # type: ignore[import-untyped]  # it carries no types, nor does botocore
from aws_lambda_powertools import Logger, Metrics
from botocore import exceptions as boto  # type: ignore[import-untyped]

from daily_batch.domain.metrics import Metric
from daily_batch.errors import RetryableError, UsageError
from daily_batch.orchestration import Task, write_task
from daily_batch.settings import Settings, load_settings
from daily_batch.storage.access import explain_access
from daily_batch.telemetry import quiet_libraries

logger = Logger()
metrics = Metrics()
# A day that did not change is no news, and no metric.
quiet_libraries()
warnings.filterwarnings("ignore", message="No application metrics to publish")
# What SQS takes at once.
BATCH = 10
# Lines name the place that told them, and not the teller below.
CALLER = 3


def now() -> datetime:
    """The time, with its zone."""
    return datetime.now(UTC)


def read_settings() -> Settings:
    """The settings of the function's environment."""
    return load_settings(flags={}, environ=os.environ)


class _Teller:
    """Powertools' log and metrics; what every line names is forgotten when the next event comes."""

    def about(self, **facts: Any) -> None:
        logger.append_keys(**facts)

    def debug(self, message: str, **facts: Any) -> None:
        logger.debug(message, stacklevel=CALLER, **facts)

    def info(self, message: str, **facts: Any) -> None:
        logger.info(message, stacklevel=CALLER, **facts)

    def error(self, message: str, **facts: Any) -> None:
        logger.error(message, stacklevel=CALLER, **facts)

    def measure(self, metric: Metric, value: float = 1) -> None:
        metrics.add_metric(name=metric.name, unit=metric.unit, value=value)


teller = _Teller()


def send_tasks(settings: Settings, tasks: Sequence[Task]) -> None:
    """Put tasks on the queue.

    Raises:
        UsageError: no queue is set.
        Retryable: some are not on it; those that are may come twice, which does no harm.
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
        answer = client.send_message_batch(QueueUrl=queue_url, Entries=entries)
    except (boto.BotoCoreError, boto.ClientError) as error:
        known = explain_access(error)
        why, step = (known.what, known.next_step) if known else (type(error).__name__, "try again")
        raise RetryableError(f"the queue does not take tasks ({why})", next_step=step) from error
    if failed := answer.get("Failed"):
        raise RetryableError(f"the queue refused {len(failed)} of {len(entries)} tasks", next_step="try again")
