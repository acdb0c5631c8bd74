"""Find a tenant's stray objects: those that no run of any day would read, such as misspelled day folders."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from daily_batch.domain.calendar import parse_day
from daily_batch.domain.keys import analytics_folder, export_root
from daily_batch.errors import UsageError
from daily_batch.pipeline.discover.listing_errors import check_root, explain_failures
from daily_batch.pipeline.discover.object_tree import Store, open_tree

# The number of folders that are reported separately; stray objects in further folders are counted together.
MAX_FOLDERS = 200
# The number of parts of a folder's path that are reported.
_MAX_PARTS = 8
OTHER_FOLDERS = "…"


@dataclass(frozen=True, kw_only=True)
class StrayFolder:
    """The stray objects of one kind of folder.

    Attributes:
        folder: The folder's path below the tenant, with `*` for users and rooms.
        why: The reason why no run reads these objects.
        objects: The number of objects.
        example: The first of their keys.
    """

    folder: str
    why: str
    objects: int
    example: str


@dataclass(frozen=True, kw_only=True)
class Strays:
    """The stray objects of a tenant.

    Attributes:
        listed: The number of all objects that were listed.
        objects: The number of stray objects.
        folders: Their folders, those with the most objects first.
    """

    listed: int
    objects: int
    folders: tuple[StrayFolder, ...]


def find_strays(
    store: Store, *, tenant: str, export_template: str, progress: Callable[[int], None] = lambda listed: None
) -> Strays:
    """List all of a tenant's objects once and count the stray ones.

    Memory grows neither with the number of objects nor with the number of folders beyond `MAX_FOLDERS`. Tables and
    marker files are skipped.

    Raises:
        TerminalError: Access is denied, or the root does not exist.
        RetryableError: The listing failed midway.
    """
    check_root(store, tenant=tenant, day="-")
    explain = _make_explainer(tenant, export_template)
    counts: Counter[tuple[str, str]] = Counter()
    examples: dict[tuple[str, str], str] = {}
    listed = 0
    for key in _list_keys(store, tenant):
        listed += 1
        if listed % 10_000 == 0:
            progress(listed)
        why = explain(key)
        if why is None:
            continue
        group = _generalize_folder(key), why
        if group not in counts and len(counts) >= MAX_FOLDERS:
            group = OTHER_FOLDERS, "in more folders than are listed"
        counts[group] += 1
        examples.setdefault(group, key)
    folders = [
        StrayFolder(folder=folder, why=why, objects=objects, example=examples[folder, why])
        for (folder, why), objects in counts.most_common()
    ]
    return Strays(listed=listed, objects=counts.total(), folders=tuple(folders))


def _list_keys(store: Store, tenant: str) -> Iterator[str]:
    tables = f"{analytics_folder(tenant)}/"
    batches = open_tree(store, tenant).list_objects(tenant, nested=True)
    for objects, _ in explain_failures(batches, tenant=tenant, day="-"):
        yield from (item.key for item in objects if not item.key.startswith(tables))


def _make_explainer(tenant: str, export_template: str) -> Callable[[str], str | None]:
    """Return a function that says why no run reads a key, or None if a run of some day reads it."""
    literal = re.escape(export_template.replace("{tenant}", tenant))
    exports = re.compile(_with_day(literal) + ".+", re.DOTALL)
    messages = re.compile(
        _with_day(rf"{tenant}/chat/[^/]+/[^/]+/messages/\{{yyyy\}}/\{{mm\}}/\{{dd\}}/") + ".+", re.DOTALL
    )
    root = export_root(export_template).replace("{tenant}", tenant) + "/"

    def explain(key: str) -> str | None:
        for pattern in (messages, exports):
            if match := pattern.fullmatch(key):
                return None if _is_day(match) else "there is no such day"
        if key.startswith(f"{tenant}/chat/"):
            in_messages = key.split("/")[4:5] == ["messages"]
            return "its day is not written yyyy/mm/dd" if in_messages else "it is not in {user}/{room}/messages"
        return "its day is not written as in export_template" if key.startswith(root) else "no run reads this folder"

    return explain


def _with_day(literal: str) -> str:
    """Return a pattern with a group for each part of the day, and a back reference where the part is repeated."""
    for name, digits in (("yyyy", 4), ("mm", 2), ("dd", 2)):
        first, *others = re.split(rf"\\\{{{name}\\\}}", literal)
        literal = first + f"(?P<{name}>[0-9]{{{digits}}})" + f"(?P={name})".join(others)
    return literal


def _is_day(match: re.Match[str]) -> bool:
    try:
        parse_day(f"{match['yyyy']}-{match['mm']}-{match['dd']}")
    except UsageError:
        return False
    return True


def _generalize_folder(key: str) -> str:
    """Return the folder of a key below its tenant, with `*` for the user and the room."""
    parts = key.split("/")[1:-1]
    if parts[:1] == ["chat"]:
        parts = ["chat", *("*" for _ in parts[1:3]), *parts[3:]]
    return "/".join(parts[:_MAX_PARTS]) or "."
