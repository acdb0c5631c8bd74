"""A tenant's folder on a local file system, with the entries that obstore's listing hides, follows or fails on.

obstore leaves out broken links and names that end in `#` and digits, follows links into other tenants' folders, and
gives up at a name that it cannot read (measured with 0.12.1).
"""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from daily_batch.domain.contract import Reason
from daily_batch.domain.run import SourceObject
from daily_batch.pipeline.discover.listing import Batch, Folders, refuse, refuse_name, sort_out
from daily_batch.pipeline.discover.markers import is_marker

PAGE = 1000
OUT = "a link that leads out of the tenant's folder"
NOWHERE = "a link that leads nowhere"
CIRCLE = "a link that leads back to a folder above it"
_RESERVED = re.compile(r"#[0-9]+\Z")
# How Python shows a byte that is not UTF-8.
_ESCAPED = re.compile("[\udc80-\udcff]")


@dataclass(frozen=True)
class LocalTree:
    """Files below `root`, none of them from outside of `home`, the tenant's folder without links."""

    root: str
    home: str

    @classmethod
    def of(cls, root: str, tenant: str) -> "LocalTree":
        """The tree of a tenant."""
        return cls(root, os.path.realpath(f"{root}/{tenant}"))

    def list_objects(self, folder: str, *, nested: bool) -> Iterator[Batch]:
        """See `Tree.list_objects`."""
        if refused := self._find_refused(folder):
            yield Batch([refused])
            return
        real = os.path.realpath(f"{self.root}/{folder}")
        files = self._walk(folder, real)
        while page := list(islice(files, PAGE)):
            yield sort_out(page, folder=folder, nested=nested)

    def list_folders(self, folder: str) -> Folders:
        """See `Tree.list_folders`."""
        if refused := self._find_refused(folder):
            return Folders((), (refused,))
        names, links = [], []
        for entry in _scan(f"{self.root}/{folder}"):
            fault = self._find_fault(entry.path) if entry.is_symlink() else None
            if not fault:
                names += [entry.name] if entry.is_dir() else []
            elif not (is_marker(entry.name) or Path(entry.path).is_file()):
                links.append(_refuse_link(f"{folder}/{entry.name}", entry.path, fault))
        return Folders(names, links)

    def _find_refused(self, folder: str) -> SourceObject | None:
        """The first link on the way to a folder that cannot be followed."""
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
                return _refuse_link(key, path, fault)
        return None

    def _walk(self, folder: str, real: str) -> Iterator[SourceObject]:
        """Every file below a folder; `real` is that folder without links. A pipe, socket or device is no object."""
        waiting: list[tuple[str, tuple[str, ...]]] = [(folder, (real,))]
        while waiting:
            folder, above = waiting.pop()  # `above`: the folders on the way, without links
            for entry in _scan(f"{self.root}/{folder}"):
                key, real = f"{folder}/{entry.name}", f"{above[-1]}/{entry.name}"
                if entry.is_symlink():
                    fault, real = self._find_fault(entry.path), os.path.realpath(entry.path)
                    if not fault and entry.is_dir() and any(_is_within(each, real) for each in above):
                        fault = CIRCLE
                    if fault:
                        yield _refuse_link(key, entry.path, fault)
                        continue
                if entry.is_dir():
                    waiting.append((key, (*above, real)))
                elif entry.is_file():
                    with suppress(FileNotFoundError):  # it went meanwhile
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
    """The names of the folders right below an input root; that one of them is a link is the operator's affair."""
    return [entry.name for entry in _scan(root) if entry.is_dir()]


def _scan(path: str) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(path) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _describe(name: str, found: os.stat_result) -> SourceObject:
    """The object, its etag as object_store makes it, for it is compared with that when the object is read."""
    modified_us = found.st_mtime_ns // 1000
    etag = f'"{found.st_ino:x}-{max(modified_us, 0):x}-{found.st_size:x}"'
    key = os.fsencode(name).decode("utf-8", "backslashreplace")
    item = SourceObject(key, found.st_size, etag, modified_us)
    if _ESCAPED.search(name):
        return refuse(item, Reason.INVALID_NAME, "the name is not UTF-8")
    if _RESERVED.search(name):
        return refuse(item, Reason.INVALID_NAME, "the name ends in # and digits, which obstore keeps for itself")
    return refuse_name(item)


def _refuse_link(name: str, path: str, fault: str) -> SourceObject:
    # Reveal nothing of the target, not even its size.
    return refuse(_describe(name, os.lstat(path))._replace(size=0), Reason.INVALID_LINK, fault)
