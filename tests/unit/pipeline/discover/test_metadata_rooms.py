"""Discovery by metadata lists every active room and no other, also with malformed items."""

import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obstore.exceptions import GenericError, PermissionDeniedError
from obstore.store import LocalStore

from daily_batch.errors import RetryableError, TerminalError
from daily_batch.pipeline.discover.compare import compare_discovery
from daily_batch.pipeline.discover.metadata_rooms import is_active
from tests.support.manifest_day import (
    EXPORT,
    HOSTILE,
    Recorder,
    day_options,
    discover_day,
    keys_of,
    message,
    put_all,
)
from tests.support.metadata_rooms import open_metadata, put_room, put_user

START = "2025-08-11T14:45:00.000Z"  # the start of acme's business day 2025-08-12 in Tokyo, minus the slack
START_AT = datetime.fromisoformat(START)
START_US = day_options()["window_us"][0]
BAD_NAMES = ["", ".", "..", "a/b", "/", "../../acme-2/chat/u", "nul\0", "line\nend", "\x1b[31m", "del\x7f"]
UNREADABLE = [None, "", "soon", 1_700_000_000, True, "2024-13-01T00:00:00Z", "2025-08-11", "2025-08-11T14:44"]
UNREADABLE += ["20250811T144459Z", "2025-08-11T14:44+00:00", "2016-12-31T23:59:60Z", "0001-01-01T00:00:00+23:00"]
UNREADABLE += ["２０２４-01-01T00:00:00Z"]


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(str(tmp_path / "in"), mkdir=True)


@pytest.fixture
def metadata(tmp_path: Path) -> Any:
    return open_metadata(tmp_path)


@pytest.fixture
def non_utc_machine() -> Iterator[None]:
    """Set the time zone of this machine to one that differs from UTC."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


class Forbidden:
    """A metadata store that must not be queried."""

    def query(self, pk: str, *, first: str, last: str) -> Any:
        raise AssertionError("the metadata store was queried")


def test_only_rooms_updated_since_the_start_are_listed(tmp_path: Path, store: Any, metadata: Any) -> None:
    put_user(metadata, "u")
    updates = {"before": "2025-08-11T14:44:59.999Z", "at": START, "after": "2026-01-01T00:00:00Z"}
    for room, updated_at in updates.items():
        put_room(metadata, "u", room, updated_at)
        put_all(store, [message("2025/08/12", "01-00-00.000", room=room)])
    recorder = Recorder(store)
    manifest = discover_day(recorder, tmp_path / "staging", metadata=metadata)
    assert keys_of(manifest) == {message("2025/08/12", "01-00-00.000", room=room) for room in ("at", "after")}
    days = [f"acme/chat/u/{room}/messages/2025/08/{day}/" for room in ("after", "at") for day in (11, 12)]
    assert sorted(recorder.recursive) == sorted(["acme/chat/", EXPORT, *days])
    assert recorder.delimited == []


@pytest.mark.parametrize(
    ("updated_at", "active"),
    [
        (START, True),
        ("2025-08-11T14:45:00", True),
        ("2025-08-11 14:45:00+00:00", True),
        ("2025-08-11T23:45:00.000000+09:00", True),
        ("2025-08-11T14:44:59.999Z", False),
        ("2025-08-11T14:44:59.999999", False),
        ("2025-08-11T23:44:59+09:00", False),
        ("2025-08-11T10:00:00-05:00", True),
    ],
)
def test_updated_at_is_parsed_with_microseconds_and_zone(non_utc_machine: None, updated_at: str, active: bool) -> None:
    assert is_active(updated_at, start_us=START_US) is active


@pytest.mark.parametrize("updated_at", UNREADABLE)
def test_room_whose_time_is_missing_coarse_or_unreadable_is_listed(
    tmp_path: Path, store: Any, metadata: Any, updated_at: Any
) -> None:
    put_user(metadata, "u")
    put_room(metadata, "u", "r", updated_at)
    put_all(store, [message("2025/08/12", "01-00-00.000")])
    assert discover_day(store, tmp_path / "staging", metadata=metadata).objects == 1


def test_names_are_exact_parts_of_the_keys(tmp_path: Path, store: Any, metadata: Any) -> None:
    names = [*HOSTILE, "USER#x", "x#USER#y", "$", "ｂｏｂ", "\U0010ffffx", "\x85", " ", "%2e%2e"]
    keys = [message("2025/08/12", "01-02-03.004", user=name, room=name) for name in names]
    for name in names:
        put_user(metadata, name)
        put_room(metadata, name, name, START)
    put_all(store, keys)
    assert keys_of(discover_day(store, tmp_path / "staging", metadata=metadata)) == set(keys)


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("of", ["user", "room"])
def test_active_room_whose_name_no_key_can_hold_fails_the_day(
    tmp_path: Path, store: Any, metadata: Any, name: str, of: str
) -> None:
    user, room = (name, "r") if of == "user" else ("u", name)
    put_user(metadata, user)
    put_room(metadata, user, room, START)
    recorder = Recorder(store)
    with pytest.raises(TerminalError, match=r"tenant=acme day=2025-08-12: .* which no key can hold") as caught:
        discover_day(recorder, tmp_path / "staging", metadata=metadata)
    assert str(caught.value).isprintable()
    assert set(recorder.recursive) == {"acme/chat/", EXPORT}


@pytest.mark.parametrize("name", BAD_NAMES)
def test_inactive_room_with_an_invalid_name_is_skipped(tmp_path: Path, store: Any, metadata: Any, name: str) -> None:
    for user, room in ((name, "r"), ("good", name)):
        put_user(metadata, user)
        put_room(metadata, user, room, "2025-08-01T00:00:00Z")
    put_room(metadata, "good", "r", START)
    key = message("2025/08/12", "01-00-00.000", user="good")
    put_all(store, [key])
    assert keys_of(discover_day(store, tmp_path / "staging", metadata=metadata)) == {key}


def test_only_the_tenants_own_users_and_rooms_are_listed(tmp_path: Path, store: Any, metadata: Any) -> None:
    for tenant in ("acme", "acme-2"):
        put_user(metadata, "u", tenant=tenant)
        put_user(metadata, f"of-{tenant}", tenant=tenant)
        for user in ("u", f"of-{tenant}"):
            put_room(metadata, user, f"r-{tenant}", START, tenant=tenant)
            rooms = ("r-acme", "r-acme-2")
            put_all(store, [message("2025/08/12", "01-00-00.000", tenant=tenant, user=user, room=r) for r in rooms])
    for tenant in ("acme", "acme-2"):
        manifest = discover_day(store, tmp_path / "staging", metadata=metadata, tenant=tenant)
        users = ("u", f"of-{tenant}")
        assert keys_of(manifest) == {
            message("2025/08/12", "01-00-00.000", tenant=tenant, user=user, room=f"r-{tenant}") for user in users
        }


def test_other_items_of_a_partition_are_neither_users_nor_rooms(tmp_path: Path, store: Any, metadata: Any) -> None:
    put_user(metadata, "u")
    put_room(metadata, "u", "r", START)
    for sort_key in ("PROFILE", "USER", "USER$", "USERS#x", "CHAT", "CHAT$", "CHATS#x", "SETTINGS#x"):
        for pk in ("TENANT#acme", "TENANT#acme#USER#u"):
            metadata.put({"PK": pk, "SK": sort_key}, expected=None)
    put_all(store, [message("2025/08/12", "01-00-00.000")])
    recorder = Recorder(store)
    assert discover_day(recorder, tmp_path / "staging", metadata=metadata, layout="messages").objects == 1
    assert len(recorder.recursive) == 3


def test_tenant_that_neither_store_knows_has_an_empty_day(tmp_path: Path, store: Any, metadata: Any) -> None:
    put_user(metadata, "u", tenant="acme-2")
    put_all(store, [message("2025/08/12", "01-00-00.000", tenant="acme-2")])
    assert discover_day(store, tmp_path / "staging", metadata=metadata).objects == 0


def test_metadata_without_users_of_a_tenant_with_objects_is_an_error(tmp_path: Path, store: Any, metadata: Any) -> None:
    put_user(metadata, "u", tenant="acme-2")
    put_all(store, [message("2020/01/01", "01-00-00.000")])
    with pytest.raises(TerminalError, match=r"tenant=acme day=2025-08-12: the metadata store names no user"):
        discover_day(store, tmp_path / "staging", metadata=metadata)


@pytest.mark.parametrize(
    ("error", "expected"), [(PermissionDeniedError("403"), TerminalError), (GenericError("x"), RetryableError)]
)
def test_day_without_active_rooms_fails_if_input_is_unreadable(
    tmp_path: Path, store: Any, metadata: Any, error: Exception, expected: type[Exception]
) -> None:
    put_user(metadata, "u")
    put_room(metadata, "u", "r", "2025-08-01T00:00:00Z")
    with pytest.raises(expected, match="tenant=acme day=2025-08-12"):
        discover_day(Recorder(store, fail=lambda _: error), tmp_path / "staging", metadata=metadata, layout="messages")


def test_users_are_queried_concurrently(tmp_path: Path, store: Any, metadata: Any) -> None:
    barrier = threading.Barrier(4, timeout=10)

    class Waiting:
        def query(self, pk: str, *, first: str, last: str) -> Any:
            if "#USER#" in pk:
                barrier.wait()
            return metadata.query(pk, first=first, last=last)

    for user in "abcd":
        put_user(metadata, user)
        put_room(metadata, user, "r", START)
        put_all(store, [message("2025/08/12", "01-00-00.000", user=user)])
    assert discover_day(store, tmp_path / "staging", metadata=Waiting(), concurrency=4).objects == 4
    assert compare_discovery(store, Waiting(), **day_options()).missed == ()


def test_metadata_store_that_fails_gives_no_manifest(tmp_path: Path, store: Any) -> None:
    broken = open_metadata(tmp_path)
    broken.file.parent.mkdir()
    broken.file.write_bytes(b"no database" * 100)
    put_all(store, [message("2025/08/12", "01-00-00.000")])
    with pytest.raises(TerminalError, match="tenant=acme day=2025-08-12"):
        discover_day(store, tmp_path / "staging", metadata=broken)


@pytest.mark.parametrize("layout", ["auto", "export"])
def test_export_is_listed_without_querying_the_metadata_store(tmp_path: Path, store: Any, layout: str) -> None:
    put_all(store, [f"{EXPORT}part.jsonl"])
    assert discover_day(store, tmp_path / "staging", metadata=Forbidden(), layout=layout).objects == 1


def test_requested_export_that_does_not_exist_queries_no_metadata(tmp_path: Path, store: Any) -> None:
    assert discover_day(store, tmp_path / "staging", metadata=Forbidden(), layout="export").objects == 0


def write_milliseconds(at: datetime) -> str:
    return at.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def write_naive(at: datetime) -> str:
    return at.replace(tzinfo=None).isoformat()


def write_seconds(at: datetime) -> str:
    return at.replace(microsecond=0).isoformat()


def write_in_tokyo(at: datetime) -> str:
    return at.astimezone(timezone(timedelta(hours=9))).isoformat(timespec="microseconds")


names = st.sampled_from(HOSTILE) | st.text(
    st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="/"), min_size=1, max_size=8
).filter(lambda name: name not in (".", ".."))
# Around the day's start and end, and days away from both.
hours = st.sampled_from([-60, -24, -1, 0, 1, 12, 24, 25, 60])
offsets = st.builds(lambda h, ms: timedelta(hours=h, milliseconds=ms), hours, st.integers(-3_600_000, 3_600_000))
instants = st.sampled_from([timedelta(0), timedelta(milliseconds=-1)]) | offsets
forms = st.sampled_from([write_milliseconds, write_naive, write_seconds, write_in_tokyo])
rooms = st.dictionaries(st.tuples(names, names), st.tuples(st.lists(instants, max_size=4), forms), max_size=6)


@given(rooms)
@settings(max_examples=60, deadline=None)
def test_discovery_by_correct_metadata_equals_discovery_by_listing(day: dict[Any, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store, metadata = LocalStore(f"{folder}/in", mkdir=True), open_metadata(Path(folder))
        for user in {user for user, _ in day}:
            put_user(metadata, user)
        for (user, room), (sent, write) in day.items():
            moments = [(START_AT + offset).astimezone(UTC) for offset in sent]
            put_room(metadata, user, room, write(max(moments)) if moments else None)
            clocks = [(f"{at:%Y/%m/%d}", f"{at:%H-%M-%S}.{at.microsecond // 1000:03d}") for at in moments]
            put_all(store, [message(*clock, user=user, room=room) for clock in clocks])
        listed = discover_day(store, Path(folder) / "listed")
        by_metadata = discover_day(store, Path(folder) / "by-metadata", metadata=metadata)
        assert keys_of(by_metadata) == keys_of(listed)
        assert by_metadata.fingerprint == listed.fingerprint
        assert compare_discovery(store, metadata, **day_options()).missed == ()
