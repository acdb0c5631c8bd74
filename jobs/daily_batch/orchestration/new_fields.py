"""Find fields of messages that a tenant did not send in the previous four weeks."""

from collections.abc import Iterable, Sequence
from datetime import date

from daily_batch.domain.bill import Bill
from daily_batch.domain.calendar import parse_day
from daily_batch.domain.receipt import Receipt
from daily_batch.errors import BatchError
from daily_batch.ledger import Entry, Lease, Ledger
from daily_batch.orchestration.volume_anomaly import REMEMBERED


def find_new_fields(names: Iterable[str], history: Iterable[Entry], day: date) -> tuple[str, ...]:
    """Return the names, sorted, that no day of the four weeks before had; none if no such day was published.

    Args:
        names: The names of a day's unknown fields.
        history: Entries of the tenant, in any order.
        day: The day.
    """
    earlier = [entry.unknown_fields for entry in history if day - REMEMBERED <= entry.day < day]
    known = [fields for fields in earlier if fields is not None]
    return tuple(sorted(set(names).difference(*known))) if known else ()


def complete_day(
    ledger: Ledger, lease: Lease, receipt: Receipt, *, receipt_key: str, output_path: str, bill: Bill | None
) -> None:
    """Record in the ledger that the day is published, with its new fields."""
    ledger.complete(
        lease,
        receipt,
        receipt_key=receipt_key,
        output_path=output_path,
        bill=bill,
        new_fields=_compare(ledger, receipt),
    )


def describe_new_fields(names: Sequence[str] | None) -> str:
    """Return the new fields as a warning; empty without any."""
    return f"new fields: {', '.join(names)}" if names else ""


def _compare(ledger: Ledger, receipt: Receipt) -> tuple[str, ...] | None:
    """Return the receipt's new fields; None if earlier days cannot be read, which must not fail a published day."""
    if not receipt.unknown_fields:
        return ()
    day = parse_day(receipt.date)
    try:
        return find_new_fields(receipt.unknown_fields, ledger.days(receipt.tenant, day - REMEMBERED, day), day)
    except BatchError:
        return None
