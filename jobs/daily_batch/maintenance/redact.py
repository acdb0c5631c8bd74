"""Rewrite a tenant's source objects without the records of erased users or rooms.

Objects in their folders are deleted; export objects are rewritten, or deleted where nothing is left. An object is
replaced only if it is still the one that was read.
"""

import gzip
import mmap
import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, cast

from backports import zstd
from obstore.exceptions import PreconditionError
from obstore.store import LocalStore

from daily_batch.domain.keys import TABLES_FOLDER, export_root
from daily_batch.errors import RetryableError, UsageError
from daily_batch.maintenance.redact_text import Cuts, find_cuts, holds_exactly, kept_blocks, may_hold
from daily_batch.maintenance.subject import Subject
from daily_batch.maintenance.table_files import TenantTables, delete_keys
from daily_batch.pipeline.erased_list import read_erased
from daily_batch.pipeline.runners.base import Progress
from daily_batch.pipeline.transform.decode import UnreadableError, decode
from daily_batch.pipeline.transform.raw_text import GZIP, ZSTD
from daily_batch.settings import Settings
from daily_batch.storage.scratch import temporary_folder

if TYPE_CHECKING:  # obstore has these names for type checkers only
    from obstore import GetResult, ObjectMeta, UpdateVersion
    from obstore.store import ObjectStore

# An object is replaced by one request.
MAX_STORED_BYTES = 2**30
MESSAGES_LAYOUT = "chat/"
_NO_FOLDER = re.compile(r"[/\x00-\x1f\x7f]")


@dataclass(frozen=True, kw_only=True)
class Redacted:
    """What becomes of one export object, or of all objects in the folders of the subject (`chat/`)."""

    object: str
    action: Literal["delete", "rewrite", "left"]
    objects: int = 1
    records: int | None = None
    remaining: int | None = None
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Redaction:
    """The redaction of a subject's records from the input of a tenant."""

    subject: Subject
    tables: TenantTables
    settings: Settings
    progress: Progress

    def run(self, *, confirm: bool) -> list[Redacted]:
        """Redact, or with `confirm` false only say what would be done.

        Raises:
            UsageError: An id is not erased: published tables would lose its rows without evidence.
            RetryableError: An object changed meanwhile; the same command goes on.
        """
        erased = read_erased(self.tables.storage, self.subject.tenant)
        if confirm and not all(erased.holds(self.subject.kind, each) for each in self.subject.ids):
            raise UsageError(
                f"an id is not an erased {self.subject.kind}'s",
                next_step="erase it first: makoto-batch erase",
                tenant=self.subject.tenant,
            )
        store = self.tables.storage.open_input()
        own = [item["path"] for item in self._own_objects(store)]
        done = [Redacted(object=MESSAGES_LAYOUT, action="delete", objects=len(own), remaining=0)] if own else []
        if confirm:
            delete_keys(store, own)
        exports = list(self._exports(store))
        for number, item in enumerate(exports, 1):
            found = self._redact(store, item["path"], confirm=confirm)
            done += [found] if found else []
            self.progress("redact", number, len(exports), "objects")
        return done

    def _own_objects(self, store: "ObjectStore") -> "Iterator[ObjectMeta]":
        """Yield the message objects in the subject's folders."""
        for folder in list_source_folders(store, self.subject):
            for batch in store.list(folder):
                yield from batch

    def _exports(self, store: "ObjectStore") -> "Iterator[ObjectMeta]":
        """Yield the objects of exports of every day."""
        tenant = self.subject.tenant
        others = (f"{tenant}/chat/", f"{tenant}/{TABLES_FOLDER}/")
        root = export_root(self.settings.export_template).replace("{tenant}", tenant)
        for batch in store.list(f"{root}/"):
            yield from (item for item in batch if not item["path"].startswith(others) and item["size"])

    def _redact(self, store: "ObjectStore", key: str, *, confirm: bool) -> Redacted | None:
        limits = self.settings.limits
        with temporary_folder() as scratch:
            response = store.get(key)
            stored = _map(_save(response, scratch / "stored"))
            try:
                decoded = decode(stored, key=key, limits=limits, scratch=scratch)
            except UnreadableError as error:
                return Redacted(object=key, action="left", why=f"it cannot be read ({error.reason})")
            if not may_hold(decoded.text, self.subject):
                return None
            cuts = find_cuts(decoded.text, self.subject, limits=limits)
            if not (cuts.removed or cuts.doubt):
                return None
            if cuts.doubt or decoded.encoding != "utf-8" or len(stored) > MAX_STORED_BYTES:
                why = cuts.doubt or ("it is larger than 1 GiB" if decoded.encoding == "utf-8" else decoded.encoding)
                return Redacted(object=key, action="left", records=cuts.removed, why=why)
            new = _rewrite(kept_blocks(decoded.text, cuts), like=bytes(stored[:4]), path=scratch / "new")
            again = decode(_map(new), key=key, limits=limits, scratch=scratch) if cuts.kept else None
            if again and not holds_exactly(again.text, cuts, limits=limits):
                why = "its other records would not stay the same"
                return Redacted(object=key, action="left", records=cuts.removed, why=why)
            if confirm:
                _replace(store, response.meta, new if cuts.kept else None, tenant=self.subject.tenant)
        return _describe(key, cuts)


def _describe(key: str, cuts: Cuts) -> Redacted:
    action: Literal["rewrite", "delete"] = "rewrite" if cuts.kept else "delete"
    return Redacted(object=key, action=action, records=cuts.removed, remaining=cuts.kept)


def list_source_folders(store: "ObjectStore", subject: Subject) -> list[str]:
    """Return the folders in `chat/` that can hold message objects of the subject; no folder has another name."""
    chat = f"{subject.tenant}/chat/"
    names = [each for each in sorted(subject.ids) if not _NO_FOLDER.search(each) and each not in (".", "..")]
    if subject.kind == "user":
        return [f"{chat}{name}/" for name in names]
    users = store.list_with_delimiter(chat)["common_prefixes"]
    return [f"{user.rstrip('/')}/{name}/" for user in users for name in names]


def _map(path: Path) -> mmap.mmap | bytes:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b""


def _save(response: "GetResult", path: Path) -> Path:
    with path.open("wb") as file:
        for block in response.stream():
            file.write(block)
    return path


def _rewrite(blocks: Iterable[bytes], *, like: bytes, path: Path) -> Path:
    """Write blocks to a file, compressed as the bytes `like` are."""
    if like[:2] == GZIP:
        opened: AbstractContextManager[IO[bytes]] = cast("IO[bytes]", gzip.GzipFile(path, "wb", mtime=0))
    elif like == ZSTD:
        opened = cast("IO[bytes]", zstd.open(path, "wb"))
    else:
        opened = path.open("wb")
    with opened as file:
        for block in blocks:
            file.write(block)
    return path


def _replace(store: "ObjectStore", read: "ObjectMeta", new: Path | None, *, tenant: str) -> None:
    """Replace or delete an object, if it is still the one that was read."""
    key, etag, version = read["path"], read["e_tag"], read["version"]
    changed = RetryableError(
        f"{key!a} changed while it was read", next_step="run the same command again", tenant=tenant
    )
    # A delete has no condition, nor has a local put, which is atomic.
    by_etag = new is not None and not isinstance(store, LocalStore)
    condition: UpdateVersion = {"e_tag": etag} if version is None else {"e_tag": etag, "version": version}
    try:
        if not by_etag and store.head(key)["e_tag"] != etag:
            raise changed
        if new is None:
            store.delete(key)
        elif by_etag:
            store.put(key, new, mode=condition, use_multipart=False)
        else:
            store.put(key, new)
    except (PreconditionError, FileNotFoundError) as error:
        raise changed from error
