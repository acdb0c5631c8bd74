"""What was submitted is settled and the night summed up, and both are told, on every cloud alike."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from functools import partial
from typing import Any

from daily_batch.assembly import make_dispatch
from daily_batch.errors import BatchError
from daily_batch.ledger import Entry
from daily_batch.ledger.opening import open_ledger
from daily_batch.night.tasks import Task
from daily_batch.night.telling import Teller
from daily_batch.night.watch import Watcher, night_requests
from daily_batch.paths import StorageUrl, parse_url
from daily_batch.settings import Settings

# A line of the log has its limits; `makoto-batch status` tells of everyone.
MOST_TOLD = 50

Send = Callable[[Sequence[Task]], None]


def tend(settings: Settings, *, now: datetime, send: Send, teller: Teller) -> dict[str, Any]:
    """Reconcile all tenants; the night's summary, as the log has it.

    Args:
        send: puts tasks on the queue.
    """
    troubles: list[BatchError] = []
    ledger = open_ledger(settings, parse_url(settings.output))
    requests = night_requests(settings, now=now, list_tenants=ledger.tenants)
    if not requests:
        teller.info("there is no tenant yet")
        return {"tenants": 0, "ended": True}
    watcher = make_watcher(settings, requests[0].output, send=send, teller=teller, troubled=troubles.append)
    summary = watcher.reconcile(requests, now=now)
    teller.count("DaysLate", summary.late)
    teller.count("TenantsInTrouble", len({error.tenant for error in troubles}))
    told = asdict(replace(summary, attention=summary.attention[:MOST_TOLD]))
    teller.info("the night", summary=told)
    return told


def make_watcher(
    settings: Settings,
    output: StorageUrl,
    *,
    send: Send,
    teller: Teller,
    troubled: Callable[[BatchError], None] = lambda error: None,
) -> Watcher:
    """A watcher that tells what it does; `troubled` hears of tenants that could not be looked after."""

    def note(error: BatchError) -> None:
        troubled(error)
        teller.error(str(error))

    return Watcher(
        settings=settings,
        dispatch=make_dispatch(settings, output),
        send=send,
        ended=partial(_tell, teller),
        trouble=note,
    )


def _tell(teller: Teller, entry: Entry, again: bool) -> None:
    facts: dict[str, Any] = {
        "tenant": entry.tenant,
        "day": entry.day.isoformat(),
        "run_id": entry.run_id,
        "job_id": entry.job_id,
    }
    if entry.is_complete:
        teller.count("DaysCompleted")
        teller.info("published", status=entry.status, messages=entry.message_count, seconds=entry.seconds, **facts)
        return
    teller.count("DaysRepeated" if again else "DaysFailed")
    teller.error(str(entry.error), again=again, **facts)
