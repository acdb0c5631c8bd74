"""The Python API: run or plan a tenant's business day from another program (docs/python.md)."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

from daily_batch.domain.calendar import parse_day
from daily_batch.domain.keys import check_tenant
from daily_batch.domain.receipt import Receipt
from daily_batch.errors import UsageError, error_context
from daily_batch.ledger.factory import open_ledger
from daily_batch.orchestration.bootstrap import make_dispatch, start_spark
from daily_batch.orchestration.day_receipt import run_and_wait
from daily_batch.orchestration.plan_day import DayPlan, plan_request
from daily_batch.orchestration.requests import build_requests
from daily_batch.pipeline.runners.base import Progress, ignore_progress
from daily_batch.pipeline.runners.databricks_serverless import fit_compute
from daily_batch.settings import Settings, load_settings
from daily_batch.telemetry import NoTelemetry, sanitized_errors


def run_day(
    tenant: str,
    day: date | str,
    *,
    input: str | Path | None = None,  # noqa: A002 - the setting's name
    output: str | Path | None = None,
    if_changed: bool = False,
    take_over: bool = False,
    allow_shrink: str = "",
    progress: Progress = ignore_progress,
    **settings: object,
) -> Receipt:
    """Turn one business day of messages into tables, as `makoto-batch run` does, and return the receipt.

    A day that goes to a Spark service returns when its job has ended.

    Args:
        tenant: The tenant's id.
        day: The business day; text is written as `yyyy-mm-dd`.
        input: Folder or URL that holds `{tenant}/…`. None: as the environment sets it.
        output: Folder or URL for `{tenant}/analytics/…`. None: as the environment sets it.
        if_changed: If the day was completed with exactly the objects that exist now, do nothing and return the receipt
            of that run.
        take_over: Take the lease of a run that is known to be dead.
        allow_shrink: Who allows the day to lose published rows; empty if nobody does.
        progress: Called with the stage, how much is done, the total (0 if unknown) and the unit.
        settings: Further settings by name (docs/settings.md). They take precedence over environment variables and
            files; None is a setting that is not given.

    Raises:
        UsageError: An argument or a setting is missing or invalid. Nothing was read or written.
        RetryableError: A retry can help. An unexpected error becomes one too, without its text and cause, which may
            quote message content.
        HandOverError: The day is too large for this process, and `runner="local"` allows no Spark.
        TerminalError: A retry cannot help.
        LeaseHeldError: Another run holds the day.
    """
    text = _check(tenant, day, settings)
    with _failures(tenant, text):
        known = fit_compute(_load(tenant, text, {**settings, "input": input, "output": output}), os.environ)
        (request,) = build_requests(known, datetime.now(UTC), allow_shrink=allow_shrink)
        dispatch = make_dispatch(known, request.output, spark=start_spark)
        _, receipt = run_and_wait(dispatch, request, progress=progress, if_changed=if_changed, take_over=take_over)
        return receipt


def plan_day(
    tenant: str,
    day: date | str,
    *,
    input: str | Path | None = None,  # noqa: A002 - the setting's name
    output: str | Path | None = None,
    verify_discovery: bool = False,
    cost: bool = False,
    strays: bool = False,
    progress: Progress = ignore_progress,
    **settings: object,
) -> DayPlan:
    """Return what a run of the day would do, as `makoto-batch plan` shows it; write no table.

    Args:
        tenant: The tenant's id.
        day: The business day; text is written as `yyyy-mm-dd`.
        input: See `run_day`.
        output: See `run_day`.
        verify_discovery: List the day by storage and by metadata, and name the rooms that metadata does not know.
        cost: Also predict time, memory and cost of the day on each host.
        strays: Also list all of the tenant and count the objects that no run reads; the ledger records the number.
        progress: See `run_day`.
        settings: See `run_day`.

    Raises:
        UsageError: An argument or a setting is missing or invalid. Nothing was read or written.
        RetryableError: A retry can help; see `run_day`.
        TerminalError: A retry cannot help.
    """
    text = _check(tenant, day, settings)
    with _failures(tenant, text):
        known = _load(tenant, text, {**settings, "input": input, "output": output})
        (request,) = build_requests(known, datetime.now(UTC))
        ledger = open_ledger(known, request.output)
        return plan_request(request, known, ledger, progress, verify=verify_discovery, cost=cost, strays=strays)


def _check(tenant: object, day: object, settings: Mapping[str, object]) -> str:
    """Return the day as text.

    Raises:
        UsageError: The tenant or the day is missing or invalid, or a setting names another one.
    """
    name = check_tenant(tenant)
    if not isinstance(day, date | str) or isinstance(day, datetime):
        step = "give a date without a time, or text such as 2025-08-12"
        raise UsageError(f"the day is a {type(day).__name__}, not a date", next_step=step, tenant=name)
    if given := sorted({"tenants", "date"} & settings.keys()):
        raise UsageError(f"{given[0]} is not an argument", next_step="give tenant and day", tenant=name)
    return parse_day(str(day)).isoformat()


def _load(tenant: str, day: str, settings: Mapping[str, object]) -> Settings:
    return load_settings(flags={}, arguments={**settings, "tenants": (tenant,), "date": day}, environ=os.environ)


@contextmanager
def _failures(tenant: str, day: str) -> Iterator[None]:
    """Make each error name tenant and day, and drop causes: they may quote what was read, and hosts log tracebacks."""
    with error_context(tenant, day), sanitized_errors(NoTelemetry()):
        yield
