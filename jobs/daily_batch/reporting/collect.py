"""Reads what a report is made of, many tenants and receipts at once: the ledger, and the receipts that it names."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, datetime
from typing import TYPE_CHECKING, NamedTuple

from daily_batch.domain.calendar import oldest_retained_day
from daily_batch.domain.receipt import Receipt
from daily_batch.domain.url import StorageUrl
from daily_batch.errors import TerminalError
from daily_batch.ledger import Entry, Ledger
from daily_batch.orchestration.day_status import due_time
from daily_batch.orchestration.routing import Volume, load_predictions, load_prices
from daily_batch.orchestration.routing.costs import LAMBDA
from daily_batch.orchestration.routing.predict import predict_local, predict_spark
from daily_batch.orchestration.volume_anomaly import REMEMBERED
from daily_batch.pipeline.publish.receipts import read_receipt
from daily_batch.pipeline.runners.base import Progress
from daily_batch.reporting.days import DayFacts, state_day
from daily_batch.reporting.facts import Facts
from daily_batch.settings import Settings
from daily_batch.storage.stores import open_store

if TYPE_CHECKING:
    from obstore.store import ObjectStore

CONCURRENCY = 32
GONE = "gone"


class _Found(NamedTuple):
    receipt: Receipt | None = None
    doubt: str | None = None


def gather_facts(
    tenants: Sequence[str],
    dates: Sequence[date],
    *,
    output: StorageUrl,
    ledger: Ledger,
    settings: Settings,
    now: datetime,
    progress: Progress,
) -> Facts:
    """The facts of every tenant and date.

    A receipt that is gone or not understood is a doubt about its day, and no failure.

    Raises:
        Retryable: the ledger or the store does not answer.
        Terminal: the ledger refuses this identity, or the output does not exist.
    """
    store = open_store(output, settings.storage_options)
    with ThreadPoolExecutor(CONCURRENCY) as pool:
        known: dict[str, dict[date, Entry]] = {}
        read_tenant = pool.map(lambda tenant: _read_ledger(ledger, tenant, dates), tenants)
        for tenant, days in zip(tenants, read_tenant, strict=True):
            known[tenant] = days
            progress("ledger", len(known), len(tenants), "tenants")
        strays = tuple(each for each in pool.map(ledger.stray_count, tenants) if each and each.objects)
        entries = [entry for each in known.values() for entry in each.values()]
        named = [entry for entry in entries if entry.day >= dates[0] and entry.receipt]
        found: dict[tuple[str, date], _Found] = {}
        for entry, read in zip(named, pool.map(lambda entry: _read(store, entry), named), strict=True):
            found[entry.tenant, entry.day] = read
            progress("receipts", len(found), len(named), "receipts")
    facts = [
        _state(tenant, day, known[tenant], found.get((tenant, day), _Found()), settings=settings, now=now)
        for tenant in tenants
        for day in dates
    ]
    return Facts(tenants=tuple(tenants), dates=tuple(dates), now=now, days=tuple(facts), strays=strays)


def _read_ledger(ledger: Ledger, tenant: str, dates: Sequence[date]) -> dict[date, Entry]:
    """The tenant's days of the range, and those before that its volumes are compared with."""
    first = date.fromordinal(max(dates[0].toordinal() - REMEMBERED.days, 1))
    return {entry.day: entry for entry in ledger.days(tenant, first, dates[-1])}


def _read(store: "ObjectStore", entry: Entry) -> _Found:
    try:
        receipt = read_receipt(store, str(entry.receipt))
    except TerminalError as error:
        return _Found(doubt=error.advice)
    if receipt is None:
        return _Found(doubt=GONE)
    told = (receipt.tenant, receipt.date, receipt.records.rejected)
    agree = receipt.erased or receipt.records.written == entry.message_count  # an erasure corrects the ledger alone
    if not agree or told != (entry.tenant, entry.day.isoformat(), entry.rejected):
        return _Found(receipt=receipt, doubt="differs")
    return _Found(receipt=receipt)


def _state(
    tenant: str, day: date, entries: dict[date, Entry], found: _Found, *, settings: Settings, now: datetime
) -> DayFacts:
    history = [(then, entry.message_count) for then, entry in entries.items() if entry.message_count is not None]
    entry = entries.get(day)
    if entry and found.doubt == GONE and _is_beyond(day, settings, now):
        entry, found = replace(entry, message_count=None, rejected=None), _Found()  # a vacuum has removed it
    return state_day(
        tenant,
        day,
        entry,
        found.receipt,
        now=now,
        due=due_time(day, settings),
        history=history,
        factor=settings.unusual_factor,
        floor=settings.unusual_floor,
        predicted_usd=_predict(found.receipt) if found.receipt else None,
        doubt=found.doubt,
    )


def _is_beyond(day: date, settings: Settings, now: datetime) -> bool:
    """Whether a day is older than what is kept."""
    kept = oldest_retained_day(now, retention_days=settings.retention_days, zone=settings.timezone)
    return kept is not None and day < kept


def _predict(receipt: Receipt) -> float:
    """What the day was to cost on AWS, by the objects that it had and the runner that took it."""
    volume = Volume(layout=receipt.layout, objects=receipt.objects.in_manifest, bytes=receipt.objects.bytes)
    predictions, prices = load_predictions(), load_prices()
    if receipt.runner == "spark":
        return predict_spark(volume, predictions=predictions, prices=prices).cost_usd
    return predict_local(volume, limits=LAMBDA, predictions=predictions, prices=prices).cost_usd
