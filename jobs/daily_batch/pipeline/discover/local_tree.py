"""List a tenant's folder on a local file system, including the entries that obstore omits, follows or fails on.

obstore omits broken links and names that end in `#` and digits, follows links into other tenants' folders, and stops
at a name that it cannot read (measured with 0.12.1).
"""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from daily_batch.domain.codes import Reason
from daily_batch.domain.run import SourceObject
from daily_batch.pipeline.discover.listing import Batch, Folders, check_name, drop_markers, mark_unreadable
from daily_batch.pipeline.discover.markers import is_marker
from daily_batch.storage.stores import is_reserved

PAGE_SIZE = 1000
OUT = "a link that leads out of the tenant's folder"
NOWHERE = "a link that leads nowhere"
CIRCLE = "a link that leads back to a folder above it"
# How Python represents a byte that is not UTF-8 (surrogateescape).
_ESCAPED = re.compile("[\udc80-\udcff]")


@dataclass(frozen=True)
class LocalTree:
    """The files below `root` whose real paths are in `home`, the real path of the tenant's folder."""

    root: str
    home: str

    @classmethod
    def of(cls, root: str, tenant: str) -> "LocalTree":
        """Return the tree of a tenant's folder."""
        return cls(root, os.path.realpath(f"{root}/{tenant}"))

    def list_objects(self, folder: str, *, nested: bool) -> Iterator[Batch]:
        """See `Tree.list_objects`."""
        if link := self._find_unreadable_link(folder):
            yield Batch([link])
            return
        files = self._walk(folder, os.path.realpath(f"{self.root}/{folder}"))
        while page := list(islice(files, PAGE_SIZE)):
            yield drop_markers(page, folder=folder, nested=nested)

    def list_folders(self, folder: str) -> Folders:
        """See `Tree.list_folders`."""
        if link := self._find_unreadable_link(folder):
            return Folders((), (link,))
        names, links = [], []
        for entry in _scan(f"{self.root}/{folder}"):
            fault = self._find_fault(entry.path) if entry.is_symlink() else None
            if not fault:
                names += [entry.name] if entry.is_dir() else []
            elif not (is_marker(entry.name) or Path(entry.path).is_file()):
                links.append(_describe_link(f"{folder}/{entry.name}", entry.path, fault))
        return Folders(names, links)

    def _find_unreadable_link(self, folder: str) -> SourceObject | None:
        """Return the first link on the path to a folder that must not be followed."""
        tenant, *parts = folder.split("/")
        key = tenant
        for part in parts:
            key = f"{key}/{part}"
            path = f"{self.root}/{key}"
            try:
                mode = os.lstat(path).st_mode
            except (FileNotFoundError, NotADirectoryError):
                return None
            if stat.S_ISLNK(mode) and (fault := self._find_fault(path)):
                return _describe_link(key, path, fault)
        return None

    def _walk(self, folder: str, real: str) -> Iterator[SourceObject]:
        """Yield every file below a folder, whose real path is `real`. Pipes, sockets and devices are no objects."""
        pending: list[tuple[str, tuple[str, ...]]] = [(folder, (real,))]
        while pending:
            folder, ancestors = pending.pop()  # `ancestors` are real paths
            for entry in _scan(f"{self.root}/{folder}"):
                key, real = f"{folder}/{entry.name}", f"{ancestors[-1]}/{entry.name}"
                if entry.is_symlink():
                    fault, real = self._find_fault(entry.path), os.path.realpath(entry.path)
                    if not fault and entry.is_dir() and any(_is_within(each, real) for each in ancestors):
                        fault = CIRCLE
                    if fault:
                        yield _describe_link(key, entry.path, fault)
                        continue
                if entry.is_dir():
                    pending.append((key, (*ancestors, real)))
                elif entry.is_file():
                    with suppress(FileNotFoundError):  # deleted meanwhile
                        yield _describe(key, entry.stat())

    def _find_fault(self, link: str) -> str | None:
        if not _is_within(os.path.realpath(link), self.home):
            return OUT
        try:
            Path(link).stat()
        except PermissionError:
            raise
        except OSError:  # no such file, or links that lead to each other
            return NOWHERE
        return None


def list_local_root(root: str) -> list[str]:
    """Return the names of the folders directly below an input root. Links are followed: the operator made them."""
    return [entry.name for entry in _scan(root) if entry.is_dir()]


def _scan(path: str) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(path) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _describe(name: str, stat_result: os.stat_result) -> SourceObject:
    """Return the object with the etag that object_store would give it: reading the object compares the two."""
    modified_us = stat_result.st_mtime_ns // 1000
    etag = f'"{stat_result.st_ino:x}-{max(modified_us, 0):x}-{stat_result.st_size:x}"'
    key = os.fsencode(name).decode("utf-8", "backslashreplace")
    item = SourceObject(key, stat_result.st_size, etag, modified_us)
    if _ESCAPED.search(name):
        return mark_unreadable(item, Reason.INVALID_NAME, "the name is not UTF-8")
    if is_reserved(name):
        detail = "the name ends in # and digits, which obstore keeps for itself"
        return mark_unreadable(item, Reason.INVALID_NAME, detail)
    return check_name(item)


def _describe_link(name: str, path: str, fault: str) -> SourceObject:
    # Reveal nothing about the target, not even its size.
    return mark_unreadable(_describe(name, os.lstat(path))._replace(size=0), Reason.INVALID_LINK, fault)
