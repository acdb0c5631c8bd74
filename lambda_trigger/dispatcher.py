"""At 02:00 JST, or when a person asks: one message on the queue for each tenant-day."""

from functools import partial
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from daily_batch.ledger.opening import open_ledger
from daily_batch.night import plan_tasks
from daily_batch.paths import parse_url
from daily_batch.settings import Settings
from lambda_trigger.environment import count, logger, metrics, now, read_settings, send_tasks


@logger.inject_lambda_context
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Queue what the event asks for (`daily_batch.night.tasks`); say how many, and which tenants' names are refused."""
    settings = read_settings()
    planned = plan_tasks(event, settings, now=now(), list_tenants=partial(_list_tenants, settings))
    for tenant in planned.refused:
        logger.error("a tenant is refused for its name", tenant=tenant)
        count("DaysRefused")
    send_tasks(settings, planned.tasks)
    logger.info("queued", tasks=len(planned.tasks), refused=len(planned.refused))
    return {"queued": len(planned.tasks), "refused": list(planned.refused)}


def _list_tenants(settings: Settings) -> list[str]:
    return open_ledger(settings, parse_url(settings.output)).tenants()
