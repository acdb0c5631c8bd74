"""A message of the queue: its tenant-day is run or submitted, and what came of it is told, on every cloud alike."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from daily_batch.errors import LeaseHeldError, advise, is_retryable
from daily_batch.ledger import Entry, Ledger
from daily_batch.orchestration.day_metrics import log_completed, log_ended
from daily_batch.orchestration.sanitize import Telemetry, log_step, sanitize
from daily_batch.orchestration.tasks import read_task
from daily_batch.orchestration.worker import TaskResult, run_task
from daily_batch.settings import Settings
from daily_batch.telemetry_metrics import DAYS_COMPLETED, DAYS_FAILED, DAYS_SUBMITTED

# What is under way when the time is over must end, publish and be told before the function is killed.
RESERVE_SECONDS = 90
METRICS = {"published": DAYS_COMPLETED, "submitted": DAYS_SUBMITTED}


def handle_message(
    text: object,
    *,
    read_settings: Callable[[], Settings],
    now: datetime,
    sent: datetime,
    owner: str,
    seconds: int,
    teller: Telemetry,
) -> None:
    """Deal with a message.

    Args:
        text: the message, whatever it is.
        sent: when it was put on the queue.
        owner: who works, as a person finds the log of it.
        seconds: until this function is killed.

    Raises:
        LeaseHeld: another run holds the day, and may die: the message must come again.
        BatchError: the day failed: the message must come again, and in the end be looked at by a person.
    """
    try:
        task = read_task(text)
        teller.about(tenant=task.tenant, day=task.date)
        settings = read_settings()

        def settled(entry: Entry, ledger: Ledger) -> None:
            log_ended(entry, again=True, ledger=ledger, settings=settings, teller=teller)

        limit = min(filter(None, (settings.time_limit_seconds, max(seconds - RESERVE_SECONDS, 1))))
        worked = run_task(
            task,
            settings,
            now=now,
            sent=sent,
            owner=owner,
            seconds=limit,
            progress=lambda *at: _report(teller, *at),
            told=partial(log_step, teller),
            settled=settled,
        )
    except LeaseHeldError as error:
        teller.info(error.advice)
        raise error from None
    except Exception as error:
        teller.error(advise(error))
        if not is_retryable(error):
            teller.measure(DAYS_FAILED)
        raise sanitize(error) from None  # what caused it may quote what was read
    _tell(worked, teller)
    if worked.answer and (receipt := worked.answer.receipt):
        log_completed(receipt, ledger=worked.ledger, settings=settings, teller=teller)


def _tell(worked: TaskResult, teller: Telemetry) -> None:
    if metric := METRICS.get(worked.outcome):
        teller.measure(metric)
    answer = worked.answer
    facts: dict[str, Any] = {}
    if answer:
        facts = {"run_id": answer.run_id, "job_id": answer.job_id, "reason": answer.reason}
    teller.info(worked.outcome, **facts)


def _report(teller: Telemetry, stage: str, done: int, total: int, unit: str) -> None:
    teller.debug(stage, done=done, total=total, unit=unit)
