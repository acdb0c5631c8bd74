"""Worker: handle one message of the queue, which is one tenant-day, however often it is delivered."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from daily_batch.catalog.register import register_published
from daily_batch.domain.metrics import DAYS_COMPLETED, DAYS_FAILED, DAYS_SUBMITTED
from daily_batch.domain.request import Request
from daily_batch.errors import HandOverError, LeaseHeldError, describe_error, is_retryable
from daily_batch.ledger import Entry
from daily_batch.ledger.entry import parse_timestamp
from daily_batch.orchestration.bootstrap import make_dispatch
from daily_batch.orchestration.day_metrics import record_completion, record_end
from daily_batch.orchestration.day_run import DayResult
from daily_batch.orchestration.dispatch import Dispatch
from daily_batch.orchestration.requests import build_requests
from daily_batch.orchestration.tasks import Task, read_task
from daily_batch.pipeline.runners.base import Progress
from daily_batch.settings import Settings
from daily_batch.telemetry import Telemetry, sanitize

# Work under way when the time is up must end, publish and be logged before the function is killed.
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
    telemetry: Telemetry,
) -> None:
    """Run or submit the tenant-day of a message; a message that is delivered again never does so twice.

    Args:
        text: The message, as the queue delivers it; it may be anything.
        sent: When the message was put on the queue.
        owner: Names this invocation in the lease, such that its log can be found.
        seconds: Until this function is killed.

    Raises:
        LeaseHeldError: Another run holds the day and may die: the message must be delivered again.
        BatchError: The day failed: the message must be delivered again, and end in the dead-letter queue.
    """
    try:
        task = read_task(text)
        telemetry.bind(tenant=task.tenant, day=task.date)
        settings = read_settings()
        limit = min(filter(None, (settings.time_limit_seconds, max(seconds - RESERVE_SECONDS, 1))))
        own = replace(settings, tenants=(task.tenant,), date=task.date, time_limit_seconds=limit)
        (request,) = build_requests(own, now, allow_shrink=task.allow_shrink or "")
        deadline = time.monotonic() + limit
        dispatch = make_dispatch(own, request.output, owner=owner, deadline=deadline, telemetry=telemetry)
        entry = dispatch.ledger.find(request.tenant, request.day)
        if _failed_for_good(entry, since=sent):
            telemetry.info("given up")
            return
        known = _settle_earlier_job(dispatch, request, entry, settings, telemetry)
        progress = _bound_listing(telemetry, deadline=deadline, seconds=limit)
        result = _run(dispatch, request, task, known, progress)
    except LeaseHeldError as error:
        telemetry.info(error.advice)
        raise error from None
    except Exception as error:
        telemetry.error(describe_error(error))
        if not is_retryable(error):
            telemetry.measure(DAYS_FAILED)
        raise sanitize(error) from None  # the cause may quote what was read
    if result is None:
        telemetry.info("elsewhere")  # a job of the day is running
        return
    _record(result, telemetry)
    if result.receipt:
        record_completion(result.receipt, ledger=dispatch.ledger, settings=settings, telemetry=telemetry)
        register_published(request, settings, result.receipt, warn=telemetry.error)


def _failed_for_good(entry: Entry | None, *, since: datetime) -> bool:
    """Return whether an earlier delivery of the message has failed such that another attempt cannot help."""
    if entry is None or entry.status != "FAILED" or entry.retryable is not False:
        return False
    return parse_timestamp(str(entry.updated_at)) > since


def _settle_earlier_job(
    dispatch: Dispatch, request: Request, entry: Entry | None, settings: Settings, telemetry: Telemetry
) -> Entry | None:
    """Return the day's entry, once an earlier run's job that has ended is completed or failed in it."""
    found = dispatch.reconcile(request, entry) if entry else None
    if found is None:
        return None
    if found.has_ended:
        record_end(found, again=True, ledger=dispatch.ledger, settings=settings, telemetry=telemetry)
    return found.entry


def _run(dispatch: Dispatch, request: Request, task: Task, known: Entry | None, progress: Progress) -> DayResult | None:
    """Run or submit the day; return None if a job of it is already running."""
    try:
        return dispatch.run(request, progress=progress, known=known, if_changed=not task.force)
    except LeaseHeldError:
        entry = dispatch.ledger.find(request.tenant, request.day)
        if entry is None or entry.status != "SUBMITTED" or entry.job_id is None:
            raise  # that run may die, so the message must come again
        return None


def _bound_listing(telemetry: Telemetry, *, deadline: float, seconds: int) -> Progress:
    """Return progress that logs details, and hands the day over if its listing takes too long."""

    def report(stage: str, done: int, total: int, unit: str) -> None:
        if stage == "manifest" and time.monotonic() > deadline:
            raise HandOverError(
                f"{done:,} objects and more were listed in {seconds} s", next_step="run the day on Spark"
            )
        telemetry.debug(stage, done=done, total=total, unit=unit)

    return report


def _record(result: DayResult, telemetry: Telemetry) -> None:
    if metric := METRICS.get(result.kind):
        telemetry.measure(metric)
    facts: dict[str, Any] = {"run_id": result.run_id, "job_id": result.job_id, "reason": result.reason}
    telemetry.info(result.kind, **facts)
