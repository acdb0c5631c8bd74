"""Objects of a tenant that lie where no run of any day looks: day folders that are written otherwise, other names."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from daily_batch.domain.calendar import parse_day
from daily_batch.domain.keys import analytics_folder, export_root
from daily_batch.errors import UsageError
from daily_batch.pipeline.discover.listing_errors import check_root, explain_failures
from daily_batch.pipeline.discover.object_tree import Store, open_tree

# Folders that are told apart; what lies in more is counted together. Parts of a folder's name that are told.
MOST_FOLDERS = 200
_PARTS = 8
ELSEWHERE = "…"


@dataclass(frozen=True, kw_only=True)
class StrayFolder:
    """Stray objects that lie alike: users and rooms are `*` in `folder`; `example` is the first of their keys."""

    folder: str
    why: str
    objects: int
    example: str


@dataclass(frozen=True, kw_only=True)
class Strays:
    """What a tenant's input holds where no run looks, the most first, of so many objects in all."""

    listed: int
    objects: int
    folders: tuple[StrayFolder, ...]


def find_strays(
    store: Store, *, tenant: str, export_template: str, progress: Callable[[int], None] = lambda listed: None
) -> Strays:
    """List all of a tenant's objects once, and count those that lie where no run looks.

    Memory does not grow with the objects, nor with the folders beyond `MOST_FOLDERS`. Tables are left out, and so is
    what is no data by its name.

    Raises:
        Terminal: denied, or a missing root.
        Retryable: the listing failed midway.
    """
    check_root(store, tenant=tenant, day="-")
    find_fault = _make_judge(tenant, export_template)
    counts: Counter[tuple[str, str]] = Counter()
    examples: dict[tuple[str, str], str] = {}
    listed = 0
    for key in _list_keys(store, tenant):
        listed += 1
        if listed % 10_000 == 0:
            progress(listed)
        why = find_fault(key)
        if why is None:
            continue
        place = _generalize(key), why
        if place not in counts and len(counts) >= MOST_FOLDERS:
            place = ELSEWHERE, "more folders than are told apart"
        counts[place] += 1
        examples.setdefault(place, key)
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


def _make_judge(tenant: str, export_template: str) -> Callable[[str], str | None]:
    """What says of a key why no run looks where it lies; None if one does."""
    literal = re.escape(export_template.replace("{tenant}", tenant))
    exports = re.compile(_with_day(literal) + ".+", re.DOTALL)
    messages = re.compile(
        _with_day(rf"{tenant}/chat/[^/]+/[^/]+/messages/\{{yyyy\}}/\{{mm\}}/\{{dd\}}/") + ".+", re.DOTALL
    )
    root = export_root(export_template).replace("{tenant}", tenant) + "/"

    def find_fault(key: str) -> str | None:
        for pattern in (messages, exports):
            if match := pattern.fullmatch(key):
                return None if _is_day(match) else "there is no such day"
        if key.startswith(f"{tenant}/chat/"):
            below = key.split("/")[4:5] == ["messages"]
            return "its day is not written yyyy/mm/dd" if below else "it does not lie in {user}/{room}/messages"
        return "its day is not written as in export_template" if key.startswith(root) else "no run knows this folder"

    return find_fault


def _with_day(literal: str) -> str:
    """A pattern in which each part of the day is a group at its first place, and the same at any other."""
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


def _generalize(key: str) -> str:
    """The folder of a key without its tenant, whoever its user and whichever its room."""
    parts = key.split("/")[1:-1]
    if parts[:1] == ["chat"]:
        parts = ["chat", *("*" for _ in parts[1:3]), *parts[3:]]
    return "/".join(parts[:_PARTS]) or "."
