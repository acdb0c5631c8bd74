"""What was submitted is settled and the night summed up, and both are told, on every cloud alike."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from daily_batch import telemetry_metrics
from daily_batch.domain.keys import StorageUrl, parse_url
from daily_batch.errors import BatchError
from daily_batch.ledger import Entry
from daily_batch.ledger.factory import open_ledger
from daily_batch.orchestration.bootstrap import make_dispatch
from daily_batch.orchestration.day_metrics import log_ended, name_day
from daily_batch.orchestration.sanitize import Telemetry, log_step
from daily_batch.orchestration.tasks import Task
from daily_batch.orchestration.watcher import Watcher, night_requests
from daily_batch.settings import Settings

# A line of the log has its limits; `makoto-batch status` tells of everyone.
MOST_TOLD = 50

Send = Callable[[Sequence[Task]], None]


def reconcile_night(settings: Settings, *, now: datetime, send: Send, teller: Telemetry) -> dict[str, Any]:
    """Reconcile all tenants; the night's summary, as the log has it.

    Args:
        send: puts tasks on the queue.
    """
    troubles: list[BatchError] = []
    drifted: list[Entry] = []
    ledger = open_ledger(settings, parse_url(settings.output))
    requests = night_requests(settings, now=now, list_tenants=ledger.tenants)
    if not requests:
        teller.info("there is no tenant yet")
        return {"tenants": 0, "ended": True}
    watcher = make_watcher(
        settings, requests[0].output, send=send, teller=teller, troubled=troubles.append, drifted=drifted.append
    )
    summary = watcher.reconcile(requests, now=now)
    teller.measure(telemetry_metrics.DAYS_LATE, summary.late)
    teller.measure(telemetry_metrics.DAYS_DRIFTED, len(drifted))
    teller.measure(telemetry_metrics.TENANTS_IN_TROUBLE, len({error.tenant for error in troubles}))
    told = asdict(replace(summary, attention=summary.attention[:MOST_TOLD]))
    teller.info("the night", summary=told)
    return told


def make_watcher(
    settings: Settings,
    output: StorageUrl,
    *,
    send: Send,
    teller: Telemetry,
    troubled: Callable[[BatchError], None] = lambda error: None,
    drifted: Callable[[Entry], None] = lambda entry: None,
) -> Watcher:
    """A watcher that tells what it does.

    `troubled` hears of tenants that could not be looked after, `drifted` of days whose job's end no event told.
    """

    def note(error: BatchError) -> None:
        troubled(error)
        teller.error(str(error))

    def miss(entry: Entry, late: timedelta) -> None:
        drifted(entry)
        teller.error("no event told of the job's end", late_seconds=round(late.total_seconds()), **name_day(entry))

    dispatch = make_dispatch(settings, output, told=partial(log_step, teller))
    return Watcher(
        settings=settings,
        dispatch=dispatch,
        send=send,
        ended=lambda entry, again: log_ended(
            entry, again=again, ledger=dispatch.ledger, settings=settings, teller=teller
        ),
        trouble=note,
        drifted=miss,
    )
