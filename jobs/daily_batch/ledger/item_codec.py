"""What the ledger keeps, as items of the metadata store; an item that somebody spoiled is never guessed at."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import date
from typing import Any

import msgspec

from daily_batch.domain.calendar import parse_day
from daily_batch.errors import TerminalError, UsageError
from daily_batch.ledger.entry import AT_WORK, COMPLETED, Entry, read_moment
from daily_batch.metadata import keys
from daily_batch.metadata.store import spoiled

# Those that are compared; `processed_at` is only told.
_MOMENTS = ("lease_until", "asked_at", "started_at", "updated_at")


@dataclass(frozen=True, kw_only=True)
class FoundStrays:
    """How many of a tenant's objects lay where no run looks when somebody looked for them last."""

    tenant: str
    objects: int
    found_at: str

    @property
    def sentence(self) -> str:
        """For a person."""
        return f"{self.objects:,} objects lay where no run looks on {self.found_at[:10]} (makoto-batch plan --strays)"


def strays_from_item(item: Mapping[str, Any], tenant: str) -> FoundStrays:
    """What an item says of a tenant's strays.

    Raises:
        Terminal: an attribute has another type than we give it.
    """
    values = {"tenant": tenant, "objects": item.get("objects"), "found_at": item.get("found_at")}
    try:
        return msgspec.convert(values, FoundStrays)
    except msgspec.ValidationError as error:
        raise spoiled(f"{keys.STRAYS} of {keys.days_of(tenant)}", str(error)) from None


def to_item(entry: Entry) -> dict[str, Any]:
    """The entry as an item of the metadata store (PLATFORM.md: a day's batch)."""
    values = {name: value for name, value in asdict(entry).items() if name not in ("tenant", "day")}
    place = {"PK": keys.days_of(entry.tenant), "SK": keys.day_key(entry.day)}
    return {**place, "batch_type": keys.BATCH_TYPE, **values}


def is_day(item: Mapping[str, Any]) -> bool:
    """Whether an item is a tenant-day's: other programs may keep more beside it."""
    key = str(item["SK"])
    try:
        return key == keys.day_key(parse_day(key.removeprefix(keys.DAY)))
    except UsageError:
        return False


def from_item(item: Mapping[str, Any]) -> Entry:
    """The entry of an item; fields that are not ours are left out, and a status of another program counts as FAILED.

    Raises:
        Terminal: an attribute of ours has another type than we give it, so nobody knows what is meant.
    """
    known = {each.name for each in fields(Entry)} - {"tenant", "day", "status"}
    tenant = str(item["PK"]).removeprefix("TENANT#").removesuffix("#BATCH")
    day = parse_day(str(item["SK"]).removeprefix(keys.DAY))
    status = item.get("status")
    values = {name: value for name, value in item.items() if name in known and value is not None}
    values["status"] = status if status in (*COMPLETED, *AT_WORK) else "FAILED"
    try:
        entry = msgspec.convert({**values, "tenant": tenant, "day": day}, Entry)
    except msgspec.ValidationError as error:  # it names types and places, no value
        raise _spoiled(str(error), tenant, day) from None
    for name in _MOMENTS:
        if not _is_moment(getattr(entry, name)):
            raise _spoiled(f"{name} is no moment", tenant, day)
    if not all(math.isfinite(value) for value in (entry.cost_usd or 0.0, *(entry.billed or {}).values())):
        raise _spoiled("what it was billed is no number", tenant, day)
    return entry


def _is_moment(text: str | None) -> bool:
    try:
        return text is None or read_moment(text) is not None
    except ValueError:
        return False


def _spoiled(why: str, tenant: str, day: date) -> TerminalError:
    return TerminalError(
        f"the ledger's item {keys.day_key(day)} of {keys.days_of(tenant)} is not understood: {why}",
        next_step="correct that attribute, or delete the item and run the day again (docs/ledger.md)",
        tenant=tenant,
        day=day.isoformat(),
    )
