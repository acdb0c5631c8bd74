"""The bytes of a manifest's objects, many at once and bounded in memory; an object that changed is noticed."""

import mmap
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from daily_batch.domain.contract import Reason
from daily_batch.domain.run import RunSpec, SourceObject
from daily_batch.errors import InputChangedError
from daily_batch.pipeline.transform.cancel import CancelCheck, never_cancel
from daily_batch.pipeline.transform.decode import Buffer, UnreadableError, held_bytes
from daily_batch.storage.scratch import nameless_file

# Seconds for which an answer is waited for at once.
CHECKED_EVERY = 1.0


class ObjectStore(Protocol):
    """What the kernel needs of an obstore store: local files, S3 and Azure alike."""

    def get(self, path: str) -> Any:
        """One object: its metadata, its bytes, or a stream of them."""

    def list(self, prefix: str) -> Any:
        """Everything below a prefix, in pages of metadata."""


def fetch(
    store: ObjectStore,
    objects: Sequence[SourceObject],
    *,
    plan: RunSpec,
    scratch: Path,
    check: CancelCheck = never_cancel,
) -> Iterator[tuple[int, SourceObject, Buffer | UnreadableError]]:
    """Yield each object's number, itself and its stored bytes, or why there are none, in the order of `objects`.

    At most `fetch_concurrency` requests are under way, and at most a quarter of `memory_bytes` waits to be used,
    unless one single object is larger; one above 256 MiB, or as much itself, goes through a file. `check` is called at
    least once a second, and whoever stops waits for no answer.

    Raises:
        Changed: an object is gone or is another than the manifest lists; the day must be listed again.
    """
    budget = plan.limits.memory_bytes // 4
    waiting: deque[tuple[int, SourceObject, Future[Buffer | UnreadableError]]] = deque()
    held = 0
    pool = ThreadPoolExecutor(min(plan.limits.fetch_concurrency, len(objects) or 1))
    try:
        for number, item in enumerate(objects):
            while waiting and (held + item.size > budget or len(waiting) >= 4 * plan.limits.fetch_concurrency):
                done, first, future = waiting.popleft()
                yield done, first, _await(future, check)
                held -= first.size
            waiting.append((number, item, pool.submit(_get, store, item, plan, scratch)))
            held += item.size
        while waiting:
            done, first, future = waiting.popleft()
            yield done, first, _await(future, check)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _await(future: Future[Buffer | UnreadableError], check: CancelCheck) -> Buffer | UnreadableError:
    while True:
        check()
        try:
            return future.result(CHECKED_EVERY)
        except TimeoutError:
            if future.done():
                return future.result()


def _get(store: ObjectStore, item: SourceObject, plan: RunSpec, scratch: Path) -> Buffer | UnreadableError:
    if item.reason:
        return UnreadableError(Reason[item.reason.upper()], item.detail)
    try:
        answer = store.get(item.key)
        found = answer.meta
        if _bare(found["e_tag"] or "") == _bare(item.etag) and found["size"] == item.size:
            return _spool(answer, scratch) if item.size > held_bytes(plan.limits) else answer.bytes().to_bytes()
        change, cause = "changed", None
    except FileNotFoundError as error:
        change, cause = "vanished", error
    if _ends_in_slash(store, item):
        return UnreadableError(Reason.INVALID_NAME, "the name ends in /")
    raise _changed(item, plan, change) from cause


def _ends_in_slash(store: ObjectStore, item: SourceObject) -> bool:
    """Whether the object's name is the key and a slash: object_store lists both as the key, and gets only the other."""
    below = (each for page in store.list(item.key) for each in page)
    return any((each["path"], each["size"], each["e_tag"]) == (item.key, item.size, item.etag) for each in below)


def _bare(etag: str) -> str:
    # Azure's listings give the tag without the quotes that its answers have around it.
    return etag.removeprefix("W/").strip('"')


def _spool(answer: Any, scratch: Path) -> mmap.mmap:
    with nameless_file(scratch) as file:
        for block in answer.stream():
            file.write(block)
        file.flush()
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _changed(item: SourceObject, plan: RunSpec, what: str) -> InputChangedError:
    return InputChangedError(
        f"the object {item.key!a} {what} after it was listed",
        next_step="run the day again; it lists anew",
        tenant=plan.tenant,
        day=plan.date,
    )
