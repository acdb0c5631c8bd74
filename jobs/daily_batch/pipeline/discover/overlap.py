"""Keep tables and messages apart: where one lies in the other's folders, a run reads or removes what is not its own."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from daily_batch.domain.keys import TABLES_FOLDER, TENANT, export_root, is_tenant
from daily_batch.domain.url import StorageUrl
from daily_batch.errors import UsageError

CHAT, TABLES = "{tenant}/chat", f"{{tenant}}/{TABLES_FOLDER}"
# A folder, part by part: a name, or what a tenant or a day may be called.
Part = str | re.Pattern[str]
_FIELDS = {"{tenant}": TENANT.pattern, "{yyyy}": r"\d{4}", "{mm}": r"\d{2}", "{dd}": r"\d{2}"}


def check_apart(source: StorageUrl, target: StorageUrl, tenants: Iterable[str], *, export_template: str) -> None:
    """Refuse an output whose tables would lie in a folder of messages, of any tenant, or around one.

    Local folders are compared by where they really are, through links and `..`.

    Raises:
        UsageError: they would.
    """
    if _store(source) != _store(target):
        return
    exports = export_root(export_template)
    for messages in (CHAT, export_template if exports == "{tenant}" else exports):
        places = [_parts(source, messages)]
        for tenant in filter(is_tenant, tenants):
            tables = TABLES.replace("{tenant}", tenant)
            own, root = (each.replace("{tenant}", tenant) for each in (messages, export_root(messages)))
            # The tenant's own folders may be links as well.
            places.append(_parts(_below(source, root), own.removeprefix(root)))
            for table in (_parts(target, tables), _parts(_below(target, tables), "")):
                if any(_lies_in(table, place) or _lies_in(place, table) for place in places):
                    raise _refused(source, messages)
    if _lies_in(_parts(source, ""), _parts(target, TABLES)):
        raise _refused(source, CHAT)


def _refused(source: StorageUrl, messages: str) -> UsageError:
    return UsageError(
        f"the output's tables and the input's messages ({source}/{messages}) would lie in one folder",
        next_step="give the folder that holds the tenants' folders as --input, and it or another as --output",
    )


def _lies_in(inner: Sequence[Part], outer: Sequence[Part]) -> bool:
    """Whether a folder is another, or lies below it."""
    return len(inner) >= len(outer) and all(map(_may_be_one, inner, outer))


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
