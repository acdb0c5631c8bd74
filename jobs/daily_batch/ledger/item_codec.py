"""Convert between entries of the ledger and items of the metadata store; an invalid item is an error, never a guess."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import date
from typing import Any

import msgspec

from daily_batch.domain.calendar import parse_day
from daily_batch.errors import TerminalError, UsageError
from daily_batch.ledger.entry import ACTIVE, COMPLETED, Entry, parse_timestamp
from daily_batch.metadata import keys
from daily_batch.metadata.store import invalid_item

# The timestamps that code compares; `processed_at` is informational.
_TIMESTAMPS = ("lease_until", "asked_at", "started_at", "updated_at")


@dataclass(frozen=True, kw_only=True)
class StrayCount:
    """The number of a tenant's objects outside of any folder that a run reads, at the last check."""

    tenant: str
    objects: int
    found_at: str

    @property
    def sentence(self) -> str:
        """The count as a sentence."""
        found = f"{self.objects:,} stray objects, which no run reads, as of {self.found_at[:10]}"
        return f"{found} (makoto-batch plan --strays)"


def strays_from_item(item: Mapping[str, Any], tenant: str) -> StrayCount:
    """Convert an item to a tenant's stray count.

    Raises:
        TerminalError: An attribute has an unexpected type.
    """
    values = {"tenant": tenant, "objects": item.get("objects"), "found_at": item.get("found_at")}
    try:
        return msgspec.convert(values, StrayCount)
    except msgspec.ValidationError as error:
        raise invalid_item(f"{keys.STRAYS} of {keys.days_of(tenant)}", str(error)) from None


def to_item(entry: Entry) -> dict[str, Any]:
    """Convert an entry to an item of the metadata store (docs/ledger.md)."""
    values = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(entry).items()
        if name not in ("tenant", "day")
    }
    place = {"PK": keys.days_of(entry.tenant), "SK": keys.day_key(entry.day)}
    return {**place, "batch_type": keys.BATCH_TYPE, **values}


def is_day(item: Mapping[str, Any]) -> bool:
    """Return whether an item is a tenant-day: other programs may keep further items in the partition."""
    key = str(item["SK"])
    try:
        return key == keys.day_key(parse_day(key.removeprefix(keys.DAY)))
    except UsageError:
        return False


def from_item(item: Mapping[str, Any]) -> Entry:
    """Convert an item to an entry; ignore other programs' attributes, and read their statuses as FAILED.

    Raises:
        TerminalError: One of the ledger's attributes has an unexpected type or value.
    """
    known = {each.name for each in fields(Entry)} - {"tenant", "day", "status"}
    tenant = str(item["PK"]).removeprefix("TENANT#").removesuffix("#BATCH")
    day = parse_day(str(item["SK"]).removeprefix(keys.DAY))
    status = item.get("status")
    values = {name: value for name, value in item.items() if name in known and value is not None}
    values["status"] = status if status in (*COMPLETED, *ACTIVE) else "FAILED"
    try:
        entry = msgspec.convert({**values, "tenant": tenant, "day": day}, Entry)
    except msgspec.ValidationError as error:  # its text names types and paths, no value
        raise _invalid(str(error), tenant, day) from None
    for name in _TIMESTAMPS:
        if not _is_timestamp(getattr(entry, name)):
            raise _invalid(f"{name} is not a timestamp", tenant, day)
    if not all(math.isfinite(value) for value in (entry.cost_usd or 0.0, *(entry.billed or {}).values())):
        raise _invalid("its bill is not a finite number", tenant, day)
    return entry


def _is_timestamp(text: str | None) -> bool:
    try:
        return text is None or parse_timestamp(text) is not None
    except ValueError:
        return False


def _invalid(why: str, tenant: str, day: date) -> TerminalError:
    return TerminalError(
        f"the ledger's item {keys.day_key(day)} of {keys.days_of(tenant)} is invalid: {why}",
        next_step="correct that attribute, or delete the item and run the day again (docs/ledger.md)",
        tenant=tenant,
        day=day.isoformat(),
    )
