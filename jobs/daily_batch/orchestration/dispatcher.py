"""Dispatcher: put one message on the queue for each tenant-day of an event, on either cloud."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from daily_batch.domain.metrics import DAYS_REFUSED
from daily_batch.domain.url import parse_url
from daily_batch.ledger.factory import open_ledger
from daily_batch.orchestration.tasks import Task, plan_tasks
from daily_batch.settings import Settings
from daily_batch.telemetry import Telemetry


def enqueue_tasks(
    event: object,
    settings: Settings,
    *,
    now: datetime,
    send: Callable[[Sequence[Task]], None],
    telemetry: Telemetry,
) -> dict[str, Any]:
    """Put one task for each tenant-day of the event on the queue.

    Return how many were queued, and the tenants whose names were refused.

    Args:
        send: Puts tasks on the queue.
    """
    planned = plan_tasks(event, settings, now=now, list_tenants=partial(_list_tenants, settings))
    for tenant in planned.refused:
        telemetry.error("a tenant is refused for its name", tenant=tenant)
        telemetry.measure(DAYS_REFUSED)
    send(planned.tasks)
    telemetry.info("queued", tasks=len(planned.tasks), refused=len(planned.refused))
    return {"queued": len(planned.tasks), "refused": list(planned.refused)}


def _list_tenants(settings: Settings) -> list[str]:
    return open_ledger(settings, parse_url(settings.output)).tenants()
