"""Check that tables and messages do not share folders: a run would read or remove files that are not its own."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from daily_batch.domain.keys import TABLES_FOLDER, TENANT, export_root, is_tenant
from daily_batch.domain.url import StorageUrl
from daily_batch.errors import UsageError

CHAT, TABLES = "{tenant}/chat", f"{{tenant}}/{TABLES_FOLDER}"
# One part of a path: a name, or a pattern for the names of tenants and days.
Part = str | re.Pattern[str]
_FIELDS = {"{tenant}": TENANT.pattern, "{yyyy}": r"\d{4}", "{mm}": r"\d{2}", "{dd}": r"\d{2}"}


def check_no_overlap(source: StorageUrl, target: StorageUrl, tenants: Iterable[str], *, export_template: str) -> None:
    """Raise if the output's tables would be in a folder of messages of any tenant, or such a folder in theirs.

    Local folders are compared by their real paths.

    Raises:
        UsageError: the folders overlap.
    """
    if _identify_store(source) != _identify_store(target):
        return
    exports = export_root(export_template)
    for messages in (CHAT, export_template if exports == "{tenant}" else exports):
        message_folders = [_split_path(source, messages)]
        for tenant in filter(is_tenant, tenants):
            tables = TABLES.replace("{tenant}", tenant)
            own, root = (each.replace("{tenant}", tenant) for each in (messages, export_root(messages)))
            # The tenant's own folders may be links as well.
            message_folders.append(_split_path(_below(source, root), own.removeprefix(root)))
            for table in (_split_path(target, tables), _split_path(_below(target, tables), "")):
                if any(_contains(folder, table) or _contains(table, folder) for folder in message_folders):
                    raise _overlap_error(source, messages)
    if _contains(_split_path(target, TABLES), _split_path(source, "")):
        raise _overlap_error(source, CHAT)


def _overlap_error(source: StorageUrl, messages: str) -> UsageError:
    return UsageError(
        f"the output's tables and the input's messages ({source}/{messages}) would be in one folder",
        next_step="set --input to the folder that holds the tenants' folders, and --output to the same or another one",
    )


def _contains(outer: Sequence[Part], inner: Sequence[Part]) -> bool:
    """Return whether `inner` is `outer` or a folder below it."""
    return len(inner) >= len(outer) and all(map(_may_match, inner, outer))


def _split_path(root: StorageUrl, below: str) -> Sequence[Part]:
    path = os.path.realpath(root.path) if _is_local(root) else root.path
    return [*filter(None, path.split("/")), *map(_parse_part, filter(None, below.split("/")))]


def _parse_part(part: str) -> Part:
    pieces = re.split(r"(\{\w+\})", part)
    return part if len(pieces) == 1 else re.compile("".join(_FIELDS.get(each, re.escape(each)) for each in pieces))


def _may_match(one: Part, other: Part) -> bool:
    if isinstance(one, str):
        return one == other if isinstance(other, str) else other.fullmatch(one) is not None
    return not isinstance(other, str) or one.fullmatch(other) is not None


def _below(root: StorageUrl, folder: str) -> StorageUrl:
    return replace(root, path=f"{root.path}/{folder}", text=f"{root}/{folder}")


def _identify_store(url: StorageUrl) -> tuple[str, str, str]:
    return "local" if _is_local(url) else url.kind, url.bucket, url.account


def _is_local(url: StorageUrl) -> bool:
    return url.kind in ("file", "volume")
