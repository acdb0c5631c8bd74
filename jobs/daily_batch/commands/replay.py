"""`makoto-batch replay`: what the current rules make of a day's rejects, and the day again if that is better.

What is published is never patched: the whole day runs again from its objects, so that every sum holds and duplicates
are found, and only if those objects are still the ones that gave the rejects.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime

from daily_batch.cli.console import show_progress
from daily_batch.cli.output import console, guarded, print_json, print_rows
from daily_batch.cli.receipts import render
from daily_batch.cli.tenants import choose_tenants
from daily_batch.commands.run import wait_for_receipt
from daily_batch.domain.receipt import Receipt, to_dict
from daily_batch.domain.request import Request
from daily_batch.errors import TerminalError, error_context
from daily_batch.orchestration.bootstrap import make_dispatch
from daily_batch.orchestration.dispatch import Dispatch
from daily_batch.orchestration.requests import build_requests
from daily_batch.pipeline.discover.discover import discover, make_run_spec, open_storage
from daily_batch.pipeline.discover.manifest import Manifest
from daily_batch.pipeline.publish.receipts import read_receipt
from daily_batch.pipeline.replay import Trial, try_rejects
from daily_batch.pipeline.runners.base import Progress, Runner
from daily_batch.settings import Settings, load_settings
from daily_batch.storage.scratch import temporary_folder

COLUMNS = {
    "reason": "reason",
    "rejects": "rejects",
    "tried": "whole, so tried",
    "accepted": "accepted now",
}


def replay_command(
    flags: Mapping[str, object],
    *,
    spark: Callable[[], Runner],
    allow_shrink: str = "",
    dry_run: bool = False,
    as_json: bool = False,
    debug: bool = False,
) -> int:
    """Try each tenant's rejects of the day, run the day again if some are accepted now; return the exit status."""

    def replay() -> int:
        settings = choose_tenants(load_settings(flags=flags, environ=os.environ))
        requests = build_requests(settings, datetime.now(UTC), allow_shrink=allow_shrink)
        dispatch = make_dispatch(settings, requests[0].output, spark=spark)
        told = []
        with show_progress() as open_progress:
            for request in requests:
                progress = open_progress(f"tenant={request.tenant} day={request.day}")
                with error_context(request.tenant, request.day.isoformat()):
                    trials = _try(request, settings, dispatch, progress)
                again = any(trial.accepted for trial in trials) and not dry_run
                receipt = _run_again(request, dispatch, progress) if again else None
                told.append((request, trials, receipt))
        if as_json:
            values = [_as_value(*each) for each in told]
            print_json(values[0] if len(values) == 1 else values)
        else:
            for each in told:
                _show(*each)
        return 0

    return guarded(replay, debug=debug)


def _try(request: Request, settings: Settings, dispatch: Dispatch, progress: Progress) -> list[Trial]:
    storage = open_storage(request, settings)
    with temporary_folder() as folder:
        manifest = discover(
            request,
            settings,
            staging=folder / "manifest",
            progress=progress,
            metadata=dispatch.ledger.store,
            list_known_tenants=dispatch.ledger.tenants,
        )
        last = _last_receipt(request, dispatch, manifest)
        now = dispatch.ledger.clock()
        plan = make_run_spec(request, settings, manifest, run_id=last.run_id, now=now)
        return try_rejects(request, plan, storage=storage, scratch=folder)


def _last_receipt(request: Request, dispatch: Dispatch, manifest: Manifest) -> Receipt:
    """The receipt of the run whose rejects are looked at.

    Raises:
        Terminal: the day was never completed, or its objects are not the ones of then.
    """
    found = dispatch.reconcile(request)
    entry = found.entry if found else None
    output = open_storage(request, dispatch.settings).open_output()
    receipt = read_receipt(output, entry.receipt) if entry and entry.receipt else None
    day = request.day.isoformat()
    if receipt is None:
        what, step = "the day has no completed run whose rejects could be replayed", "run the day"
        raise TerminalError(what, next_step=step, tenant=request.tenant, day=day)
    if receipt.fingerprint != manifest.fingerprint:
        what = f"the day's objects are no longer those of run {receipt.run_id}"
        step = "run the day if the objects of now are meant: it is replaced whole"
        raise TerminalError(what, next_step=step, tenant=request.tenant, day=day)
    return receipt


def _run_again(request: Request, dispatch: Dispatch, progress: Progress) -> Receipt:
    answer = dispatch.run(request, progress=progress)
    return answer.receipt or wait_for_receipt(dispatch, request, answer, progress)


def _as_value(request: Request, trials: list[Trial], receipt: Receipt | None) -> dict[str, object]:
    return {
        "tenant": request.tenant,
        "date": request.day.isoformat(),
        "rejects": [asdict(trial) for trial in trials],
        "receipt": receipt and to_dict(receipt),
    }


def _show(request: Request, trials: list[Trial], receipt: Receipt | None) -> None:
    if not trials:
        console().print(f"{request.tenant} {request.day}: there are no rejects to replay")
        return
    print_rows(COLUMNS, [asdict(trial) for trial in trials])
    if receipt:
        console().print(render(receipt))
    elif not any(trial.accepted for trial in trials):
        console().print("the current rules accept none of those that were tried; the day was not run again")
