"""Store objects in memory with the guarantees of S3: order, delimiters, conditional requests, multipart uploads."""

from __future__ import annotations

import hashlib
import itertools
from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass, field
from email.utils import formatdate


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object; `head` holds the header lines that all responses about it have."""

    body: bytes
    etag: str
    modified: float
    head: bytes


@dataclass(frozen=True)
class Page:
    """One page of a listing; `token` is None on the last page."""

    keys: list[str]
    prefixes: list[str]
    token: str | None


@dataclass
class Bucket:
    """Keys in the order of their code points, which is the order of their UTF-8 bytes, as S3 lists them."""

    objects: dict[str, StoredObject] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    def fill(self, items: list[tuple[str, bytes]], *, now: float) -> None:
        """Add many objects and sort the keys once."""
        for key, body in items:
            self.objects[key] = make_object(body, now=now)
        self.keys = sorted(self.objects)

    def put(self, key: str, body: bytes, *, now: float) -> StoredObject:
        """Store or replace an object."""
        if key not in self.objects:
            insort(self.keys, key)
        self.objects[key] = make_object(body, now=now)
        return self.objects[key]

    def delete(self, key: str) -> None:
        """Remove an object; as in S3, a missing one is no error."""
        if self.objects.pop(key, None) is not None:
            del self.keys[bisect_left(self.keys, key)]

    def begin_upload(self) -> str:
        """Start a multipart upload and return its id."""
        upload = f"upload-{next(self.numbers)}"
        self.uploads[upload] = {}
        return upload

    def finish_upload(self, key: str, upload: str, *, now: float) -> StoredObject:
        """Join the parts of an upload in order into the object."""
        parts = self.uploads.pop(upload)
        return self.put(key, b"".join(parts[number] for number in sorted(parts)), now=now)

    def page(self, *, prefix: str, delimiter: str, token: str, start_after: str, limit: int) -> Page:
        """List keys under `prefix` from `token` on; keys below a common prefix are skipped, not traversed."""
        keys: list[str] = []
        prefixes: list[str] = []
        at = self._first_index(prefix, token, start_after)
        while at < len(self.keys) and (key := self.keys[at]).startswith(prefix):
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            if len(keys) + len(prefixes) == limit:
                last_key = keys[-1] if keys else ""
                last_prefix = prefixes[-1] if prefixes else ""
                last = f"p{last_prefix}" if last_prefix > last_key else f"k{last_key}"
                return Page(keys, prefixes, last)
            if cut < 0:
                keys.append(key)
                at += 1
            else:
                prefixes.append(key[: cut + len(delimiter)])
                at = self._index_after(prefixes[-1])
        return Page(keys, prefixes, None)

    def _first_index(self, prefix: str, token: str, start_after: str) -> int:
        if token.startswith("p"):
            return self._index_after(token[1:])
        return max(bisect_left(self.keys, prefix), bisect_right(self.keys, token[1:] or start_after))

    def _index_after(self, prefix: str) -> int:
        return bisect_left(self.keys, prefix[:-1] + chr(ord(prefix[-1]) + 1))


def make_object(body: bytes, *, now: float) -> StoredObject:
    """Return the object of a body, with its ETag and its header lines."""
    etag = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
    head = f"ETag: {etag}\r\nLast-Modified: {formatdate(now, usegmt=True)}\r\nAccept-Ranges: bytes\r\n"
    return StoredObject(body, etag, now, head.encode())
