"""Log and measure a tenant-day once, when it ends: where it was published, or where its job was settled."""

from collections.abc import Iterator
from typing import Any

from daily_batch.domain import metrics
from daily_batch.domain.calendar import parse_day
from daily_batch.domain.quality import warnings
from daily_batch.domain.receipt import Receipt, to_dict
from daily_batch.errors import BatchError
from daily_batch.ledger import Entry, Ledger
from daily_batch.orchestration.new_fields import describe_new_fields, find_new_fields
from daily_batch.orchestration.spark_jobs.reconcile import Reconciled
from daily_batch.orchestration.volume_anomaly import REMEMBERED, find_anomaly
from daily_batch.pipeline.quality_measures import share
from daily_batch.settings import Settings
from daily_batch.telemetry import Telemetry


def record_end(found: Reconciled, *, again: bool, ledger: Ledger, settings: Settings, telemetry: Telemetry) -> None:
    """Log and measure a day whose job has ended.

    Args:
        again: Whether a day that failed is tried once more.
    """
    entry = found.entry
    if not entry.is_complete:
        telemetry.measure(metrics.DAYS_REPEATED if again else metrics.DAYS_FAILED)
        telemetry.error(str(entry.error), again=again, **day_context(entry))
        return
    telemetry.measure(metrics.DAYS_COMPLETED)
    telemetry.info("published", **day_context(entry))
    if found.receipt is not None:
        record_completion(found.receipt, ledger=ledger, settings=settings, telemetry=telemetry)


def day_context(entry: Entry) -> dict[str, Any]:
    """Return what a log line names of a day's run."""
    return {"tenant": entry.tenant, "day": entry.day.isoformat(), "run_id": entry.run_id, "job_id": entry.job_id}


def record_completion(receipt: Receipt, *, ledger: Ledger, settings: Settings, telemetry: Telemetry) -> None:
    """Log and measure a published day. If it cannot be compared with earlier days, that is logged and fails nothing."""
    context = {"tenant": receipt.tenant, "day": receipt.date, "run_id": receipt.run_id}
    facts = {name: to_dict(receipt)[name] for name in ("runner", "status", "objects", "records", "rejects", "seconds")}
    telemetry.info("the day", **facts, **context)
    for metric, value in measure_receipt(receipt):
        telemetry.measure(metric, value)
    day = parse_day(receipt.date)
    try:
        entries = list(ledger.days(receipt.tenant, day - REMEMBERED, day))
    except BatchError as error:
        telemetry.error(f"the day was not compared with earlier ones: {error.advice}", **context)
        return
    new = find_new_fields(receipt.unknown_fields, entries, day)
    telemetry.measure(metrics.NEW_FIELDS, len(new))
    if new:
        telemetry.error(describe_new_fields(new), **context)
    # Including days whose last run failed: their tables have messages.
    history = [(entry.day, entry.message_count) for entry in entries if entry.message_count is not None]
    factor, floor = settings.unusual_factor, settings.unusual_floor
    volume = find_anomaly(receipt.records.written, history, day, factor=factor, floor=floor)
    is_unusual = volume is not None and volume.is_unusual
    telemetry.measure(metrics.DAYS_UNUSUAL, int(is_unusual))
    if volume and is_unusual:
        telemetry.error(f"an unusual day: {volume.sentence}", actual=volume.actual, expected=volume.expected, **context)


def measure_receipt(receipt: Receipt) -> Iterator[tuple[metrics.Metric, float]]:
    """Yield the metrics of a receipt."""
    yield metrics.DAY_SECONDS, receipt.seconds.get("total", 0.0)
    yield metrics.MESSAGES_WRITTEN, receipt.records.written
    yield metrics.RECORDS_REJECTED, receipt.records.rejected
    yield metrics.REJECT_PERCENT, round(100 * _share_rejected(receipt), 3)
    yield metrics.OBJECTS_UNREADABLE, receipt.objects.unreadable
    yield metrics.QUALITY_WARNINGS, len(warnings(receipt.quality))


def _share_rejected(receipt: Receipt) -> float:
    """Return the rejected share of the records, as `max_reject_ratio` limits it."""
    if receipt.objects.unreadable and not receipt.objects.read:
        return 1.0
    return share(receipt.records.rejected, receipt.records.seen) or 0.0
