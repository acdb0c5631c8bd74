"""When a job ends, and every quarter of an hour: settle what was submitted, and say how the night stands."""

from dataclasses import asdict, replace
from functools import partial
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from daily_batch.assembly import make_dispatch
from daily_batch.errors import BatchError
from daily_batch.ledger import Entry
from daily_batch.ledger.opening import open_ledger
from daily_batch.night.watch import Watcher, night_requests
from daily_batch.paths import StorageUrl, parse_url
from daily_batch.request import build_requests
from daily_batch.settings import Settings
from daily_batch.submit.emr_serverless import open_emr_serverless
from lambda_trigger.environment import count, logger, metrics, now, read_settings, send_tasks

MOST_TOLD = 50
JOB_ENDED = "EMR Serverless Job Run State Change"


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Follow one job's event, or reconcile all tenants and return the night's summary."""
    settings = read_settings()
    if event.get("detail-type") == JOB_ENDED:
        return _follow(settings, str(event["detail"]["jobRunId"]))
    return _reconcile(settings)


def _follow(settings: Settings, job_id: str) -> dict[str, Any]:
    tags = open_emr_serverless(settings).identify(job_id)
    if tags is None:
        logger.info("a job run of others", job_id=job_id)
        return {"settled": 0}
    logger.append_keys(tenant=tags.tenant, day=tags.date, run_id=tags.run_id)
    (request,) = build_requests(replace(settings, tenants=(tags.tenant,), date=tags.date), now())
    entry = _watcher(settings, request.output, []).follow(request)
    return {"settled": int(entry is not None)}


def _reconcile(settings: Settings) -> dict[str, Any]:
    troubles: list[BatchError] = []
    ledger = open_ledger(settings, parse_url(settings.output))
    requests = night_requests(settings, now=now(), list_tenants=ledger.tenants)
    if not requests:
        logger.info("there is no tenant yet")
        return {"tenants": 0, "ended": True}
    summary = _watcher(settings, requests[0].output, troubles).reconcile(requests, now=now())
    count("DaysLate", summary.late)
    count("TenantsInTrouble", len({error.tenant for error in troubles}))
    # A line of the log has its limits; `makoto-batch status` tells of everyone.
    told = asdict(replace(summary, attention=summary.attention[:MOST_TOLD]))
    logger.info("the night", summary=told)
    return told


def _watcher(settings: Settings, output: StorageUrl, troubles: list[BatchError]) -> Watcher:
    def note(error: BatchError) -> None:
        troubles.append(error)
        logger.error(str(error))

    return Watcher(
        settings=settings,
        dispatch=make_dispatch(settings, output),
        send=partial(send_tasks, settings),
        ended=_tell,
        trouble=note,
    )


def _tell(entry: Entry, again: bool) -> None:
    facts: dict[str, Any] = {
        "tenant": entry.tenant,
        "day": entry.day.isoformat(),
        "run_id": entry.run_id,
        "job_id": entry.job_id,
    }
    if entry.is_complete:
        count("DaysCompleted")
        logger.info("published", status=entry.status, messages=entry.message_count, seconds=entry.seconds, **facts)
        return
    count("DaysRepeated" if again else "DaysFailed")
    logger.error(entry.error, again=again, **facts)
