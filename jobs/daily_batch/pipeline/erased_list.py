"""The list of a tenant's erased ids in the output store: `{tenant}/analytics/_erased/`.

Each erasure and each lift adds one object and none is ever changed, so two at once cannot lose each other's. `key` is
random and made once. Who can read the folder can test whether an id that he knows is in it.
"""

import json
import secrets
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from obstore.exceptions import AlreadyExistsError

from daily_batch.domain.erased import KEY_BYTES, ErasedIds, Kind
from daily_batch.domain.keys import analytics_folder
from daily_batch.errors import TerminalError, error_context
from daily_batch.storage.failures import explained_failures
from daily_batch.storage.stores import Storage

if TYPE_CHECKING:  # obstore has this name for type checkers only
    from obstore.store import ObjectStore

THREADS = 32


@dataclass(frozen=True, kw_only=True)
class ListedErasure:
    """One object of the list: the digests that an erasure added at the time `at`, or, with `lifts`, took away."""

    erasure: str
    kind: Kind
    at: str
    digests: tuple[str, ...]
    lifts: bool = False


def read_erased(storage: Storage, tenant: str, *, day: str = "-") -> ErasedIds:
    """Return the ids that every run must leave out; `day` is the business day, for error messages.

    Raises:
        TerminalError: The list is damaged: a run without it could publish an erased person.
        RetryableError: The store failed.
    """
    if storage.output.kind in ("file", "volume") and not Path(storage.output.path).is_dir():
        return ErasedIds()
    with error_context(tenant, day), explained_failures(tenant, day):
        store = storage.open_output()
        erased: dict[str, set[str]] = {"user": set(), "room": set()}
        for entry in read_list(store, tenant):
            erased[entry.kind].update(entry.digests)
        if not any(erased.values()):
            return ErasedIds()
        key = find_key(store, tenant)
        if key is None:
            raise _damaged(f"{_folder(tenant)}/key is missing", tenant)
        return ErasedIds(key=key, users=frozenset(erased["user"]), rooms=frozenset(erased["room"]))


def read_list(store: "ObjectStore", tenant: str) -> list[ListedErasure]:
    """Return the erasures in order of their ids, each with the digests that no lift took away."""
    paths = [item["path"] for batch in store.list(f"{_folder(tenant)}/") for item in batch]
    paths = [path for path in paths if path.endswith(".json")]
    with ThreadPoolExecutor(THREADS) as pool:
        entries = list(pool.map(lambda path: _read(store, path, tenant), paths))
    lifted: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        if entry.lifts:
            lifted[entry.erasure].update(entry.digests)
    return [
        replace(entry, digests=tuple(digest for digest in entry.digests if digest not in lifted[entry.erasure]))
        for entry in sorted(entries, key=lambda entry: entry.erasure)
        if not entry.lifts
    ]


def add_to_list(store: "ObjectStore", tenant: str, entry: ListedErasure) -> None:
    """Add an erasure, unless it is in the list already, or a lift."""
    suffix = f".lift-{secrets.token_hex(8)}" if entry.lifts else ""
    with suppress(AlreadyExistsError):
        content = json.dumps(asdict(entry), indent=2).encode()
        store.put(f"{_folder(tenant)}/{entry.erasure}{suffix}.json", content, mode="create")


def find_key(store: "ObjectStore", tenant: str) -> str | None:
    """Return the tenant's key in hexadecimal; None before the first erasure."""
    try:
        key = bytes(store.get(f"{_folder(tenant)}/key").bytes()).decode("ascii", "replace")
    except FileNotFoundError:
        return None
    if len(key) != 2 * KEY_BYTES:
        raise _damaged(f"{_folder(tenant)}/key is damaged", tenant)
    return key


def make_key(store: "ObjectStore", tenant: str) -> str:
    """Return the tenant's key; make it before the first erasure."""
    key = find_key(store, tenant)
    if key is None:
        with suppress(AlreadyExistsError):  # another erasure made it meanwhile
            store.put(f"{_folder(tenant)}/key", secrets.token_hex(KEY_BYTES).encode(), mode="create")
        key = find_key(store, tenant)
    if key is None:
        raise _damaged(f"{_folder(tenant)}/key cannot be read back", tenant)
    return key


def _read(store: "ObjectStore", path: str, tenant: str) -> ListedErasure:
    try:
        return msgspec.json.decode(bytes(store.get(path).bytes()), type=ListedErasure)
    except (msgspec.MsgspecError, UnicodeError, FileNotFoundError) as error:
        raise _damaged(f"{path} cannot be read", tenant) from error


def _damaged(what: str, tenant: str) -> TerminalError:
    step = "restore the folder _erased from a backup, then run again: without it, erased people would be published"
    return TerminalError(f"the list of erased ids is damaged: {what}", next_step=step, tenant=tenant)


def _folder(tenant: str) -> str:
    return f"{analytics_folder(tenant)}/_erased"
