"""One tenant-day from request to receipt: manifest, map and reduce, sums, publish, receipt."""

import tempfile
import time
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path

from daily_batch.contract import TABLES
from daily_batch.days import day_window, to_us, utc_folders
from daily_batch.errors import Changed, Terminal
from daily_batch.failures import explain_failure
from daily_batch.manifest import Manifest, take
from daily_batch.paths import export_folder
from daily_batch.plan import DayPlan
from daily_batch.publish.day import DayPublisher
from daily_batch.receipt import Objects, Receipt, Records, TableCounts, check_sums, decide_status, receipt_key, to_json
from daily_batch.request import Request
from daily_batch.runners.outcome import Outcome, Progress, Runner
from daily_batch.settings import Settings
from daily_batch.storage import Storage

# A chunk is a task's work: some seconds of it, so that a task that fails costs little.
CHUNK_BYTES = 16 * 2**20
CHUNK_OBJECTS = 4_000
LISTING_CONCURRENCY = 64
# Text is some five times what gzip and zstd leave of it.
EXPANSION = 5
# What changes under a run is listed again so often before it is given up.
LISTINGS = 3


def run_day(
    request: Request, settings: Settings, runner: Runner, *, run_id: str, now: datetime, progress: Progress
) -> Receipt:
    """Run one tenant-day to its receipt. A day that was published before is replaced; any other day is left alone.

    Raises:
        Retryable: trying again can help; readers see what they saw before.
        Terminal: it cannot: denied, missing, or sums that do not hold; readers see what they saw before.
    """
    try:
        return _run_day(request, settings, runner, run_id=run_id, now=now, progress=progress)
    except Exception as error:
        failure = explain_failure(error, tenant=request.tenant, day=request.day.isoformat())
        if failure is None or failure is error:
            raise
        raise failure from error


def _run_day(
    request: Request, settings: Settings, runner: Runner, *, run_id: str, now: datetime, progress: Progress
) -> Receipt:
    started = time.perf_counter()
    storage = Storage(input=request.input, output=request.output, options=settings.storage_options)
    publisher = DayPublisher.observe(request, storage)
    for listing in range(1, LISTINGS + 1):
        with tempfile.TemporaryDirectory(prefix=f"makoto-{request.tenant}-{request.day}-") as scratch:
            try:
                manifest, listed = _list(request, settings, storage, Path(scratch), progress)
                plan = make_plan(request, settings, manifest, run_id=run_id, now=now)
                outcome = runner.run(manifest, plan=plan, storage=storage, scratch=Path(scratch), progress=progress)
                break
            except Changed:
                if listing == LISTINGS:
                    raise
                progress("listing again: an object changed while it was read", listing, LISTINGS, "times")
    receipt = _account(request, manifest, outcome, run_id=run_id, runner=runner.name)
    check_sums(receipt)
    _check_rejects(receipt, settings.max_reject_ratio)
    begun = time.perf_counter()
    metadata = {name: str(count) for name, count in asdict(receipt.records).items()}
    published = publisher.publish(outcome.files, run_id=run_id, metadata=metadata, progress=progress)
    ended = time.perf_counter()
    seconds = {"manifest": listed, **outcome.seconds, "publish": ended - begun, "total": ended - started}
    seconds = {name: round(spent, 3) for name, spent in seconds.items()}
    tables = {name: TableCounts(**asdict(table)) for name, table in published.items()}
    receipt = replace(receipt, tables=tables, seconds=seconds)
    check_sums(receipt)
    storage.open_output().put(receipt_key(request.tenant, request.day, run_id), to_json(receipt).encode())
    return receipt


def make_plan(request: Request, settings: Settings, manifest: Manifest, *, run_id: str, now: datetime) -> DayPlan:
    """What the kernel needs to know of the day."""
    start_us, end_us = day_window(request.day, settings.timezone)
    text = manifest.bytes * (EXPANSION if manifest.layout == "export" else 1)
    return DayPlan(
        tenant=request.tenant,
        date=request.day.isoformat(),
        zone=settings.timezone,
        naive_zone=settings.naive_timezone,
        start_us=start_us,
        end_us=end_us,
        slack_us=settings.slack_seconds * 1_000_000,
        layout=manifest.layout,
        table_format=request.table_format,
        buckets=settings.buckets or max(1, -(-text // settings.target_file_bytes)),
        run_id=run_id,
        processed_us=to_us(now),
        limits=settings.limits,
    )


def _list(
    request: Request, settings: Settings, storage: Storage, scratch: Path, progress: Progress
) -> tuple[Manifest, float]:
    """The manifest and the seconds it took."""
    started = time.perf_counter()
    start_us, end_us = day_window(request.day, settings.timezone)
    slack_us = settings.slack_seconds * 1_000_000
    window = (start_us - slack_us, end_us + slack_us)
    manifest = take(
        storage.open_input(),
        tenant=request.tenant,
        layout=request.layout,
        folders=utc_folders(*window),
        window_us=window,
        export_folder=export_folder(settings.export_template, request.tenant, request.day),
        staging=scratch / "manifest",
        chunk_bytes=CHUNK_BYTES,
        chunk_objects=CHUNK_OBJECTS,
        concurrency=LISTING_CONCURRENCY,
        day=request.day.isoformat(),
        progress=lambda objects: progress("manifest", objects, 0, "objects"),
    )
    return manifest, time.perf_counter() - started


def _account(request: Request, manifest: Manifest, outcome: Outcome, *, run_id: str, runner: str) -> Receipt:
    counts = outcome.counts
    objects = Objects(
        listed=manifest.objects,
        read=counts.objects_read,
        unreadable=counts.objects_unreadable,
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
    )


def _check_rejects(receipt: Receipt, limit: float) -> None:
    """Refuse a day of which too much is bad: its input is more likely wrong than its messages."""
    records = receipt.records
    if records.rejected > limit * records.seen:
        raise Terminal(
            f"{records.rejected} of {records.seen} records are rejected, more than max_reject_ratio {limit} allows",
            next_step="look at the input, or raise max_reject_ratio",
            tenant=receipt.tenant,
            day=receipt.date,
        )
