"""A message of the queue: its tenant-day is run or submitted, and what came of it is told, on every cloud alike."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any, Literal

from daily_batch.domain.metrics import DAYS_COMPLETED, DAYS_FAILED, DAYS_SUBMITTED
from daily_batch.domain.request import Request
from daily_batch.errors import HandOverError, LeaseHeldError, describe_error, is_retryable
from daily_batch.ledger import Entry, Ledger
from daily_batch.ledger.entry import parse_timestamp
from daily_batch.orchestration.bootstrap import make_dispatch
from daily_batch.orchestration.day_metrics import log_completed, log_ended
from daily_batch.orchestration.dispatch import Answer, Dispatch
from daily_batch.orchestration.requests import build_requests
from daily_batch.orchestration.tasks import Task, read_task
from daily_batch.pipeline.runners.base import Progress
from daily_batch.settings import Settings
from daily_batch.telemetry import StepLogger, Telemetry, log_nothing, log_step, sanitize

# What is under way when the time is over must end, publish and be told before the function is killed.
RESERVE_SECONDS = 90
METRICS = {"published": DAYS_COMPLETED, "submitted": DAYS_SUBMITTED}


@dataclass(frozen=True, kw_only=True)
class TaskResult:
    """What became of a task, by the word of which ledger.

    `elsewhere` is a job at work already, `given up` a day that has failed for good.
    """

    outcome: Literal["published", "submitted", "unchanged", "elsewhere", "given up"]
    ledger: Ledger = field(repr=False)
    answer: Answer | None = None


def run_task(
    task: Task,
    settings: Settings,
    *,
    now: datetime,
    sent: datetime,
    owner: str,
    seconds: int,
    progress: Progress,
    told: StepLogger = log_nothing,
    settled: Callable[[Entry, Ledger], None] = lambda entry, ledger: None,
) -> TaskResult:
    """Run or submit the task's tenant-day; a message that is delivered again never does it twice.

    Args:
        sent: when the message was put on the queue.
        owner: who works, as a person finds the log of it.
        seconds: how long this process may be at work from now on.
        settled: hears of an earlier run's job that has ended, and by the word of which ledger.

    Raises:
        BatchError: the message must be delivered again, and in the end be looked at by a person.
    """
    deadline = time.monotonic() + seconds

    def bounded(stage: str, done: int, total: int, unit: str) -> None:
        if stage == "manifest" and time.monotonic() > deadline:
            raise HandOverError(
                f"{done:,} objects and more were listed in {seconds} s", next_step="run the day on Spark"
            )
        progress(stage, done, total, unit)

    own = replace(settings, tenants=(task.tenant,), date=task.date, time_limit_seconds=seconds)
    (request,) = build_requests(own, now, allow_shrink=task.allow_shrink or "")
    dispatch = make_dispatch(own, request.output, owner=owner, deadline=deadline, told=told)
    if _failed_for_good(dispatch, request, since=sent):
        return TaskResult(outcome="given up", ledger=dispatch.ledger)
    try:
        answer = dispatch.run(
            request,
            progress=bounded,
            if_changed=not task.force,
            ended=lambda entry, job_ended: settled(entry, dispatch.ledger),
        )
    except LeaseHeldError:
        entry = dispatch.ledger.find(request.tenant, request.day)
        if entry is None or entry.status != "SUBMITTED" or entry.job_id is None:
            raise  # a run that may die, so its day must be asked for again
        return TaskResult(outcome="elsewhere", ledger=dispatch.ledger)
    return TaskResult(outcome=answer.kind, ledger=dispatch.ledger, answer=answer)


def _failed_for_good(dispatch: Dispatch, request: Request, *, since: datetime) -> bool:
    """Whether an earlier delivery of the message has tried, and nothing can change by itself."""
    entry = dispatch.ledger.find(request.tenant, request.day)
    if entry is None or entry.status != "FAILED" or entry.retryable is not False:
        return False
    return parse_timestamp(str(entry.updated_at)) > since


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
        teller.error(describe_error(error))
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
