"""Comparison of a day's rooms by listing and by metadata."""

from pathlib import Path
from typing import Any

import pytest
from obstore.exceptions import GenericError
from obstore.store import LocalStore

from daily_batch.errors import RetryableError, TerminalError
from daily_batch.pipeline.discover.compare import DiscoveryComparison, RoomObjects, compare_discovery
from tests.support.manifest_day import HOSTILE, Recorder, day_options, discover_day, message, put_all
from tests.support.metadata_rooms import open_metadata, put_room, put_user

START = "2025-08-11T14:45:00.000Z"
LONG_AGO = "2025-08-01T00:00:00.000Z"


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(str(tmp_path / "in"), mkdir=True)


@pytest.fixture
def metadata(tmp_path: Path) -> Any:
    return open_metadata(tmp_path)


def put_messages(store: Any, count: int, *, user: str = "u", room: str = "r", day: str = "2025/08/12") -> None:
    put_all(store, [message(day, f"01-00-{n:02d}.000", user=user, room=room) for n in range(count)])


def test_rooms_missing_in_metadata_are_reported_with_their_objects(tmp_path: Path, store: Any, metadata: Any) -> None:
    put_user(metadata, "u")
    put_room(metadata, "u", "known", START)
    put_messages(store, 5, room="known")
    put_room(metadata, "u", "stale", LONG_AGO)
    put_messages(store, 3, room="stale")
    put_messages(store, 1, room="no item")
    put_messages(store, 2, user="no user")
    put_all(store, [message("2025/08/11", "23-00-00.000", user="no user")])
    assert compare_discovery(store, metadata, **day_options()) == DiscoveryComparison(
        listed_rooms=4,
        listed_objects=12,
        metadata_rooms=1,
        metadata_objects=5,
        missed=(
            RoomObjects("acme/chat/no user/r", 3),
            RoomObjects("acme/chat/u/no item", 1),
            RoomObjects("acme/chat/u/stale", 3),
        ),
    )
    manifest = discover_day(store, tmp_path / "staging", metadata=metadata)
    assert manifest.objects == 5


def test_objects_outside_the_day_are_not_missed(store: Any, metadata: Any) -> None:
    put_user(metadata, "u")
    put_room(metadata, "u", "r", LONG_AGO)
    put_messages(store, 2, day="2025/08/11")
    put_messages(store, 2, day="2025/08/01")
    put_all(store, ["acme/chat/u/r/uploads/2025/08/12/x.png", message("2025/08/12", "01-00-00.000", tenant="acme-2")])
    comparison = compare_discovery(store, metadata, **day_options())
    assert (comparison.listed_rooms, comparison.listed_objects, comparison.missed) == (0, 0, ())


def test_room_that_was_active_later_is_named_without_objects(store: Any, metadata: Any) -> None:
    put_user(metadata, "u")
    put_room(metadata, "u", "later", "2025-09-01T00:00:00Z")
    put_messages(store, 1, room="later", day="2025/09/01")
    comparison = compare_discovery(store, metadata, **day_options())
    assert (comparison.metadata_rooms, comparison.metadata_objects, comparison.listed_rooms) == (1, 0, 0)


def test_metadata_store_without_users_misses_everything(store: Any, metadata: Any) -> None:
    put_messages(store, 4)
    comparison = compare_discovery(store, metadata, **day_options())
    assert comparison.missed == (RoomObjects("acme/chat/u/r", 4),)
    assert comparison.missed_objects == comparison.listed_objects == 4


def test_rooms_are_matched_by_their_exact_names(store: Any, metadata: Any) -> None:
    for name in HOSTILE:
        put_user(metadata, name)
        put_room(metadata, name, name, START)
        put_messages(store, 2, user=name, room=name)
    comparison = compare_discovery(store, metadata, **day_options())
    assert comparison.missed == ()
    assert comparison.listed_objects == comparison.metadata_objects == 2 * len(HOSTILE)


def test_untimed_object_is_missed_unless_its_room_was_active(store: Any, metadata: Any) -> None:
    put_user(metadata, "u")
    put_room(metadata, "u", "r", LONG_AGO)
    put_all(store, ["acme/chat/u/r/messages/2025/08/12/notes.txt"])
    assert compare_discovery(store, metadata, **day_options()).missed == (RoomObjects("acme/chat/u/r", 1),)


def test_more_objects_of_a_room_than_a_page_holds_are_counted(store: Any, metadata: Any) -> None:
    put_all(store, [f"acme/chat/u/r/messages/2025/08/12/{n}" for n in range(1_100)])
    assert compare_discovery(store, metadata, **day_options()).missed == (RoomObjects("acme/chat/u/r", 1_100),)


def test_listing_that_fails_gives_no_comparison(store: Any, metadata: Any) -> None:
    put_messages(store, 1)
    recorder = Recorder(store, fail=lambda _: GenericError("503"))
    with pytest.raises(RetryableError, match="tenant=acme day=2025-08-12"):
        compare_discovery(recorder, metadata, **day_options())


def test_missing_root_and_an_invalid_name_are_errors(tmp_path: Path, store: Any, metadata: Any) -> None:
    put_user(metadata, "u")
    put_room(metadata, "u", "..", START)
    with pytest.raises(TerminalError, match="which no key can hold"):
        compare_discovery(store, metadata, **day_options())
    (tmp_path / "in").rmdir()
    with pytest.raises(TerminalError, match="does not exist"):
        compare_discovery(store, metadata, **day_options())
