"""Watcher: when a job ends, and every quarter of an hour, settle submitted days and summarize the night."""

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from aws_lambda_powertools.utilities.parameters import GetParameterError, SecretsProvider
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore import exceptions as boto
from botocore.config import Config

from daily_batch.errors import RetryableError, UsageError
from daily_batch.orchestration.requests import build_requests
from daily_batch.orchestration.spark_jobs.emr_serverless import open_emr_serverless
from daily_batch.orchestration.watcher import reconcile, settle_event
from daily_batch.settings import Settings
from daily_batch.storage import boto_errors
from daily_batch.telemetry import sanitized_errors
from lambda_trigger.environment import logger, metrics, now, read_settings, send_tasks, telemetry

JOB_ENDED = "EMR Serverless Job Run State Change"
JOB_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
# A service that hangs must not use up the watcher's time.
SECRETS = Config(connect_timeout=2, read_timeout=4, retries={"mode": "standard", "total_max_attempts": 3})


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: object, context: LambdaContext) -> dict[str, Any]:
    """Settle the day of a job's event, or reconcile all tenants and return the night's summary.

    Raises:
        BatchError: The event is not understood, or no tenant could be reconciled; the next call may succeed.
    """
    with sanitized_errors(telemetry):
        job_id = _read_job(event)
        settings = read_settings()
        if job_id is not None:
            return _settle(settings, job_id)
        return reconcile(
            settings,
            now=now(),
            send=partial(send_tasks, settings),
            telemetry=telemetry,
            read_secret=read_secret,
        )


def read_secret(arn: str) -> str:
    """Return the value of a secret, as it is now.

    Raises:
        RetryableError: It cannot be read.
    """
    try:
        return str(SecretsProvider(boto_config=SECRETS).get(arn))
    except (GetParameterError, boto.BotoCoreError) as error:
        # Powertools' error quotes the service's text, which names the account; its context is the service's error.
        code = boto_errors.error_code(error.__context__ or error)
        raise RetryableError(
            f"the secret of the webhook's URL cannot be read ({code})",
            next_step="check NotifySecretArn and the watcher's right to read it (docs/notifications.md)",
        ) from None


def _read_job(event: object) -> str | None:
    """Return the job run id of a job's event; None for a schedule's event.

    Raises:
        UsageError: It is neither.
    """
    if not isinstance(event, Mapping):
        raise UsageError("the watcher's event is not a JSON object", next_step="invoke it by its schedule or rule")
    if event.get("detail-type") != JOB_ENDED:
        return None
    detail = event.get("detail")
    job_id = detail.get("jobRunId") if isinstance(detail, Mapping) else None
    if not isinstance(job_id, str) or not JOB_ID.fullmatch(job_id):
        raise UsageError(
            "a job's event names no job run", next_step="wait for the next reconciliation, which needs no event"
        )
    return job_id


def _settle(settings: Settings, job_id: str) -> dict[str, Any]:
    tags = open_emr_serverless(settings).identify(job_id)
    if tags is None:
        telemetry.info("the job run is not of this product", job_id=job_id)
        return {"settled": 0}
    telemetry.bind(tenant=tags.tenant, day=tags.date, run_id=tags.run_id)
    (request,) = build_requests(replace(settings, tenants=(tags.tenant,), date=tags.date), now())
    settled = settle_event(request, settings, send=partial(send_tasks, settings), telemetry=telemetry)
    return {"settled": int(settled)}
