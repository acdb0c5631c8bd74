"""The Spark job as a submitter asks for it: it publishes under the submitter's lease, and its receipt is its answer."""

import os
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from daily_batch.assembly import open_ledger
from daily_batch.batch import run_day
from daily_batch.commands.answers import console, guarded
from daily_batch.commands.receipts import render
from daily_batch.console import show_progress
from daily_batch.errors import Misuse
from daily_batch.publish.day import DayPublisher
from daily_batch.request import Request, build_requests
from daily_batch.runners.outcome import Runner
from daily_batch.settings import Settings, load_settings
from daily_batch.survey import open_storage

RUN_ID = re.compile(r"[0-9A-Za-z-]{1,64}")


def submitted_command(
    flags: Mapping[str, object], *, run_id: str, token: int, spark: Callable[[], Runner], debug: bool = False
) -> int:
    """Run one tenant-day under a token of the ledger and return the exit status.

    The job needs no access to the ledger: the token is in the Delta log before any work, so that an earlier run that
    still lives can publish nothing, and a later one keeps this job from publishing.
    """

    def run() -> int:
        if not RUN_ID.fullmatch(run_id):
            raise Misuse("the run id is not allowed", next_step="give up to 64 letters, digits and -")
        settings = load_settings(flags=flags, environ=os.environ)
        now, runner = datetime.now(UTC), spark()
        requests = build_requests(settings, now)
        if len(requests) != 1:
            raise Misuse("a submitted job is of one tenant", next_step="name one with --tenant")
        with show_progress() as open_progress:
            request = requests[0]
            receipt = run_day(
                request,
                settings,
                lambda manifest: runner,
                run_id=run_id,
                now=now,
                progress=open_progress(f"tenant={request.tenant} day={request.day}"),
                publisher=fence(request, settings, token),
                metadata=open_ledger(settings, request.output).store if settings.discovery == "metadata" else None,
            )
        console().print(render(receipt))
        return 0

    return guarded(run, debug=debug)


def fence(request: Request, settings: Settings, token: int) -> DayPublisher:
    """The publisher of a job that was given this token.

    Raises:
        LeaseHeld: the tables are under a later one.
    """
    observed = DayPublisher.observe(request, open_storage(request, settings))
    return observed.fenced(token, at_once=True, confirm=lambda: None)
