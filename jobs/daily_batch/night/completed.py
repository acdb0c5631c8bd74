"""What is measured of a day, once, when it completes: by the worker that published it, or the watcher of its job."""

from collections.abc import Iterator
from datetime import date

from daily_batch import metrics
from daily_batch.days import parse_day
from daily_batch.errors import BatchError
from daily_batch.ledger import Ledger
from daily_batch.night.telling import Teller
from daily_batch.night.volumes import REMEMBERED, judge_volume
from daily_batch.quality import share, warnings
from daily_batch.receipt import Receipt, to_dict
from daily_batch.settings import Settings


def tell_completed(receipt: Receipt, *, ledger: Ledger, settings: Settings, teller: Teller) -> None:
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
    volume = judge_volume(receipt.records.written, history, day, factor=factor, floor=floor)
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
    if receipt.objects.listed and not receipt.objects.read:
        return 1.0
    return share(receipt.records.rejected, receipt.records.seen) or 0.0


def _read_history(ledger: Ledger, tenant: str, day: date) -> Iterator[tuple[date, int]]:
    """The days before and what their tables hold, also of those whose last run failed."""
    for entry in ledger.days(tenant, day - REMEMBERED, day):
        if entry.day < day and entry.message_count is not None:
            yield entry.day, entry.message_count
