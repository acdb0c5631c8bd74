"""Objects in memory, with what S3 promises of them: order, delimiters, conditions, multipart uploads."""

from __future__ import annotations

import hashlib
import itertools
from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass, field
from email.utils import formatdate


@dataclass(frozen=True, slots=True)
class Stored:
    """One object; `head` holds the header lines that every answer about it repeats."""

    body: bytes
    etag: str
    modified: float
    head: bytes


@dataclass(frozen=True)
class Page:
    """One page of a listing; `token` is None on the last."""

    keys: list[str]
    prefixes: list[str]
    token: str | None


@dataclass
class Bucket:
    """Keys in the order of their code points, which is the order of their UTF-8 bytes, as S3 lists them."""

    objects: dict[str, Stored] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    def fill(self, items: list[tuple[str, bytes]], *, now: float) -> None:
        """Add many objects at once: sorted once, not one by one."""
        for key, body in items:
            self.objects[key] = stored(body, now=now)
        self.keys = sorted(self.objects)

    def put(self, key: str, body: bytes, *, now: float) -> Stored:
        """Store or replace an object."""
        if key not in self.objects:
            insort(self.keys, key)
        self.objects[key] = stored(body, now=now)
        return self.objects[key]

    def delete(self, key: str) -> None:
        """Remove an object; a missing one is no error, as in S3."""
        if self.objects.pop(key, None) is not None:
            del self.keys[bisect_left(self.keys, key)]

    def begin_upload(self) -> str:
        """Start a multipart upload and return its id."""
        upload = f"upload-{next(self.numbers)}"
        self.uploads[upload] = {}
        return upload

    def finish_upload(self, key: str, upload: str, *, now: float) -> Stored:
        """Join an upload's parts, by number, into the object."""
        parts = self.uploads.pop(upload)
        return self.put(key, b"".join(parts[number] for number in sorted(parts)), now=now)

    def page(self, *, prefix: str, delimiter: str, token: str, start_after: str, limit: int) -> Page:
        """List keys under `prefix` from where `token` ends; what lies behind a delimiter is skipped, not walked."""
        keys: list[str] = []
        prefixes: list[str] = []
        at = self._begin(prefix, token, start_after)
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
                at = self._behind(prefixes[-1])
        return Page(keys, prefixes, None)

    def _begin(self, prefix: str, token: str, start_after: str) -> int:
        if token.startswith("p"):
            return self._behind(token[1:])
        return max(bisect_left(self.keys, prefix), bisect_right(self.keys, token[1:] or start_after))

    def _behind(self, prefix: str) -> int:
        return bisect_left(self.keys, prefix[:-1] + chr(ord(prefix[-1]) + 1))


def stored(body: bytes, *, now: float) -> Stored:
    """Wrap a body with its etag and its ready-made header lines."""
    etag = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
    head = f"ETag: {etag}\r\nLast-Modified: {formatdate(now, usegmt=True)}\r\nAccept-Ranges: bytes\r\n"
    return Stored(body, etag, now, head.encode())
