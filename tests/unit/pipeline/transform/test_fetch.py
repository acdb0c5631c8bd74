"""Fetching: order, memory limits, and objects that changed after the listing."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from daily_batch.domain.run import Limits, RunSpec, SourceObject
from daily_batch.errors import InputChangedError
from daily_batch.pipeline.transform.decode import UnreadableError
from daily_batch.pipeline.transform.fetch import fetch
from tests.support.run_specs import sample_spec

SPEC = sample_spec()


class Response:
    def __init__(self, body: bytes, etag: str | None) -> None:
        self.body = body
        self.meta = {"e_tag": etag, "size": len(body)}

    def bytes(self) -> "Response":
        return self

    def to_bytes(self) -> bytes:
        return self.body

    def stream(self) -> Iterator[bytes]:
        yield self.body


class FakeStore:
    """A store of objects with their ETags; counts requests in flight."""

    def __init__(self, objects: dict[str, tuple[bytes, str | None]]) -> None:
        self.objects = objects
        self.in_flight = 0
        self.max_in_flight = 0
        self._lock = threading.Lock()

    def get(self, path: str) -> Any:
        with self._lock:
            self.in_flight += 1
            self.max_in_flight = max(self.max_in_flight, self.in_flight)
        if path not in self.objects:
            raise FileNotFoundError(path)
        return Response(*self.objects[path])

    def list(self, prefix: str) -> Any:
        return [
            [
                {"path": key.rstrip("/"), "size": len(body), "e_tag": etag}
                for key, (body, etag) in self.objects.items()
                if key.startswith(f"{prefix}/")
            ]
        ]


def list_objects(store: FakeStore) -> list[SourceObject]:
    return [SourceObject(key, len(body), etag or "", 0) for key, (body, etag) in store.objects.items()]


def fetch_all(store: FakeStore, objects: list[SourceObject], scratch: Path, spec: RunSpec = SPEC) -> list[bytes]:
    bodies = [body for _, _, body in fetch(store, objects, spec=spec, scratch=scratch)]
    return [bytes(body) for body in bodies if not isinstance(body, UnreadableError)]


def test_objects_come_in_the_order_of_the_manifest(tmp_path: Path) -> None:
    store = FakeStore({f"acme/{n}": (bytes([n]) * (200 - n), f'"{n}"') for n in range(200)})
    assert fetch_all(store, list_objects(store), tmp_path) == [body for body, _ in store.objects.values()]


@pytest.mark.parametrize(
    ("in_listing", "in_response"), [('"0x8D"', '"0x8D"'), ("0x8D", '"0x8D"'), ('"a"', 'W/"a"'), ("", None)]
)
def test_etag_matches_in_all_its_notations(tmp_path: Path, in_listing: str, in_response: str | None) -> None:
    # Azure returns ETags without quotes in listings and with quotes in responses (measured on Azurite 3).
    store = FakeStore({"acme/a": (b"x", in_response)})
    assert fetch_all(store, [SourceObject("acme/a", 1, in_listing, 0)], tmp_path) == [b"x"]


@pytest.mark.parametrize(
    "item",
    [
        SourceObject("acme/a", 1, '"old"', 0),
        SourceObject("acme/a", 2, '"new"', 0),
        SourceObject("acme/gone", 1, '"new"', 0),
    ],
    ids=["another tag", "another size", "gone"],
)
def test_object_that_changed_after_the_listing_is_detected(tmp_path: Path, item: SourceObject) -> None:
    store = FakeStore({"acme/a": (b"x", '"new"')})
    with pytest.raises(InputChangedError, match="tenant=acme day=2025-08-12"):
        fetch_all(store, [item], tmp_path)


@pytest.mark.parametrize("others", [{}, {"acme/a": (b"other", '"o"')}], ids=["alone", "beside one without the slash"])
def test_object_whose_name_ends_in_a_slash_is_unreadable(tmp_path: Path, others: dict[str, Any]) -> None:
    # object_store lists it without the slash, and gets the object of that name.
    store = FakeStore({"acme/a/": (b"x", '"t"'), **others})
    [(_, _, found)] = fetch(store, [SourceObject("acme/a", 1, '"t"', 0)], spec=SPEC, scratch=tmp_path)
    assert isinstance(found, UnreadableError)
    assert (found.reason, found.detail) == ("invalid_name", "the name ends in /")


def test_object_that_was_refused_at_listing_is_not_requested(tmp_path: Path) -> None:
    store = FakeStore({})
    item = SourceObject("acme/a", 1, '"t"', 0, "invalid_link", "a link that leads nowhere")
    [(number, listed, found)] = fetch(store, [item], spec=SPEC, scratch=tmp_path)
    assert (number, listed, store.in_flight) == (0, item, 0)
    assert isinstance(found, UnreadableError)
    assert (found.reason, found.detail) == ("invalid_link", "a link that leads nowhere")


def test_buffered_objects_are_bounded_in_bytes(tmp_path: Path) -> None:
    store = FakeStore({f"acme/{n}": (b"x" * 1000, '"t"') for n in range(50)})
    small_spec = replace(SPEC, limits=Limits(memory_bytes=4 * 3000, fetch_concurrency=16))
    stream = fetch(store, list_objects(store), spec=small_spec, scratch=tmp_path)
    next(stream)
    assert store.max_in_flight <= 4  # three are buffered, one was yielded
    assert len(list(stream)) == 49


def test_one_object_above_the_memory_limit_is_still_fetched(tmp_path: Path) -> None:
    store = FakeStore({"acme/a": (b"x" * 5000, '"t"'), "acme/b": (b"y", '"t"')})
    small_spec = replace(SPEC, limits=Limits(memory_bytes=4000))
    assert [len(body) for body in fetch_all(store, list_objects(store), tmp_path, small_spec)] == [5000, 1]
