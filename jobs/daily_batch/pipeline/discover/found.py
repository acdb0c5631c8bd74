"""What a listing found: objects to read, objects that cannot be, and how many were left out."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from daily_batch.domain.contract import Reason
from daily_batch.domain.run import SourceObject
from daily_batch.pipeline.discover.markers import has_marker_folder, is_marker

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
