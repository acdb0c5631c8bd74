"""Find a tenant's active rooms in the metadata store."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from daily_batch.domain.calendar import to_us
from daily_batch.errors import TerminalError
from daily_batch.metadata import Item, MetadataStore
from daily_batch.metadata.keys import ROOM, USER, all_of, rooms_of, users_of

# A coarser time than a second would not say when in its day or minute a room was updated.
_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}")
# Names that cannot be part of an object's key; store clients refuse them, too.
_INVALID_NAME = re.compile(r"\.{0,2}|.*[/\x00-\x1f\x7f\ud800-\udfff].*", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class MetadataRooms:
    """The rooms whose `updated_at` is at or after the day's start. A room whose `updated_at` is unreadable is included.

    The result is only as complete as the store: a user or room without an item, or with an `updated_at` before its last
    message, is missed (`compare_discovery` finds such rooms). An object whose name does not say when it was sent is
    found, in any of the day's UTC folders, if its room was active since the day's start.

    A name that cannot be part of a key (empty, `.`, `..`, or with a slash or a control character) leads to no object.
    If its room was active, the day fails with a terminal error: skipping the room could lose messages silently. An
    inactive room is skipped like any other, so that one bad item does not stop all later days.

    Attributes:
        metadata: The store; many threads query it at the same time.
        tenant: A validated tenant id.
        start_us: The day's start minus the slack, microseconds since 1970 UTC.
    """

    metadata: MetadataStore
    tenant: str
    start_us: int

    def list_users(self) -> Iterator[str]:
        """Yield every user's name, active or not."""
        for item in _query(self.metadata, users_of(self.tenant), USER):
            yield _read_name(item, USER)

    def list_rooms(self, user: str) -> Iterator[str]:
        """Yield the prefixes of a user's active rooms.

        Raises:
            TerminalError: An active room, or its user, has a name that cannot be part of a key.
        """
        for item in _query(self.metadata, rooms_of(self.tenant, user), ROOM):
            if is_active(item.get("updated_at"), start_us=self.start_us):
                yield self._make_prefix(user, _read_name(item, ROOM))

    def _make_prefix(self, user: str, room: str) -> str:
        for name in (user, room):
            if _INVALID_NAME.fullmatch(name):
                raise TerminalError(
                    f"the metadata store names room {room[:80]!a} of user {user[:80]!a}, which no key can hold",
                    tenant=self.tenant,
                    next_step="correct or remove that item, or set discovery to listing",
                )
        return f"{self.tenant}/chat/{user}/{room}"


def is_active(updated_at: object, *, start_us: int) -> bool:
    """Return whether a room may hold messages of `start_us` or later. An `updated_at` without a zone is UTC."""
    updated_us = _parse_instant(updated_at)
    return updated_us is None or updated_us >= start_us


def _parse_instant(text: object) -> int | None:
    if not isinstance(text, str) or not _INSTANT.match(text):
        return None
    try:
        moment = datetime.fromisoformat(text)
        return to_us(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        return None


def _query(metadata: MetadataStore, pk: str, kind: str) -> Iterator[Item]:
    first, last = all_of(kind)
    items = metadata.query(pk, first=first, last=last)
    return (item for item in items if _sort_key(item).startswith(kind))


def _read_name(item: Item, kind: str) -> str:
    return _sort_key(item).removeprefix(kind)


def _sort_key(item: Item) -> str:
    return str(item["SK"])
