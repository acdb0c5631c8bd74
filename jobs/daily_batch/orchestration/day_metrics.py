"""What is told and measured of a day, once, when it ends: by who published it here, or settled its job."""

from collections.abc import Iterator
from datetime import date
from typing import Any

from daily_batch.domain import metrics
from daily_batch.domain.calendar import parse_day
from daily_batch.domain.quality import warnings
from daily_batch.domain.receipt import Receipt, to_dict
from daily_batch.domain.url import parse_url
from daily_batch.errors import BatchError
from daily_batch.ledger import Entry, Ledger
from daily_batch.orchestration.volume_anomaly import REMEMBERED, find_anomaly
from daily_batch.pipeline.publish.receipts import read_receipt
from daily_batch.pipeline.quality_measures import share
from daily_batch.settings import Settings
from daily_batch.storage.stores import open_store
from daily_batch.telemetry import Telemetry


def log_ended(entry: Entry, *, again: bool, ledger: Ledger, settings: Settings, teller: Telemetry) -> None:
    """Tell and measure a day whose job has ended; `again` says that a day that failed is tried once more."""
    if not entry.is_complete:
        teller.measure(metrics.DAYS_REPEATED if again else metrics.DAYS_FAILED)
        teller.error(str(entry.error), again=again, **name_day(entry))
        return
    teller.measure(metrics.DAYS_COMPLETED)
    teller.info("published", **name_day(entry))
    try:
        output = open_store(parse_url(settings.output), settings.storage_options)
        receipt = read_receipt(output, str(entry.receipt))
    except BatchError as error:
        teller.error(f"the day is not measured: {error.advice}", **name_day(entry))
        return
    if receipt is not None:
        log_completed(receipt, ledger=ledger, settings=settings, teller=teller)


def name_day(entry: Entry) -> dict[str, Any]:
    """What a line says to name a day's run."""
    return {"tenant": entry.tenant, "day": entry.day.isoformat(), "run_id": entry.run_id, "job_id": entry.job_id}


def log_completed(receipt: Receipt, *, ledger: Ledger, settings: Settings, teller: Telemetry) -> None:
    """Tell and measure a day that is published. Trouble with what it is compared to is told, and harms no day."""
    whose = {"tenant": receipt.tenant, "day": receipt.date, "run_id": receipt.run_id}
    told = {name: to_dict(receipt)[name] for name in ("runner", "status", "objects", "records", "rejects", "seconds")}
    teller.info("the day", **told, **whose)
    for metric, value in measure_receipt(receipt):
        teller.measure(metric, value)
    day = parse_day(receipt.date)
    try:
        history = list(_read_history(ledger, receipt.tenant, day))
    except BatchError as error:
        teller.error(f"the day's volume is not judged: {error.advice}", tenant=receipt.tenant, day=receipt.date)
        return
    factor, floor = settings.unusual_factor, settings.unusual_floor
    volume = find_anomaly(receipt.records.written, history, day, factor=factor, floor=floor)
    is_unusual = volume is not None and volume.is_unusual
    teller.measure(metrics.DAYS_UNUSUAL, int(is_unusual))
    if volume and is_unusual:
        teller.error(f"an unusual day: {volume.sentence}", actual=volume.actual, expected=volume.expected, **whose)


def measure_receipt(receipt: Receipt) -> Iterator[tuple[metrics.Metric, float]]:
    """What the receipt alone tells."""
    yield metrics.DAY_SECONDS, receipt.seconds.get("total", 0.0)
    yield metrics.MESSAGES_WRITTEN, receipt.records.written
    yield metrics.RECORDS_REJECTED, receipt.records.rejected
    yield metrics.REJECT_PERCENT, round(100 * _share_rejected(receipt), 3)
    yield metrics.OBJECTS_UNREADABLE, receipt.objects.unreadable
    yield metrics.QUALITY_WARNINGS, len(warnings(receipt.quality))


def _share_rejected(receipt: Receipt) -> float:
    """As `max_reject_ratio` counts it."""
    if receipt.objects.unreadable and not receipt.objects.read:
        return 1.0
    return share(receipt.records.rejected, receipt.records.seen) or 0.0


def _read_history(ledger: Ledger, tenant: str, day: date) -> Iterator[tuple[date, int]]:
    """The days before and what their tables hold, also of those whose last run failed."""
    for entry in ledger.days(tenant, day - REMEMBERED, day):
        if entry.day < day and entry.message_count is not None:
            yield entry.day, entry.message_count
