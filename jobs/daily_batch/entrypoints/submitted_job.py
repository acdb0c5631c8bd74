"""The Spark job as a submitter asks for it: it publishes under the submitter's lease, and its receipt is its answer."""

import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from daily_batch.catalog.register import register_published
from daily_batch.cli.console import show_progress
from daily_batch.cli.output import console, guarded
from daily_batch.cli.receipts import render
from daily_batch.domain.request import Request
from daily_batch.errors import UsageError
from daily_batch.ledger.factory import open_ledger
from daily_batch.orchestration.requests import build_requests
from daily_batch.orchestration.spark_jobs.base import ALLOW_SHRINK
from daily_batch.pipeline.discover.discover import open_storage
from daily_batch.pipeline.process_day import process_day
from daily_batch.pipeline.publish.publisher import DayPublisher
from daily_batch.pipeline.publish.snapshot import check_format
from daily_batch.pipeline.runners.base import Runner
from daily_batch.pipeline.runners.databricks_serverless import fit_compute
from daily_batch.settings import Settings, load_settings
from daily_batch.telemetry import JsonLines

RUN_ID = re.compile(r"[0-9A-Za-z-]{1,64}")


@dataclass(frozen=True, kw_only=True)
class LeaseOptions:
    """What the submitter holds, and its settings that no flag of the job carries, as a JSON object by name.

    Beside them it may say who allows that the day loses rows.
    """

    run_id: str
    token: int
    settings: str | None = None


def submitted_command(
    flags: Mapping[str, object],
    lease: LeaseOptions,
    *,
    spark: Callable[[], Runner],
    look: Callable[[Request, Settings], None],
    debug: bool = False,
) -> int:
    """Run one tenant-day under a token of the ledger and return the exit status; `look` first, if it is asked for.

    The job needs no access to the ledger: the token is in the Delta log before any work, so that an earlier run that
    still lives can publish nothing, and a later one keeps this job from publishing.
    """

    def run() -> int:
        if not RUN_ID.fullmatch(lease.run_id):
            raise UsageError("the run id is not allowed", next_step="give up to 64 letters, digits and -")
        given = {name: value for name, value in flags.items() if value is not None}
        told = _read_settings(lease.settings)
        allow_shrink = str(told.pop(ALLOW_SHRINK, ""))
        settings = load_settings(flags=told | given, environ=os.environ)
        settings = fit_compute(settings, os.environ)
        now, runner = datetime.now(UTC), spark()
        requests = build_requests(settings, now, allow_shrink=allow_shrink)
        if len(requests) != 1:
            raise UsageError("a submitted job is of one tenant", next_step="name one with --tenant")
        request = requests[0]
        if settings.look_first:
            look(request, settings)
        with show_progress() as open_progress:
            receipt = process_day(
                request,
                settings,
                runner,
                fence(request, settings, lease.token),
                run_id=lease.run_id,
                now=now,
                progress=open_progress(f"tenant={request.tenant} day={request.day}"),
                metadata=open_ledger(settings, request.output).store if settings.discovery == "metadata" else None,
                list_known_tenants=lambda: [request.tenant],  # the submitter has checked it
                telemetry=JsonLines(sys.stderr),
            )
        console().print(render(receipt))
        if not settings.look_first:  # such a day does not stay, nor should its names
            register_published(request, settings, receipt)
        return 0

    return guarded(run, debug=debug)


def _read_settings(text: str | None) -> dict[str, object]:
    """The submitter's settings by name.

    Raises:
        UsageError: the text is no JSON object. Names and values are checked as every setting's are.
    """
    try:
        return msgspec.json.decode(text or "{}", type=dict[str, object])
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise UsageError("--settings is no JSON object", next_step="give it as the submitter does") from error


def fence(request: Request, settings: Settings, token: int) -> DayPublisher:
    """The publisher of a job that was given this token.

    Raises:
        LeaseHeld: the tables are under a later one.
        UsageError: they are of the other format.
    """
    storage = open_storage(request, settings)
    check_format(request, storage)
    observed = DayPublisher.snapshot(request, storage)
    return observed.fenced(token, write_now=True, confirm=lambda: None)
