"""What is there: the objects of a tenant-day, and never anything else of the tenant's history.

The day is the last part of a message's key, so the way down is users, rooms, and of each room only the day's folders.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from daily_batch.domain.contract import Reason
from daily_batch.domain.keys import parse_message_key
from daily_batch.domain.run import SourceObject
from daily_batch.errors import TerminalError
from daily_batch.pipeline.discover.markers import has_marker_folder, is_marker
from daily_batch.pipeline.discover.walk import walk

# What obstore refuses to list and to get, measured with 0.12.1: a control character, or an empty part, . or ..
_REFUSED = re.compile(r"(?P<control>[\x00-\x1f\x7f])|(?:\A|/)\.{0,2}(?:/|\Z)")


class Batch(NamedTuple):
    """Some objects, and how many beside them are left out."""

    objects: list[SourceObject]
    ignored: int = 0


class Folders(NamedTuple):
    """The names of the folders right below another, and links there that cannot be followed."""

    names: Sequence[str]
    refused: Sequence[SourceObject] = ()


class Tree(Protocol):
    """A tenant's input, as far as a listing needs it; called from many threads at once."""

    def list_objects(self, folder: str, *, nested: bool) -> Iterator[Batch]:
        """Every object below a folder; `nested`: names of folders below it say what is left out, too."""

    def list_folders(self, folder: str) -> Folders:
        """The folders right below a folder; one answer, so memory grows with their number (100 bytes each)."""


def sort_out(items: Iterable[SourceObject], *, folder: str, nested: bool) -> Batch:
    """Leave out and count what is no data by its name below `folder`."""
    kept = []
    ignored = 0
    for item in items:
        *folders, name = item.key[len(folder) + 1 :].split("/")
        # A link that cannot be followed may have been meant for a folder.
        if is_marker(name) or (nested and has_marker_folder([*folders, name] if item.reason else folders)):
            ignored += 1
        else:
            kept.append(item)
    return Batch(kept, ignored)


def refuse_name(item: SourceObject) -> SourceObject:
    """The object, refused if its key is one that the storage client cannot read."""
    found = _REFUSED.search(item.key)
    if found is None:
        return item
    detail = "the name holds a control character" if found["control"] else "a part of the name is empty, . or .."
    return refuse(item, Reason.INVALID_NAME, detail)


def refuse(item: SourceObject, reason: Reason, detail: str) -> SourceObject:
    """The object as one that cannot be read."""
    return item._replace(reason=str(reason), detail=detail)


class Rooms(Protocol):
    """What tells a tenant's rooms; called from many threads at once."""

    def list_users(self) -> Iterable[str]:
        """The users' names."""

    def list_rooms(self, user: str) -> Iterable[str]:
        """The prefixes of a user's rooms, `{tenant}/chat/{user}/{room}`."""


class _Node(NamedTuple):
    """A user by name, or a room by prefix."""

    name: str
    is_room: bool


def list_messages(
    tree: Tree,
    *,
    tenant: str,
    folders: Sequence[str],
    window_us: tuple[int, int],
    concurrency: int,
    rooms: Rooms | None = None,
) -> Iterator[Batch]:
    """The message objects in these UTC day folders of every room, in any order; a batch is of one room.

    An object is left out only if its name says that it was sent outside the window. One whose name says nothing is
    kept, in whichever of the folders it lies: the run decides from its body, and nothing is lost.

    Args:
        tree: Where the messages are.
        tenant: A checked tenant id.
        folders: `yyyy/mm/dd` of the UTC days that `window_us` touches.
        window_us: Microseconds since 1970 UTC, end exclusive.
        concurrency: Calls at once.
        rooms: Names the rooms to look into; without it they are listed.

    Raises:
        Terminal: `rooms` names no user of a tenant that has objects.
    """
    start_us, end_us = window_us
    chat = f"{tenant}/chat"

    def is_wanted(item: SourceObject) -> bool:
        parsed = parse_message_key(item.key)
        return parsed is None or start_us <= parsed.sent_us < end_us

    def visit(node: _Node, descend: Callable[[_Node], None]) -> Iterator[Batch]:
        if node.is_room:
            for day in folders:
                for objects, ignored in tree.list_objects(f"{node.name}/messages/{day}", nested=False):
                    wanted = [item for item in objects if is_wanted(item)]
                    if wanted or ignored:
                        yield Batch(wanted, ignored)
        elif rooms is not None:
            for room in rooms.list_rooms(node.name):
                descend(_Node(room, is_room=True))
        else:
            found = tree.list_folders(f"{chat}/{node.name}")
            for name in found.names:
                descend(_Node(f"{chat}/{node.name}/{name}", is_room=True))
            if found.refused:
                yield Batch(list(found.refused))

    users = Folders(list(rooms.list_users())) if rooms is not None else tree.list_folders(chat)
    if rooms is not None:
        _check_named(tree, tenant, users.names)
    if users.refused:
        yield Batch(list(users.refused))
    yield from walk([_Node(user, is_room=False) for user in users.names], visit, workers=concurrency)


def _check_named(tree: Tree, tenant: str, users: Sequence[str]) -> None:
    """Refuse what would otherwise pass for a day without messages: an empty or wrong store of metadata."""
    # Asked in any case: where no room is active, nothing else would show a missing bucket or denied access.
    stored = any(batch.objects for batch in tree.list_objects(f"{tenant}/chat", nested=False))
    if stored and not users:
        raise TerminalError(
            "the metadata store names no user of this tenant, but the input holds objects of it",
            tenant=tenant,
            next_step="check which metadata store is set, or set discovery to listing",
        )
