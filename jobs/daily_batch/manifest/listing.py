"""What is there: the objects of a tenant-day, and never anything else of the tenant's history.

The day is the last part of a message's key, so the way down is users, rooms, and of each room only the day's folders.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from arro3.core import DataType, RecordBatch

from daily_batch.errors import Terminal
from daily_batch.manifest.walk import walk
from daily_batch.paths import parse_message_key
from daily_batch.plan import SourceObject

Batch = list[SourceObject]
PAGE = 1000  # what S3 answers at most


class Store(Protocol):
    """What a listing needs of an obstore store."""

    def list(self, prefix: str, *, chunk_size: int, return_arrow: Literal[True]) -> Iterator[RecordBatch]:
        """Everything below a prefix, as a stream of Arrow batches."""

    def list_with_delimiter(self, prefix: str) -> Any:
        """The folders and objects right below a prefix."""

    def head(self, path: str) -> Any:
        """The metadata of one object."""


class Rooms(Protocol):
    """What tells a tenant's rooms; called from many threads at once."""

    def list_users(self) -> Iterable[str]:
        """The users' names."""

    def list_rooms(self, user: str) -> Iterable[str]:
        """The prefixes of a user's rooms, `{tenant}/chat/{user}/{room}`."""


@dataclass(frozen=True)
class ListedRooms:
    """Every room that has a folder."""

    store: Store
    tenant: str

    def list_users(self) -> Sequence[str]:
        """See `Rooms.list_users`."""
        return [folder.rpartition("/")[2] for folder in list_folders(self.store, f"{self.tenant}/chat")]

    def list_rooms(self, user: str) -> Sequence[str]:
        """See `Rooms.list_rooms`."""
        return list_folders(self.store, f"{self.tenant}/chat/{user}")


class Node(NamedTuple):
    """A user by name, or a room by prefix."""

    name: str
    is_room: bool


def list_objects(store: Store, folder: str) -> Iterator[Batch]:
    """Every object below a folder, whatever its name and nesting, in batches that are never empty."""
    prefix = folder.rstrip("/")
    # The slash keeps `acme` out of `acme-2`; obstore means that anyway.
    for batch in store.list(f"{prefix}/", chunk_size=PAGE, return_arrow=True):
        if objects := _real_objects(store, prefix, batch):
            yield objects


def list_messages(
    store: Store,
    *,
    tenant: str,
    folders: Sequence[str],
    window_us: tuple[int, int],
    concurrency: int,
    rooms: Rooms | None = None,
) -> Iterator[Batch]:
    """The message objects in these UTC day folders of every room, in any order; a batch is of one room, never empty.

    An object is left out only if its name says that it was sent outside the window. One whose name says nothing is
    kept, in whichever of the folders it lies: the run decides from its body, and nothing is lost.

    Args:
        store: Where the messages are.
        tenant: A checked tenant id.
        folders: `yyyy/mm/dd` of the UTC days that `window_us` touches.
        window_us: Microseconds since 1970 UTC, end exclusive.
        concurrency: Calls at once.
        rooms: Names the rooms to look into; without it they are listed.

    Raises:
        Terminal: `rooms` names no user of a tenant that has objects.
    """
    start_us, end_us = window_us
    source = rooms or ListedRooms(store, tenant)

    def is_wanted(item: SourceObject) -> bool:
        parsed = parse_message_key(item.key)
        return parsed is None or start_us <= parsed.sent_us < end_us

    def visit(node: Node, descend: Callable[[Node], None]) -> Iterator[Batch]:
        if not node.is_room:
            for room in source.list_rooms(node.name):
                descend(Node(room, is_room=True))
            return
        for day in folders:
            for batch in list_objects(store, f"{node.name}/messages/{day}"):
                if wanted := [item for item in batch if is_wanted(item)]:
                    yield wanted

    users = [Node(user, is_room=False) for user in source.list_users()]
    if rooms is not None:
        _check_named(store, tenant, users)
    yield from walk(users, visit, workers=concurrency)


def list_folders(store: Store, prefix: str) -> Sequence[str]:
    """The folders right below a prefix; one answer, so memory grows with their number (100 bytes each)."""
    folders: Sequence[str] = store.list_with_delimiter(f"{prefix}/")["common_prefixes"]
    return folders


def _check_named(store: Store, tenant: str, users: Collection[Node]) -> None:
    """Refuse what would otherwise pass for a day without messages: an empty or wrong store of metadata."""
    # Asked in any case: where no room is active, nothing else would show a missing bucket or denied access.
    stored = next(list_objects(store, f"{tenant}/chat"), None)
    if stored and not users:
        raise Terminal(
            "the metadata store names no user of this tenant, but the input holds objects of it",
            tenant=tenant,
            next_step="check which metadata store is set, or set discovery to listing",
        )


def _real_objects(store: Store, folder: str, batch: RecordBatch) -> Batch:
    keys, sizes, etags = (batch[name].to_pylist() for name in ("path", "size", "e_tag"))
    times = batch["last_modified"].cast(DataType.int64()).to_pylist()
    rows = zip(keys, sizes, etags, times, strict=True)
    objects = [SourceObject(key, size, etag or "", time) for key, size, etag, time in rows]
    if 0 not in sizes:
        return objects
    return [item for item in objects if item.size or not _is_marker(store, folder, item.key)]


def _is_marker(store: Store, folder: str, key: str) -> bool:
    """Whether an empty object is a console's folder marker: object_store lists `x/` as `x`, where nothing is."""
    if key == folder:
        return True
    try:
        store.head(key)
    except FileNotFoundError:
        return True
    return False
