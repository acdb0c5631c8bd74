"""Keep tables and messages apart: where one lies in the other's folders, a run reads or removes what is not its own."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from daily_batch.errors import Misuse
from daily_batch.paths import StorageUrl, export_root, is_tenant

CHAT, TABLES = "{tenant}/chat", "{tenant}/analytics"
# A folder, part by part: a name, or what a tenant or a day may be called.
Part = str | re.Pattern[str]
_FIELDS = {"{tenant}": r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", "{yyyy}": r"\d{4}", "{mm}": r"\d{2}", "{dd}": r"\d{2}"}


def check_apart(source: StorageUrl, target: StorageUrl, tenants: Iterable[str], *, export_template: str) -> None:
    """Refuse an output whose tables would lie in a folder of messages, of any tenant, or around one.

    Local folders are compared by where they really are, through links and `..`.

    Raises:
        Misuse: they would.
    """
    places = [(source, messages, target, TABLES) for messages in (CHAT, export_template)]
    if _is_local(source) and _is_local(target):
        # The tenant's own folders may be links as well.
        for tenant in filter(is_tenant, tenants):
            tables = _below(target, TABLES.replace("{tenant}", tenant))
            for messages in (CHAT, export_template):
                own, root = (each.replace("{tenant}", tenant) for each in (messages, export_root(messages)))
                places.append((_below(source, root), own.removeprefix(root), tables, ""))
    for source_root, messages, target_root, tables_below in places:
        if _overlap(source_root, messages, target_root, tables_below):
            raise Misuse(
                f"the output's tables and the input's messages ({source_root}/{messages}) would lie in one folder",
                next_step="give the folder that holds the tenants' folders as --input, and it or another as --output",
            )


def _overlap(source: StorageUrl, messages: str, target: StorageUrl, tables: str) -> bool:
    """Whether one folder may be, or lie in, the other."""
    if _store(source) != _store(target):
        return False
    pairs = zip(_parts(source, messages), _parts(target, tables), strict=False)
    return all(_may_be_one(one, other) for one, other in pairs)


def _parts(root: StorageUrl, below: str) -> Sequence[Part]:
    path = os.path.realpath(root.path) if _is_local(root) else root.path
    return [*filter(None, path.split("/")), *map(_read_part, filter(None, below.split("/")))]


def _read_part(part: str) -> Part:
    pieces = re.split(r"(\{\w+\})", part)
    return part if len(pieces) == 1 else re.compile("".join(_FIELDS.get(each, re.escape(each)) for each in pieces))


def _may_be_one(one: Part, other: Part) -> bool:
    if isinstance(one, str):
        return one == other if isinstance(other, str) else other.fullmatch(one) is not None
    return not isinstance(other, str) or one.fullmatch(other) is not None


def _below(root: StorageUrl, folder: str) -> StorageUrl:
    return replace(root, path=f"{root.path}/{folder}", text=f"{root}/{folder}")


def _store(url: StorageUrl) -> tuple[str, str, str]:
    return "local" if _is_local(url) else url.kind, url.bucket, url.account


def _is_local(url: StorageUrl) -> bool:
    return url.kind in ("file", "volume")
