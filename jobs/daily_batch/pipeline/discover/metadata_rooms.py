"""The rooms of a tenant that were active since the day began, as the metadata store names them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from daily_batch.domain.calendar import to_us
from daily_batch.errors import TerminalError
from daily_batch.metadata import Item, MetadataStore
from daily_batch.metadata.keys import ROOM, USER, all_of, rooms_of, users_of

# Coarser than a second would hide when in its day or minute a room was updated.
_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}")
# What cannot stand between the slashes of an object's key: store clients refuse it there as well.
_NO_NAME = re.compile(r"\.{0,2}|.*[/\x00-\x1f\x7f\ud800-\udfff].*", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class MetadataRooms:
    """The rooms whose `updated_at` is at or after the day's start, or cannot be read: none is left out by doubt.

    Only as good as the store: a user or room that has no item there, or an `updated_at` before the last message, is
    not seen (`compare_discovery` finds them). An object in a day's folder whose name tells no time is found if the
    room was active since the day's start, in whichever of the day's UTC folders it lies.

    A name that cannot be part of a key (empty, `.` or `..`, or with a slash or a control character) leads nowhere: if
    its room was active, the day fails for good, for its messages would be lost without a word. An inactive one is
    passed over like all others, so that one bad item does not stop every day to come.

    Attributes:
        metadata: Asked from many threads at once.
        tenant: A checked tenant id.
        start_us: The day's start with its slack, microseconds since 1970 UTC.
    """

    metadata: MetadataStore
    tenant: str
    start_us: int

    def list_users(self) -> Iterator[str]:
        """Every user's name, active or not."""
        for item in _items(self.metadata, users_of(self.tenant), USER):
            yield _name(item, USER)

    def list_rooms(self, user: str) -> Iterator[str]:
        """The prefixes of a user's active rooms.

        Raises:
            Terminal: an active room, or its user, has a name that cannot be part of a key.
        """
        for item in _items(self.metadata, rooms_of(self.tenant, user), ROOM):
            if is_active(item.get("updated_at"), start_us=self.start_us):
                yield self._prefix(user, _name(item, ROOM))

    def _prefix(self, user: str, room: str) -> str:
        for name in (user, room):
            if _NO_NAME.fullmatch(name):
                raise TerminalError(
                    f"the metadata store names room {room[:80]!a} of user {user[:80]!a}, which no key can hold",
                    tenant=self.tenant,
                    next_step="correct or remove that item, or set discovery to listing",
                )
        return f"{self.tenant}/chat/{user}/{room}"


def is_active(updated_at: object, *, start_us: int) -> bool:
    """Whether a room may hold messages of `start_us` or later; without a zone, `updated_at` is UTC."""
    updated_us = _read_instant(updated_at)
    return updated_us is None or updated_us >= start_us


def _read_instant(text: object) -> int | None:
    if not isinstance(text, str) or not _INSTANT.match(text):
        return None
    try:
        moment = datetime.fromisoformat(text)
        return to_us(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        return None


def _items(metadata: MetadataStore, pk: str, kind: str) -> Iterator[Item]:
    first, last = all_of(kind)
    found = metadata.query(pk, first=first, last=last)
    return (item for item in found if _sort_key(item).startswith(kind))


def _name(item: Item, kind: str) -> str:
    return _sort_key(item).removeprefix(kind)


def _sort_key(item: Item) -> str:
    return str(item["SK"])
