"""What is there: the objects of a tenant-day, and never anything else of the tenant's history.

The day is the last part of a message's key, so the way down is users, rooms, and of each room only the day's folders.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from arro3.core import DataType, RecordBatch

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


class Folder(NamedTuple):
    """A user's folder, or a room's."""

    prefix: str
    is_room: bool


def list_objects(store: Store, folder: str) -> Iterator[Batch]:
    """Every object below a folder, whatever its name and nesting, in batches that are never empty."""
    prefix = folder.rstrip("/")
    # The slash keeps `acme` out of `acme-2`; obstore means that anyway.
    for batch in store.list(f"{prefix}/", chunk_size=PAGE, return_arrow=True):
        if objects := _real_objects(store, prefix, batch):
            yield objects


def list_messages(
    store: Store, *, tenant: str, folders: Sequence[str], window_us: tuple[int, int], concurrency: int
) -> Iterator[Batch]:
    """The message objects in these UTC day folders of every room, in batches that are never empty, in any order.

    An object is left out only if its name says that it was sent outside the window. One whose name says nothing is
    kept, in whichever of the folders it lies: the run decides from its body, and nothing is lost.
    """
    start_us, end_us = window_us

    def is_wanted(item: SourceObject) -> bool:
        parsed = parse_message_key(item.key)
        return parsed is None or start_us <= parsed.sent_us < end_us

    def visit(node: Folder, descend: Callable[[Folder], None]) -> Iterator[Batch]:
        if not node.is_room:
            for room in list_folders(store, node.prefix):
                descend(Folder(room, is_room=True))
            return
        for day in folders:
            for batch in list_objects(store, f"{node.prefix}/messages/{day}"):
                if wanted := [item for item in batch if is_wanted(item)]:
                    yield wanted

    users = [Folder(user, is_room=False) for user in list_folders(store, f"{tenant}/chat")]
    yield from walk(users, visit, workers=concurrency)


def list_folders(store: Store, prefix: str) -> Sequence[str]:
    """The folders right below a prefix; one answer, so memory grows with their number (100 bytes each)."""
    folders: Sequence[str] = store.list_with_delimiter(f"{prefix}/")["common_prefixes"]
    return folders


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
