"""List the message objects of a tenant-day without listing the rest of the tenant's history.

The day is the last part of a message's key, so a listing walks users, then rooms, then only the day's folders of each
room.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from daily_batch.domain.codes import Reason
from daily_batch.domain.keys import parse_message_key
from daily_batch.domain.run import SourceObject
from daily_batch.errors import TerminalError
from daily_batch.pipeline.discover.markers import has_marker_folder, is_marker
from daily_batch.pipeline.discover.walk import walk

# Keys that obstore refuses to list and to get (measured with 0.12.1): a control character; an empty part, `.` or `..`.
_UNREADABLE_KEY = re.compile(r"(?P<control>[\x00-\x1f\x7f])|(?:\A|/)\.{0,2}(?:/|\Z)")


class Batch(NamedTuple):
    """Objects, and the number of objects beside them that are ignored."""

    objects: list[SourceObject]
    ignored: int = 0


class Folders(NamedTuple):
    """The names of a folder's subfolders, and the links among them that must not be followed."""

    names: Sequence[str]
    unreadable: Sequence[SourceObject] = ()


class Tree(Protocol):
    """A tenant's input as a tree of folders. Implementations must be thread-safe."""

    def list_objects(self, folder: str, *, nested: bool) -> Iterator[Batch]:
        """Yield every object below a folder.

        Args:
            folder: The folder's key, without a trailing slash.
            nested: Also ignore objects in marker folders below it (`markers.has_marker_folder`).
        """

    def list_folders(self, folder: str) -> Folders:
        """Return the folders directly below a folder, in one response: memory grows by some 100 bytes for each."""


def drop_markers(items: Iterable[SourceObject], *, folder: str, nested: bool) -> Batch:
    """Drop and count the objects that are no data by their names below `folder`."""
    data = []
    ignored = 0
    for item in items:
        *folders, name = item.key[len(folder) + 1 :].split("/")
        # An unreadable link may have pointed to a folder.
        if is_marker(name) or (nested and has_marker_folder([*folders, name] if item.reason else folders)):
            ignored += 1
        else:
            data.append(item)
    return Batch(data, ignored)


def check_name(item: SourceObject) -> SourceObject:
    """Return the object, marked as unreadable if the storage client cannot read its key."""
    match = _UNREADABLE_KEY.search(item.key)
    if match is None:
        return item
    detail = "the name holds a control character" if match["control"] else "a part of the name is empty, . or .."
    return mark_unreadable(item, Reason.INVALID_NAME, detail)


def mark_unreadable(item: SourceObject, reason: Reason, detail: str) -> SourceObject:
    """Return the object with the reason why it cannot be read."""
    return item._replace(reason=str(reason), detail=detail)


class RoomSource(Protocol):
    """A directory of a tenant's rooms. Implementations must be thread-safe."""

    def list_users(self) -> Iterable[str]:
        """Return the users' names."""

    def list_rooms(self, user: str) -> Iterable[str]:
        """Return the prefixes of a user's rooms, `{tenant}/chat/{user}/{room}`."""


class _Node(NamedTuple):
    """A node of the walk: a user's name, or a room's prefix."""

    name: str
    is_room: bool


def list_messages(
    tree: Tree,
    *,
    tenant: str,
    folders: Sequence[str],
    window_us: tuple[int, int],
    concurrency: int,
    rooms: RoomSource | None = None,
) -> Iterator[Batch]:
    """Yield the message objects in the given UTC day folders of every room, in any order. Each batch is of one room.

    An object is skipped only if its name says that it was sent outside the window. An object whose name does not say
    when it was sent is listed, in any of the folders: the run decides by the body, so no message is lost.

    Args:
        tree: The tenant's input.
        tenant: A validated tenant id.
        folders: `yyyy/mm/dd` of the UTC days that `window_us` touches.
        window_us: Microseconds since 1970 UTC, end exclusive.
        concurrency: The number of concurrent listing calls.
        rooms: The rooms to list; default: the rooms that are in storage.

    Raises:
        TerminalError: `rooms` names no user, but the tenant has objects.
    """
    start_us, end_us = window_us
    chat = f"{tenant}/chat"

    def may_be_in_window(item: SourceObject) -> bool:
        parsed = parse_message_key(item.key)
        return parsed is None or start_us <= parsed.sent_us < end_us

    def visit(node: _Node, descend: Callable[[_Node], None]) -> Iterator[Batch]:
        if node.is_room:
            for day in folders:
                for objects, ignored in tree.list_objects(f"{node.name}/messages/{day}", nested=False):
                    candidates = [item for item in objects if may_be_in_window(item)]
                    if candidates or ignored:
                        yield Batch(candidates, ignored)
        elif rooms is not None:
            for room in rooms.list_rooms(node.name):
                descend(_Node(room, is_room=True))
        else:
            subfolders = tree.list_folders(f"{chat}/{node.name}")
            for name in subfolders.names:
                descend(_Node(f"{chat}/{node.name}/{name}", is_room=True))
            if subfolders.unreadable:
                yield Batch(list(subfolders.unreadable))

    users = Folders(list(rooms.list_users())) if rooms is not None else tree.list_folders(chat)
    if rooms is not None:
        _check_users_known(tree, tenant, users.names)
    if users.unreadable:
        yield Batch(list(users.unreadable))
    yield from walk([_Node(user, is_room=False) for user in users.names], visit, workers=concurrency)


def _check_users_known(tree: Tree, tenant: str, users: Sequence[str]) -> None:
    """Raise if the metadata store is empty or the wrong one: the day would look like a day without messages."""
    # List in any case: if no room is active, nothing else would reveal a missing bucket or denied access.
    has_objects = any(batch.objects for batch in tree.list_objects(f"{tenant}/chat", nested=False))
    if has_objects and not users:
        raise TerminalError(
            "the metadata store names no user of this tenant, but the input holds objects of it",
            tenant=tenant,
            next_step="check which metadata store is configured, or set discovery to listing",
        )
