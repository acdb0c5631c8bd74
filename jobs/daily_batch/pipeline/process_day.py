"""One tenant-day from request to receipt: manifest, map and reduce, audit, publish, receipt."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from datetime import datetime
from functools import partial
from typing import Any

from daily_batch.domain.contract import ROOMS_DAILY, SUMMARY_DAILY, TABLES, USERS_DAILY
from daily_batch.domain.quality import warnings
from daily_batch.domain.receipt import (
    Objects,
    Receipt,
    Records,
    TableCounts,
    check_sums,
    decide_status,
    receipt_key,
    to_json,
)
from daily_batch.domain.request import Request
from daily_batch.errors import InputChangedError
from daily_batch.metadata import MetadataStore
from daily_batch.pipeline.audit import AuditLimits, audit
from daily_batch.pipeline.discover.discover import check_in_input, list_day, make_run_spec, open_storage
from daily_batch.pipeline.discover.manifest import Manifest
from daily_batch.pipeline.publish.publisher import DayPublisher
from daily_batch.pipeline.publish.result import Published
from daily_batch.pipeline.publish.snapshot import look_at_day
from daily_batch.pipeline.quality_measures import measure_day
from daily_batch.pipeline.runners.base import Progress, Runner, RunResult
from daily_batch.settings import Settings
from daily_batch.storage.failures import explain_failure
from daily_batch.storage.scratch import temporary_folder
from daily_batch.telemetry import StepLogger, log_nothing, timed

# What changes under a run is listed again so often before it is given up.
LISTINGS = 3
ChooseRunner = Callable[[Manifest], Runner]


def process_day(
    request: Request,
    settings: Settings,
    choose_runner: ChooseRunner,
    *,
    run_id: str,
    now: datetime,
    progress: Progress,
    publisher: DayPublisher | None = None,
    metadata: MetadataStore | None = None,
    named: Callable[[], Sequence[str]] = tuple,
    told: StepLogger = log_nothing,
) -> Receipt:
    """Run one tenant-day to its receipt. A day that was published before is replaced; any other day is left alone.

    Args:
        choose_runner: names the runner once it is known what there is.
        publisher: what the tables held before, under the run's fence; absent: as they are now, without one.
        metadata: where active rooms are looked up, if the settings say so.
        named: gives the tenants that the metadata store names.
        told: hears of each step.

    Raises:
        Retryable: trying again can help; readers see what they saw before.
        HandOver: the day must go to Spark; readers see what they saw before.
        Terminal: it cannot: denied, missing, or refused by the audit; readers see what they saw before.
        LeaseHeld: another run holds the day.
    """
    try:
        chosen = publisher or DayPublisher.snapshot(request, open_storage(request, settings))
        whose = {"tenant": request.tenant, "day": request.day.isoformat(), "run_id": run_id, "token": chosen.token}
        return _run_day(
            request,
            settings,
            choose_runner,
            chosen,
            run_id=run_id,
            now=now,
            progress=progress,
            metadata=metadata,
            named=named,
            told=partial(told, **whose),
        )
    except Exception as error:
        failure = explain_failure(error, tenant=request.tenant, day=request.day.isoformat())
        if failure is None or failure is error:
            raise
        raise failure from error


def _run_day(
    request: Request,
    settings: Settings,
    choose_runner: ChooseRunner,
    publisher: DayPublisher,
    *,
    run_id: str,
    now: datetime,
    progress: Progress,
    metadata: MetadataStore | None,
    named: Callable[[], Sequence[str]],
    told: StepLogger,
) -> Receipt:
    started = time.perf_counter()
    storage = open_storage(request, settings)
    for listing in range(1, LISTINGS + 1):
        with temporary_folder() as scratch:
            try:
                begun = time.perf_counter()
                staging = scratch / "manifest"
                manifest = list_day(request, settings, staging=staging, progress=progress, metadata=metadata)
                listed = time.perf_counter() - begun
                found = {name: getattr(manifest, name) for name in ("layout", "objects", "ignored", "bytes", "chunks")}
                told("manifest", **found, seconds=round(listed, 3))
                check_in_input(request, settings, manifest, named=named)
                runner = choose_runner(manifest)
                plan = make_run_spec(request, settings, manifest, run_id=run_id, now=now)
                outcome = runner.run(manifest, plan=plan, storage=storage, scratch=scratch, progress=progress)
                receipt = _account(request, manifest, outcome, run_id=run_id, runner=runner.name)
                rules = settings.quality.rules_for(request.tenant)
                measured = measure_day(
                    rules, manifest=manifest, outcome=outcome, plan=plan, storage=storage, scratch=scratch
                )
                standing = look_at_day(request, storage, scratch=scratch)
                break
            except InputChangedError:
                if listing == LISTINGS:
                    raise
                progress("listing again: an object changed while it was read", 0, 0, "")
    _tell_stages(told, outcome, runner=runner.name)
    receipt = audit(
        receipt,
        rules=rules,
        measured=measured,
        limits=AuditLimits(**{each.name: getattr(settings, each.name) for each in fields(AuditLimits)}),
        standing=standing,
        allow_shrink=request.allow_shrink,
    )
    begun = time.perf_counter()
    counts = {name: str(count) for name, count in asdict(receipt.records).items()}
    published = publisher.publish(outcome.files, run_id=run_id, metadata=counts, progress=progress)
    ended = time.perf_counter()
    told("publish", **_sum_up(published), seconds=round(ended - begun, 3))
    seconds = {"manifest": listed, **outcome.seconds, "publish": ended - begun, "total": ended - started}
    receipt = replace(
        receipt,
        tables={name: TableCounts(**asdict(table)) for name, table in published.items()},
        seconds={name: round(spent, 3) for name, spent in seconds.items()},
    )
    check_sums(receipt)
    key = receipt_key(request.tenant, request.day, run_id)
    with timed(told, "receipt", status=receipt.status, receipt=key, warnings=len(warnings(receipt.quality))):
        storage.open_output().put(key, to_json(receipt).encode())
    return receipt


def _tell_stages(told: StepLogger, outcome: RunResult, *, runner: str) -> None:
    """A line for each stage of the runner."""
    counts = outcome.counts.to_dict()
    names = {
        "intake": ("objects_read", "objects_unreadable", "bytes", "seen", "rejected", "other_day", "empty"),
        "clean": ("written", "duplicates", "superseded"),
    }
    for stage, seconds in outcome.seconds.items():
        told(stage, runner=runner, **{name: counts[name] for name in names.get(stage, ())}, seconds=round(seconds, 3))


def _sum_up(published: Mapping[str, Published]) -> dict[str, Any]:
    """What of the tables is worth a line."""
    tables = published.values()
    return {
        "rows": {name: table.rows for name, table in published.items()},
        "files": sum(table.files for table in tables),
        "bytes": sum(table.bytes for table in tables),
    }


def _account(request: Request, manifest: Manifest, outcome: RunResult, *, run_id: str, runner: str) -> Receipt:
    counts = outcome.counts
    objects = Objects(
        listed=manifest.objects + manifest.ignored,
        read=counts.objects_read,
        unreadable=counts.objects_unreadable,
        ignored=manifest.ignored,
        bytes=counts.bytes,
    )
    records = Records(
        seen=counts.seen,
        written=counts.written,
        duplicates=counts.duplicates,
        superseded=counts.superseded,
        rejected=counts.rejected,
        other_day=counts.other_day,
        empty=counts.empty,
    )
    tables = {
        table.name: TableCounts(
            rows=sum(file.rows for file in outcome.files[table.name]),
            files=len(outcome.files[table.name]),
            bytes=sum(file.bytes for file in outcome.files[table.name]),
            version=None,
        )
        for table in TABLES
    }
    return Receipt(
        tenant=request.tenant,
        date=request.day.isoformat(),
        run_id=run_id,
        status=decide_status(objects=objects, records=records),
        runner=runner,
        format=request.table_format,
        layout=manifest.layout,
        objects=objects,
        records=records,
        rejects=dict(sorted(counts.rejects.items())),
        flags=dict(sorted(counts.flags.items())),
        tables=tables,
        seconds={},
        input=str(request.input),
        output=str(request.output),
        fingerprint=manifest.fingerprint,
        overflows=_count_overflows(outcome),
    )


def _count_overflows(outcome: RunResult) -> dict[str, int]:
    """By table of sums, how many rows have a sum that does not fit its column and is null."""
    nulls = {
        table.name: sum(file.statistics["tokens_used"].nulls for file in outcome.files[table.name])
        for table in (ROOMS_DAILY, USERS_DAILY, SUMMARY_DAILY)
    }
    return {name: count for name, count in nulls.items() if count}
