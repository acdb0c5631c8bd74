"""Fetch a manifest's objects concurrently, with bounded memory, and detect objects that changed after the listing."""

import mmap
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from daily_batch.domain.codes import Reason
from daily_batch.domain.run import RunSpec, SourceObject
from daily_batch.errors import InputChangedError
from daily_batch.pipeline.transform.cancel import CancelCheck, never_cancel
from daily_batch.pipeline.transform.decode import Buffer, UnreadableError, in_memory_limit
from daily_batch.storage.scratch import anonymous_file

# Longest wait for a response between two calls of `check`.
CHECK_INTERVAL_SECONDS = 1.0


class ObjectStore(Protocol):
    """The part of an obstore store that the kernel uses; local files, S3 and Azure all implement it."""

    def get(self, path: str) -> Any:
        """Get one object: its metadata, and its bytes or a stream of them."""

    def list(self, prefix: str) -> Any:
        """List everything below a prefix, as pages of metadata."""


def fetch(
    store: ObjectStore,
    objects: Sequence[SourceObject],
    *,
    spec: RunSpec,
    scratch: Path,
    check: CancelCheck = never_cancel,
) -> Iterator[tuple[int, SourceObject, Buffer | UnreadableError]]:
    """Yield each object's index, the object, and its stored bytes or the reason why there are none, in manifest order.

    At most `fetch_concurrency` requests are in flight. At most a quarter of `memory_bytes` is buffered, unless a single
    object is larger. An object above 256 MiB, or above that quarter, goes through a temporary file. `check` is called
    at least once a second, and a cancelled caller waits for no response.

    Raises:
        InputChangedError: An object is gone or differs from the manifest; the day must be listed again.
    """
    budget = spec.limits.memory_bytes // 4
    pending: deque[tuple[int, SourceObject, Future[Buffer | UnreadableError]]] = deque()
    buffered = 0
    pool = ThreadPoolExecutor(min(spec.limits.fetch_concurrency, len(objects) or 1))
    try:
        for index, item in enumerate(objects):
            while pending and (buffered + item.size > budget or len(pending) >= 4 * spec.limits.fetch_concurrency):
                first_index, first, future = pending.popleft()
                yield first_index, first, _await(future, check)
                buffered -= first.size
            pending.append((index, item, pool.submit(_get, store, item, spec, scratch)))
            buffered += item.size
        while pending:
            first_index, first, future = pending.popleft()
            yield first_index, first, _await(future, check)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _await(future: Future[Buffer | UnreadableError], check: CancelCheck) -> Buffer | UnreadableError:
    while True:
        check()
        try:
            return future.result(CHECK_INTERVAL_SECONDS)
        except TimeoutError:
            if future.done():
                return future.result()


def _get(store: ObjectStore, item: SourceObject, spec: RunSpec, scratch: Path) -> Buffer | UnreadableError:
    if item.reason:
        return UnreadableError(Reason[item.reason.upper()], item.detail)
    try:
        response = store.get(item.key)
        meta = response.meta
        if _normalize_etag(meta["e_tag"] or "") == _normalize_etag(item.etag) and meta["size"] == item.size:
            return (
                _spool(response, scratch) if item.size > in_memory_limit(spec.limits) else response.bytes().to_bytes()
            )
        change, cause = "changed", None
    except FileNotFoundError as error:
        change, cause = "vanished", error
    if _ends_in_slash(store, item):
        return UnreadableError(Reason.INVALID_NAME, "the name ends in /")
    raise _changed_error(item, spec, change) from cause


def _ends_in_slash(store: ObjectStore, item: SourceObject) -> bool:
    """Return whether the object's name is the key plus a slash.

    object_store lists both `key` and `key/` as `key`, and can only get `key`.
    """
    listed = (meta for page in store.list(item.key) for meta in page)
    return any((meta["path"], meta["size"], meta["e_tag"]) == (item.key, item.size, item.etag) for meta in listed)


def _normalize_etag(etag: str) -> str:
    # Azure returns the ETag without quotes in listings and with quotes in responses.
    return etag.removeprefix("W/").strip('"')


def _spool(response: Any, scratch: Path) -> mmap.mmap:
    with anonymous_file(scratch) as file:
        for block in response.stream():
            file.write(block)
        file.flush()
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _changed_error(item: SourceObject, spec: RunSpec, what: str) -> InputChangedError:
    return InputChangedError(
        f"the object {item.key!a} {what} after it was listed",
        next_step="run the day again; the run lists its input again",
        tenant=spec.tenant,
        day=spec.date,
    )
