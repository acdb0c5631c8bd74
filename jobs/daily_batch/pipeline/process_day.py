"""Process one tenant-day from request to receipt: discover, run, audit, publish."""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from datetime import datetime
from typing import Any

from daily_batch.domain.calendar import format_timestamp
from daily_batch.domain.contract import ROOMS_DAILY, SUMMARY_DAILY, TABLES, TURNS, USERS_DAILY
from daily_batch.domain.quality import warnings
from daily_batch.domain.receipt import (
    Objects,
    Receipt,
    Records,
    TableCounts,
    check_sum,
    check_sums,
    decide_status,
    receipt_key,
    to_json,
)
from daily_batch.domain.request import Request
from daily_batch.errors import InputChangedError
from daily_batch.metadata import MetadataStore
from daily_batch.pipeline.audit import AuditLimits, audit
from daily_batch.pipeline.discover.discover import discover, make_run_spec, open_storage
from daily_batch.pipeline.discover.manifest import Manifest
from daily_batch.pipeline.erased_list import read_erased
from daily_batch.pipeline.publish.publisher import DayPublisher
from daily_batch.pipeline.publish.result import PublishResult
from daily_batch.pipeline.publish.snapshot import read_published_day
from daily_batch.pipeline.quality_measures import measure_day
from daily_batch.pipeline.runners.base import Progress, Runner, RunResult
from daily_batch.pipeline.transform.unknown_fields import most_frequent
from daily_batch.settings import Settings
from daily_batch.storage.failures import explained_failures
from daily_batch.storage.scratch import make_folder, temporary_folder
from daily_batch.telemetry import NoTelemetry, StepLog, Telemetry

# A day whose objects change while they are read is listed again this often.
MAX_LISTINGS = 3


def process_day(
    request: Request,
    settings: Settings,
    runner: Runner,
    publisher: DayPublisher,
    *,
    run_id: str,
    now: datetime,
    progress: Progress,
    metadata: MetadataStore | None = None,
    list_known_tenants: Callable[[], Sequence[str]] = tuple,
    manifest: Manifest | None = None,
    telemetry: Telemetry | None = None,
) -> Receipt:
    """Discover, run, audit and publish one tenant-day: Write-Audit-Publish.

    The runner writes files that no commit names, the audit decides whether they may be published, and one atomic commit
    a table makes them visible. A day that was published before is replaced; every other day is left alone.

    Args:
        publisher: The tables as they were before the run, with the run's fencing token.
        metadata: Names the active rooms, where the setting `discovery` is `metadata`.
        list_known_tenants: Returns the tenants in the metadata store.
        manifest: The day, if it is listed already; it is listed again only if an object changes under the run.

    Raises:
        RetryableError: Trying again can help; readers see what they saw before.
        HandOverError: The day must run on Spark; readers see what they saw before.
        TerminalError: Trying again cannot help: denied, missing, or refused by the audit; readers see what they saw
            before.
        LeaseHeldError: Another run holds the day.
    """
    started = time.perf_counter() - (manifest.seconds if manifest else 0.0)
    day = request.day.isoformat()
    steps = StepLog(
        telemetry=telemetry or NoTelemetry(), tenant=request.tenant, day=day, run_id=run_id, token=publisher.token
    )
    storage = open_storage(request, settings)
    with explained_failures(request.tenant, day), temporary_folder() as folder:
        if manifest is not None and read_erased(storage, request.tenant, day=day) != manifest.erased:
            manifest = None  # an erasure began after the listing: it relies on what runs read under their lease
        for listing in range(1, MAX_LISTINGS + 1):
            scratch = make_folder(folder / str(listing))
            if manifest is None:
                manifest = discover(
                    request,
                    settings,
                    staging=scratch / "manifest",
                    progress=progress,
                    metadata=metadata,
                    list_known_tenants=list_known_tenants,
                )
                log_manifest(steps, manifest)
            listed = manifest
            spec = make_run_spec(request, settings, listed, run_id=run_id, now=now)
            try:
                result = runner.run(listed, spec=spec, storage=storage, scratch=scratch, progress=progress)
                rules = settings.quality.rules_for(request.tenant)
                measures = measure_day(
                    rules, manifest=listed, result=result, spec=spec, storage=storage, scratch=scratch
                )
                break
            except InputChangedError:
                if listing == MAX_LISTINGS:
                    raise
                progress("listing again: an object changed while it was read", 0, 0, "")
                manifest = None
                shutil.rmtree(scratch)
        _log_stages(steps, result, runner=runner.name)
        counted = _make_receipt(request, listed, result, run_id=run_id, now=now, runner=runner.name)
        _check_turns(counted, result)
        receipt = audit(
            counted,
            rules=rules,
            measured=measures,
            limits=AuditLimits(**{each.name: getattr(settings, each.name) for each in fields(AuditLimits)}),
            published=read_published_day(request, storage, opened=publisher.opened, scratch=scratch),
            allow_shrink=request.allow_shrink,
        )
        receipt = _publish(
            receipt, result, publisher, steps, progress=progress, listing_seconds=listed.seconds, started=started
        )
        key = receipt_key(request.tenant, request.day, run_id)
        with steps.timed("receipt", status=receipt.status, receipt=key, warnings=len(warnings(receipt.quality))):
            storage.open_output().put(key, to_json(receipt).encode())
    return receipt


def _publish(
    receipt: Receipt,
    result: RunResult,
    publisher: DayPublisher,
    steps: StepLog,
    *,
    progress: Progress,
    listing_seconds: float,
    started: float,
) -> Receipt:
    """Commit the files of an audited day, and return its receipt with what readers see now."""
    begin = time.perf_counter()
    counts = {name: str(count) for name, count in asdict(receipt.records).items()}
    published = publisher.publish(result.files, run_id=receipt.run_id, metadata=counts, progress=progress)
    end = time.perf_counter()
    steps.log("publish", **_sum_up(published), seconds=round(end - begin, 3))
    seconds = {
        "manifest": listing_seconds,
        **result.seconds,
        "publish": end - begin,
        "total": end - started,
    }
    receipt = replace(
        receipt,
        tables={name: TableCounts(**asdict(table)) for name, table in published.items()},
        seconds={name: round(spent, 3) for name, spent in seconds.items()},
    )
    check_sums(receipt)
    return receipt


def log_manifest(steps: StepLog, manifest: Manifest) -> None:
    """Log what a listing found."""
    facts = {name: getattr(manifest, name) for name in ("layout", "objects", "ignored", "bytes", "chunks")}
    steps.log("manifest", **facts, seconds=round(manifest.seconds, 3))


def _log_stages(steps: StepLog, result: RunResult, *, runner: str) -> None:
    counts = result.counts.to_dict()
    names = {
        "intake": (
            "objects_read",
            "objects_unreadable",
            "objects_erased",
            "bytes",
            "seen",
            "rejected",
            "other_day",
            "empty",
            "erased",
        ),
        "clean": ("written", "duplicates", "superseded"),
    }
    for stage, seconds in result.seconds.items():
        facts = {name: counts[name] for name in names.get(stage, ())}
        steps.log(stage, runner=runner, **facts, seconds=round(seconds, 3))


def _sum_up(published: Mapping[str, PublishResult]) -> dict[str, Any]:
    tables = published.values()
    return {
        "rows": {name: table.rows for name, table in published.items()},
        "files": sum(table.files for table in tables),
        "bytes": sum(table.bytes for table in tables),
    }


def _make_receipt(
    request: Request, manifest: Manifest, result: RunResult, *, run_id: str, now: datetime, runner: str
) -> Receipt:
    counts = result.counts
    objects = Objects(
        listed=manifest.objects + manifest.ignored,
        read=counts.objects_read,
        unreadable=counts.objects_unreadable,
        ignored=manifest.ignored,
        erased=counts.objects_erased,
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
        erased=counts.erased,
    )
    tables = {
        table.name: TableCounts(
            rows=sum(file.rows for file in result.files[table.name]),
            files=len(result.files[table.name]),
            bytes=sum(file.bytes for file in result.files[table.name]),
            version=None,
        )
        for table in TABLES
    }
    unknown_fields, others = most_frequent(counts.unknown_fields)
    return Receipt(
        tenant=request.tenant,
        date=request.day.isoformat(),
        run_id=run_id,
        processed_at=format_timestamp(now),
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
        unknown_fields=unknown_fields,
        other_unknown_fields=others + counts.other_unknown_fields,
        overflows=_count_overflows(result),
    )


def _check_turns(receipt: Receipt, result: RunResult) -> None:
    """Check that every user message has a turn; the number of user messages is in the summary's statistics."""
    (summary,) = result.files[SUMMARY_DAILY.name]
    terms = {"user_messages": int(summary.statistics["user_messages"].maximum or 0)}
    check_sum(receipt, "tables.turns.rows", receipt.tables[TURNS.name].rows, terms)


def _count_overflows(result: RunResult) -> dict[str, int]:
    """Return, by aggregate table, the number of rows whose sum does not fit its column and is null."""
    nulls = {
        table.name: sum(file.statistics["tokens_used"].nulls for file in result.files[table.name])
        for table in (ROOMS_DAILY, USERS_DAILY, SUMMARY_DAILY)
    }
    return {name: count for name, count in nulls.items() if count}
