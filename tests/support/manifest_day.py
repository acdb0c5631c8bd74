"""Helpers for manifest tests: keys of a day's objects, its manifest, and a store that records its calls."""

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

from obstore.store import ObjectStore

from daily_batch.domain.calendar import day_window, utc_folders
from daily_batch.pipeline.discover.chunks import read_manifest
from daily_batch.pipeline.discover.manifest import Manifest, build_manifest

SLACK = 900_000_000
EXPORT = "acme/exports/messages/2025/08/12/"
HOSTILE = ["_bob", ".carol", "a=b", "山田", "with space", "h#sh", "per%cent", "per%20cent", "q?x", "st*r", "{a,b}"]
HOSTILE += ["[a]", "quo'te", 'dq"', "back\\slash", "~", "...", "é", "e\u0301", "messages", "chat"]


def day_options(*, day: str = "2025-08-12", zone: str = "Asia/Tokyo") -> dict[str, Any]:
    """Return the arguments for listing acme's business day."""
    start, end = day_window(date.fromisoformat(day), zone)
    window = (start - SLACK, end + SLACK)
    return {"tenant": "acme", "folders": utc_folders(*window), "window_us": window, "concurrency": 4, "day": day}


def discover_day(
    store: Any, staging: Path, *, day: str = "2025-08-12", zone: str = "Asia/Tokyo", **more: Any
) -> Manifest:
    """Build the manifest of acme's business day; `more` overrides arguments of `build_manifest`."""
    defaults = {
        "layout": "auto",
        "export_folder": EXPORT,
        "chunk_bytes": 2**20,
        "chunk_objects": 1000,
        "staging": staging,
    }
    return build_manifest(store, **(day_options(day=day, zone=zone) | defaults | more))


def message(day: str, clock: str, *, user: str = "u", room: str = "r", tenant: str = "acme", name: str = "m1") -> str:
    return f"{tenant}/chat/{user}/{room}/messages/{day}/{clock}Z-{name}.json"


def keys_of(manifest: Manifest) -> set[str]:
    keys = [item.key for _, objects in read_manifest(manifest.files) for item in objects]
    assert len(keys) == len(set(keys)) == manifest.objects
    return set(keys)


def unreadable_objects(manifest: Manifest) -> dict[str, tuple[str, str]]:
    """Return reason and detail of the unreadable objects by key."""
    items = [item for _, objects in read_manifest(manifest.files) for item in objects]
    return {item.key: (item.reason, item.detail) for item in items if item.reason}


def put_all(store: ObjectStore, keys: list[str], body: bytes = b"{}") -> None:
    for key in keys:
        store.put(key, body)


class Recorder:
    """A store that records the prefixes of its calls, and fails where `fail` returns an error."""

    def __init__(self, store: Any, fail: Callable[[str], Exception | None] = lambda prefix: None) -> None:
        self.store, self.fail = store, fail
        self.recursive: list[str] = []
        self.delimited: list[str] = []

    def list(self, prefix: str, **options: Any) -> Any:
        self.recursive.append(prefix)
        if error := self.fail(prefix):
            raise error
        return self.store.list(prefix, **options)

    def list_with_delimiter(self, prefix: str) -> Any:
        self.delimited.append(prefix)
        return self.store.list_with_delimiter(prefix)

    def head(self, path: str) -> Any:
        return self.store.head(path)
