"""moto's S3 with listings that read only the keys they return; moto itself reads the whole bucket for each page.

Keys are kept in order beside moto's, and moto lists the narrow part of the bucket, so that the result is its own.
Listed objects are written as XML directly: moto's serializer takes several times as long as the listing.
"""

import threading
from bisect import bisect_left, bisect_right, insort
from types import SimpleNamespace
from typing import Any
from xml.sax.saxutils import escape

from moto.core.responses import ActionResult
from moto.s3.models import FakeDeleteMarker, S3Backend, s3_backends
from moto.s3.responses import S3Response
from moto.s3.utils import _VersionedKeyStore

_MEMBERS = ("Key", "LastModified", "ETag", "Size", "StorageClass")
_BEFORE_CONTENTS = "</IsTruncated>"
_serialize = S3Response.serialized


def serve_by_prefix() -> None:
    """Make moto use this S3 for all accounts of this process that it has not served yet."""
    s3_backends.backend = PrefixS3
    S3Response.serialized = serialize  # type: ignore[method-assign,assignment]


def serialize(response: S3Response, action_result: ActionResult) -> Any:
    """Return status, headers and XML of a result as moto does, but faster for listed objects without owner."""
    result: Any = action_result.result
    contents = result.get("Contents") if isinstance(result, dict) else None
    if not contents or any(tuple(each) != _MEMBERS for each in contents):
        return _serialize(response, action_result)
    status, headers, body = _serialize(response, ActionResult({**result, "Contents": []}))
    objects = "".join(map(_write_object, contents))
    return status, headers, str(body).replace(_BEFORE_CONTENTS, _BEFORE_CONTENTS + objects, 1)


def _write_object(members: dict[str, Any]) -> str:
    written = "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in members.items())
    return f"<Contents>{written}</Contents>"


class SortedKeys(_VersionedKeyStore):
    """The versions of a bucket's objects by key. Thread-safe."""

    def __init__(self) -> None:
        super().__init__()
        self._names: list[str] = []
        self._lock = threading.Lock()

    def __setitem__(self, key: str, value: Any) -> None:
        """Add a version."""
        with self._lock:
            self._add(key)
            super().__setitem__(key, value)

    def setlist(self, key: str, list_: Any) -> None:
        """Replace all versions."""
        with self._lock:
            self._add(key)
            super().setlist(key, list_)

    def pop(self, key: str) -> None:  # type: ignore[override]  # as moto's
        """Remove all versions.

        Raises:
            KeyError: there is none.
        """
        with self._lock:
            super().pop(key)
            del self._names[bisect_left(self._names, key)]

    def select(self, *, prefix: str, delimiter: str, after: str, limit: int | None) -> dict[str, Any]:
        """Return the first `limit` keys that a listing shows, with their last versions, and one key of each folder."""
        found: dict[str, Any] = {}
        shown = 0
        with self._lock:
            index = max(bisect_left(self._names, prefix), bisect_right(self._names, after) if after else 0)
            while index < len(self._names) and (limit is None or shown < limit):
                name = self._names[index]
                if not name.startswith(prefix):
                    break
                found[name] = self[name]
                end = name.find(delimiter, len(prefix)) if delimiter else -1
                if end < 0:
                    index += 1
                    shown += not isinstance(found[name], FakeDeleteMarker)
                else:
                    folder = name[: end + len(delimiter)]
                    index = bisect_right(self._names, folder, lo=index, key=lambda each: each[: len(folder)])
                    shown += 1
        return found

    def _add(self, key: str) -> None:
        if key not in self:
            insort(self._names, key)


class PrefixS3(S3Backend):
    """moto's S3 with sorted keys."""

    def create_bucket(self, *arguments: Any, **named: Any) -> Any:
        """Create a bucket with sorted keys."""
        bucket = super().create_bucket(*arguments, **named)
        bucket.keys = SortedKeys()
        return bucket

    def list_objects(
        self, bucket: Any, prefix: str | None, delimiter: str | None, marker: str | None, max_keys: int | None
    ) -> Any:
        """List by version 1 of the API. In moto, each of its pages repeats all folders."""
        part = _narrow(bucket, prefix, delimiter)
        return super().list_objects(part, prefix, delimiter, marker, max_keys)

    def list_objects_v2(
        self,
        bucket: Any,
        prefix: str | None,
        delimiter: str | None,
        continuation_token: str | None,
        start_after: str | None,
        max_keys: int,
    ) -> Any:
        """List one page."""
        after = self._pagination_tokens.get(continuation_token) if continuation_token else start_after
        # One more shows that the page is not the last. Another is the folder in which the page before ended.
        part = _narrow(bucket, prefix, delimiter, after=after, limit=max_keys + 2)
        return super().list_objects_v2(part, prefix, delimiter, continuation_token, start_after, max_keys)


def _narrow(
    bucket: Any, prefix: str | None, delimiter: str | None, after: str | None = None, limit: int | None = None
) -> Any:
    """Return what a listing reads of a bucket."""
    if not isinstance(bucket.keys, SortedKeys):
        return bucket
    keys = bucket.keys.select(prefix=prefix or "", delimiter=delimiter or "", after=after or "", limit=limit)
    return SimpleNamespace(keys=keys)
