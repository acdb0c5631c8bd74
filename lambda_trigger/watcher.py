"""When a job ends, and every quarter of an hour: settle what was submitted, and say how the night stands."""

from dataclasses import replace
from functools import partial
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from daily_batch.night.tending import make_watcher, tend
from daily_batch.request import build_requests
from daily_batch.settings import Settings
from daily_batch.submit.emr_serverless import open_emr_serverless
from lambda_trigger.environment import logger, metrics, now, read_settings, send_tasks, teller

JOB_ENDED = "EMR Serverless Job Run State Change"


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Follow one job's event, or reconcile all tenants and return the night's summary."""
    settings = read_settings()
    if event.get("detail-type") == JOB_ENDED:
        return _follow(settings, str(event["detail"]["jobRunId"]))
    return tend(settings, now=now(), send=partial(send_tasks, settings), teller=teller)


def _follow(settings: Settings, job_id: str) -> dict[str, Any]:
    tags = open_emr_serverless(settings).identify(job_id)
    if tags is None:
        teller.info("a job run of others", job_id=job_id)
        return {"settled": 0}
    teller.about(tenant=tags.tenant, day=tags.date, run_id=tags.run_id)
    (request,) = build_requests(replace(settings, tenants=(tags.tenant,), date=tags.date), now())
    watcher = make_watcher(settings, request.output, send=partial(send_tasks, settings), teller=teller)
    return {"settled": int(watcher.follow(request) is not None)}
