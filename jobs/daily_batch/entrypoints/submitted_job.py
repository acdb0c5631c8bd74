"""The Spark job of a submitter: it publishes under the submitter's lease, and its receipt reports the result."""

import re
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import msgspec

from daily_batch.catalog.register import register_published
from daily_batch.cli.output import print_plain, render_receipt
from daily_batch.cli.progress import show_progress
from daily_batch.domain.receipt import Receipt
from daily_batch.domain.request import Request
from daily_batch.errors import UsageError
from daily_batch.ledger.factory import open_ledger
from daily_batch.orchestration.day_run import snapshot_tables
from daily_batch.orchestration.preflight import check_job
from daily_batch.orchestration.requests import build_requests
from daily_batch.orchestration.spark_jobs.base import ALLOW_SHRINK
from daily_batch.pipeline.process_day import process_day
from daily_batch.pipeline.publish.publisher import DayPublisher
from daily_batch.pipeline.runners.base import Runner
from daily_batch.pipeline.runners.databricks_serverless import fit_compute
from daily_batch.pipeline.runners.starting import StartingRunner
from daily_batch.settings import Settings, load_settings
from daily_batch.telemetry import JsonLines

RUN_ID = re.compile(r"[0-9A-Za-z-]{1,64}")


def run_submitted_job(
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    *,
    run_id: str,
    token: int,
    spark: Callable[[], Runner],
    submitter_settings: str | None = None,
) -> Receipt:
    """Run one tenant-day under a token of the ledger, and print its receipt.

    The job needs no access to the ledger: it writes the token to the Delta log before any work, so an earlier run that
    is still alive can publish nothing, and a later run keeps this job from publishing.

    Args:
        flags: settings by name; None is a flag that was not given.
        environ: environment variables.
        run_id: of the submitter's run.
        token: of the submitter's lease.
        spark: makes the Spark runner of this process; called in the background.
        submitter_settings: a JSON object of settings that no flag of the job carries, which may also name who allows
            the day to lose rows (`SparkJob.parameters`).

    Raises:
        UsageError: a setting is wrong; nothing was read or written.
        BatchError: the day failed.
    """
    if not RUN_ID.fullmatch(run_id):
        raise UsageError("the run id is not allowed", next_step="give up to 64 letters, digits and -")
    given = {name: value for name, value in flags.items() if value is not None}
    inherited = _read_settings(submitter_settings)
    allow_shrink = str(inherited.pop(ALLOW_SHRINK, ""))
    settings = load_settings(flags=inherited | given, environ=environ)
    settings = fit_compute(settings, environ)
    now = datetime.now(UTC)
    requests = build_requests(settings, now, allow_shrink=allow_shrink)
    if len(requests) != 1:
        raise UsageError("a submitted job is of one tenant", next_step="name one with --tenant")
    request, runner = requests[0], StartingRunner(spark)
    if settings.look_first:
        check_job(request, settings)
    with show_progress() as open_progress:
        receipt = process_day(
            request,
            settings,
            runner,
            fence(request, settings, token),
            run_id=run_id,
            now=now,
            progress=open_progress(f"tenant={request.tenant} day={request.day}"),
            metadata=open_ledger(settings, request.output).store if settings.discovery == "metadata" else None,
            list_known_tenants=lambda: [request.tenant],  # the submitter has checked it
            telemetry=JsonLines(sys.stderr),
        )
    print_plain(render_receipt(receipt))
    if not settings.look_first:  # a smoke test removes its day, so no catalog may name its tables
        register_published(request, settings, receipt)
    return receipt


def _read_settings(text: str | None) -> dict[str, object]:
    """Return the submitter's settings by name. `load_settings` checks names and values.

    Raises:
        UsageError: the text is not a JSON object.
    """
    try:
        return msgspec.json.decode(text or "{}", type=dict[str, object])
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise UsageError("--settings is not a JSON object", next_step="give it as the submitter does") from error


def fence(request: Request, settings: Settings, token: int) -> DayPublisher:
    """Return the publisher of a job that holds this token.

    Raises:
        LeaseHeldError: the tables are under a later token.
        UsageError: they are of the other format.
    """
    return snapshot_tables(request, settings).fenced(token, write_now=True, confirm=lambda: None)
