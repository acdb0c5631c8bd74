"""`makoto-batch replay`: try a day's rejects by the current rules, and run the day again if some are accepted.

Published tables are never patched. The complete day runs again from its objects, so that every sum holds and duplicates
are found, and only if those objects are still the ones that gave the rejects.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from daily_batch.cli.options import (
    AllowShrinkOption,
    ConfOption,
    DateOption,
    DebugOption,
    EnvOption,
    FormatOption,
    InputOption,
    JsonOption,
    LayoutOption,
    LedgerOption,
    OutputOption,
    TenantOption,
    as_flags,
    examples,
    find_approver,
    read_environment,
)
from daily_batch.cli.output import console, exit_on_error, print_json, print_plain, print_table, render_receipt
from daily_batch.errors import TerminalError, error_context

if TYPE_CHECKING:
    from daily_batch.domain.receipt import Receipt
    from daily_batch.domain.request import Request
    from daily_batch.orchestration.dispatch import Dispatch
    from daily_batch.pipeline.discover.manifest import Manifest
    from daily_batch.pipeline.replay import Trial
    from daily_batch.pipeline.runners.base import Progress

COLUMNS = {
    "reason": "reason",
    "rejects": "rejects",
    "tried": "whole, so tried",
    "accepted": "accepted now",
}

app = typer.Typer()


@app.command(
    rich_help_panel="Run",
    epilog=examples(
        "makoto-batch replay --tenant acme --date 2025-08-12 --input samples --output out --dry-run",
    ),
)
def replay(
    tenant: TenantOption = None,
    date: DateOption = None,
    input: InputOption = None,  # noqa: A002 - the flag's name
    output: OutputOption = None,
    layout: LayoutOption = None,
    format: FormatOption = None,  # noqa: A002 - the flag's name
    ledger: LedgerOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Try the rejects; run no day.")] = False,
    allow_shrink: AllowShrinkOption = False,
    conf: ConfOption = None,
    env: EnvOption = None,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Try a day's rejects by the current rules, and run the day again if some are accepted."""
    from daily_batch.cli.progress import show_progress
    from daily_batch.cli.tenants import choose_tenants
    from daily_batch.orchestration.bootstrap import make_dispatch, start_spark
    from daily_batch.orchestration.requests import build_requests
    from daily_batch.settings import load_settings

    flags = as_flags(tenant=tenant, date=date, input=input, output=output, layout=layout, format=format, ledger=ledger)
    with exit_on_error(debug=debug, json_output=json):
        settings = choose_tenants(load_settings(flags=flags, environ=read_environment(conf, env)))
        requests = build_requests(settings, datetime.now(UTC), allow_shrink=find_approver(allow_shrink))
        dispatch = make_dispatch(settings, requests[0].output, spark=start_spark)
        replayed = []
        with show_progress() as open_progress:
            for request in requests:
                progress = open_progress(f"tenant={request.tenant} day={request.day}")
                with error_context(request.tenant, request.day.isoformat()):
                    trials = _try_rejects(request, dispatch, progress)
                run_again = any(trial.accepted for trial in trials) and not dry_run
                replayed.append((request, trials, _run_again(request, dispatch, progress) if run_again else None))
        if json:
            print_json({"dry_run": dry_run, "days": [_as_value(*each) for each in replayed]})
        else:
            for each in replayed:
                _print_trials(*each)


def _try_rejects(request: "Request", dispatch: "Dispatch", progress: "Progress") -> "list[Trial]":
    from daily_batch.pipeline.discover.discover import discover, make_run_spec, open_storage
    from daily_batch.pipeline.replay import try_rejects
    from daily_batch.storage.scratch import temporary_folder

    settings, ledger = dispatch.settings, dispatch.ledger
    storage = open_storage(request, settings)
    with temporary_folder() as folder:
        manifest = discover(
            request,
            settings,
            staging=folder / "manifest",
            progress=progress,
            metadata=ledger.store,
            list_known_tenants=ledger.tenants,
        )
        receipt = _find_receipt(request, dispatch, manifest)
        spec = make_run_spec(request, settings, manifest, run_id=receipt.run_id, now=ledger.clock())
        return try_rejects(request, spec, storage=storage, scratch=folder)


def _find_receipt(request: "Request", dispatch: "Dispatch", manifest: "Manifest") -> "Receipt":
    """Return the receipt of the run whose rejects are tried.

    Raises:
        TerminalError: the day was never completed, or its objects have changed since.
    """
    from daily_batch.orchestration.day_receipt import read_latest_receipt

    receipt = read_latest_receipt(dispatch, request)
    day = request.day.isoformat()
    if receipt is None:
        what, step = "the day has no completed run whose rejects could be replayed", "run the day"
        raise TerminalError(what, next_step=step, tenant=request.tenant, day=day)
    if receipt.fingerprint != manifest.fingerprint:
        what = f"the day's objects are no longer those of run {receipt.run_id}"
        step = "to use the current objects, run the day: all of it is replaced"
        raise TerminalError(what, next_step=step, tenant=request.tenant, day=day)
    return receipt


def _run_again(request: "Request", dispatch: "Dispatch", progress: "Progress") -> "Receipt":
    from daily_batch.orchestration.day_receipt import run_and_wait

    _, receipt = run_and_wait(dispatch, request, progress=progress)
    return receipt


def _as_value(request: "Request", trials: "Sequence[Trial]", receipt: "Receipt | None") -> dict[str, object]:
    from daily_batch.domain.receipt import to_dict

    return {
        "tenant": request.tenant,
        "date": request.day.isoformat(),
        "rejects": [asdict(trial) for trial in trials],
        "receipt": receipt and to_dict(receipt),
    }


def _print_trials(request: "Request", trials: "Sequence[Trial]", receipt: "Receipt | None") -> None:
    if not trials:
        console().print(f"{request.tenant} {request.day}: there are no rejects to replay")
        return
    print_table(COLUMNS, [asdict(trial) for trial in trials])
    if receipt:
        print_plain(render_receipt(receipt))
    elif not any(trial.accepted for trial in trials):
        console().print("the current rules accept none of the rejects that were tried; the day was not run again")
