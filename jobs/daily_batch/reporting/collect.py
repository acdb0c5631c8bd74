"""Collect the facts of a report from the ledger and the receipts that it names, many in parallel."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, datetime
from typing import TYPE_CHECKING, NamedTuple

from daily_batch.domain.calendar import FIRST_DAY, LAST_DAY, oldest_retained_day
from daily_batch.domain.receipt import Receipt
from daily_batch.domain.url import StorageUrl
from daily_batch.errors import TerminalError
from daily_batch.ledger import Entry, Ledger
from daily_batch.orchestration.day_status import due_time, find_night
from daily_batch.orchestration.routing import Volume, load_predictions, load_prices
from daily_batch.orchestration.routing.costs import LAMBDA
from daily_batch.orchestration.routing.jobs import predict_spark
from daily_batch.orchestration.routing.predict import predict_local
from daily_batch.orchestration.volume_anomaly import REMEMBERED
from daily_batch.pipeline.publish.receipts import read_receipt
from daily_batch.pipeline.runners.base import Progress
from daily_batch.reporting.facts import DayFacts, Facts, make_day_facts
from daily_batch.settings import Settings
from daily_batch.storage.stores import open_store

if TYPE_CHECKING:
    from obstore.store import ObjectStore

CONCURRENCY = 32
GONE = "gone"


class _TenantDays(NamedTuple):
    entries: dict[date, Entry]
    first: date | None = None


class _ReceiptState(NamedTuple):
    receipt: Receipt | None = None
    doubt: str | None = None


def collect_facts(
    tenants: Sequence[str],
    dates: Sequence[date],
    *,
    output: StorageUrl,
    ledger: Ledger,
    settings: Settings,
    now: datetime,
    progress: Progress,
    flags: Mapping[str, str],
    docs: str,
) -> Facts:
    """Return the facts of every tenant and date.

    A missing or unreadable receipt is a warning about its day and no error.

    Args:
        flags: the command-line flags that lead a command to the same tables.
        docs: the URL or folder of the documentation.

    Raises:
        RetryableError: the ledger or the store does not respond.
        TerminalError: the ledger denies access, or the output does not exist.
    """
    store = open_store(output, settings.storage_options)
    with ThreadPoolExecutor(CONCURRENCY) as pool:
        ledgers: dict[str, _TenantDays] = {}
        read_tenant = pool.map(lambda tenant: _read_ledger(ledger, tenant, dates), tenants)
        for tenant, days in zip(tenants, read_tenant, strict=True):
            ledgers[tenant] = days
            progress("ledger", len(ledgers), len(tenants), "tenants")
        strays = tuple(found for found in pool.map(ledger.stray_count, tenants) if found and found.objects)
        published = [
            entry
            for days in ledgers.values()
            for entry in days.entries.values()
            if entry.day >= dates[0] and entry.receipt
        ]
        receipts: dict[tuple[str, date], _ReceiptState] = {}
        results = pool.map(lambda entry: _read_receipt(store, entry), published)
        for entry, result in zip(published, results, strict=True):
            receipts[entry.tenant, entry.day] = result
            progress("receipts", len(receipts), len(published), "receipts")
    facts = [
        _make_facts(
            tenant, day, ledgers[tenant], receipts.get((tenant, day), _ReceiptState()), settings=settings, now=now
        )
        for tenant in tenants
        for day in dates
    ]
    return Facts(
        tenants=tuple(tenants),
        dates=tuple(dates),
        now=now,
        days=tuple(facts),
        nights=(find_night(dates[0], settings), find_night(dates[-1], settings)),
        strays=strays,
        flags=flags,
        docs=docs,
    )


def _read_ledger(ledger: Ledger, tenant: str, dates: Sequence[date]) -> _TenantDays:
    """Return the tenant's days of the range and those that its volumes are compared with, and its first day of all.

    Without an earlier entry nothing says that a day was missed: the report reads no input, and no store has the date on
    which a tenant was added.
    """
    oldest = date.fromordinal(max(dates[0].toordinal() - REMEMBERED.days, 1))
    entries = {entry.day: entry for entry in ledger.days(tenant, oldest, dates[-1])}
    first = min(entries, default=None)
    if first is None or first > dates[0]:
        # Few tenants start within the range or after it, so their first day is not read with the others.
        found = next(ledger.days(tenant, FIRST_DAY, LAST_DAY), None)
        first = found.day if found else None
    return _TenantDays(entries, first)


def _read_receipt(store: "ObjectStore", entry: Entry) -> _ReceiptState:
    try:
        receipt = read_receipt(store, str(entry.receipt))
    except TerminalError as error:
        return _ReceiptState(doubt=error.advice)
    if receipt is None:
        return _ReceiptState(doubt=GONE)
    counts = (receipt.tenant, receipt.date, receipt.records.rejected)
    agree = receipt.erased or receipt.records.written == entry.message_count  # an erasure corrects the ledger only
    if not agree or counts != (entry.tenant, entry.day.isoformat(), entry.rejected):
        return _ReceiptState(receipt=receipt, doubt="differs")
    return _ReceiptState(receipt=receipt)


def _make_facts(
    tenant: str, day: date, days: _TenantDays, found: _ReceiptState, *, settings: Settings, now: datetime
) -> DayFacts:
    entries = days.entries
    history = [(then, entry.message_count) for then, entry in entries.items() if entry.message_count is not None]
    entry = entries.get(day)
    if entry and found.doubt == GONE and _is_expired(day, settings, now):
        entry, found = replace(entry, message_count=None, rejected=None), _ReceiptState()  # removed by a vacuum
    return make_day_facts(
        tenant,
        day,
        entry,
        found.receipt,
        now=now,
        due=due_time(day, settings),
        history=history,
        factor=settings.unusual_factor,
        floor=settings.unusual_floor,
        predicted_usd=_predict(found.receipt, settings) if found.receipt else None,
        doubt=found.doubt,
        is_before_first=days.first is not None and day < days.first,
    )


def _is_expired(day: date, settings: Settings, now: datetime) -> bool:
    """Return whether a day is older than the retention."""
    kept = oldest_retained_day(now, retention_days=settings.retention_days, zone=settings.timezone)
    return kept is not None and day < kept


def _predict(receipt: Receipt, settings: Settings) -> float:
    """Return the predicted cost of the day on AWS, given its objects and its runner."""
    volume = Volume(layout=receipt.layout, objects=receipt.objects.in_manifest, bytes=receipt.objects.bytes)
    predictions, prices = load_predictions(), load_prices()
    if receipt.runner == "spark":
        return predict_spark(volume, vcpus=settings.emr_vcpus, predictions=predictions, prices=prices).cost_usd
    return predict_local(volume, limits=LAMBDA, predictions=predictions, prices=prices).cost_usd
