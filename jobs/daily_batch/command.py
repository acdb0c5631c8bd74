"""The run command, shared by `makoto-batch run` and the Spark job: settings, requests, receipts, exit status."""

import json
import os
import sys
import traceback
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from daily_batch.batch import run_day
from daily_batch.console import LineProgress
from daily_batch.errors import BatchError, describe_unexpected
from daily_batch.receipt import Receipt, render, to_json
from daily_batch.request import Request, build_requests
from daily_batch.runners.outcome import Runner
from daily_batch.settings import Settings, load_settings

UNEXPECTED = 1


def run_command(
    flags: Mapping[str, object],
    *,
    make_runner: Callable[[], Runner],
    as_json: bool = False,
    receipt_file: Path | None = None,
    show_config: bool = False,
    debug: bool = False,
) -> int:
    """Run every tenant of the settings for one day and return the exit status of DESIGN's interface.

    A tenant that fails never keeps the next one from running; the highest status is returned.
    """
    now = datetime.now(UTC)
    try:
        settings = load_settings(flags=flags, environ=os.environ)
        if show_config:
            show_settings(settings)
            return 0
        requests = build_requests(settings, now)
        runner = make_runner()
    except Exception as error:
        return report_failure(error, debug=debug)
    receipts: list[Receipt] = []
    status = 0
    for request in requests:
        try:
            receipts.append(_run_one(request, settings, runner, now))
        except Exception as error:
            if isinstance(error, BatchError):
                error.concerns(request.tenant, request.day.isoformat())
            status = max(status, report_failure(error, debug=debug))
            continue
        if not as_json:
            Console(soft_wrap=False).print(render(receipts[-1]))
    _hand_over(receipts, as_json=as_json, receipt_file=receipt_file)
    return status


def _run_one(request: Request, settings: Settings, runner: Runner, now: datetime) -> Receipt:
    run_id = f"{now:%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}"
    progress = LineProgress(f"tenant={request.tenant} day={request.day}")
    return run_day(request, settings, runner, run_id=run_id, now=now, progress=progress)


def _hand_over(receipts: list[Receipt], *, as_json: bool, receipt_file: Path | None) -> None:
    """One tenant's receipt is an object, several tenants' are a list."""
    if not receipts or not (as_json or receipt_file):
        return
    texts = [to_json(receipt) for receipt in receipts]
    whole = texts[0] if len(texts) == 1 else json.dumps([json.loads(t) for t in texts], indent=2, ensure_ascii=False)
    if receipt_file:
        receipt_file.parent.mkdir(parents=True, exist_ok=True)
        receipt_file.write_text(whole + "\n", encoding="utf-8")
    if as_json:
        sys.stdout.write(whole + "\n")


def show_settings(settings: Settings) -> None:
    """Print each setting, its value with secrets masked, and where it came from."""
    table = Table("setting", "value", "from", box=None)
    for name, value, origin in settings.explain():
        table.add_row(name, value, origin)
    Console().print(table)


def report_failure(error: Exception, *, debug: bool) -> int:
    """Say on standard error what failed, in one line; return the exit status."""
    if debug:
        # The frames alone: a message may quote what was being read, and content never reaches a log.
        print("".join(traceback.format_tb(error.__traceback__)), file=sys.stderr, end="")
    if isinstance(error, BatchError):
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    what = describe_unexpected(error)
    print(f"error: unexpected {what}. Next step: run again with --debug and report it.", file=sys.stderr)
    return UNEXPECTED
