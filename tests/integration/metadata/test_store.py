"""Conformance of the metadata stores: SQLite, DynamoDB and Cosmos DB."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from daily_batch.metadata import MetadataStore, VersionConflictError, cosmos
from tests.support.metadata_backends import Backend
from tests.support.racing_writers import race

SK = "DAILY#2025-08-12"


@pytest.fixture
def store(backend: Backend) -> MetadataStore:
    return backend.connect()


@pytest.fixture
def pk() -> str:
    """Return a partition that no other test uses."""
    return f"TENANT#{uuid.uuid4().hex[:12]}#BATCH"


def test_an_item_is_read_as_it_was_written(store: MetadataStore, pk: str) -> None:
    item = {
        "PK": pk,
        "SK": SK,
        "title": "会議室 ｱｲｳ 😀 \"quoted\" 'single' \\ # ? /",
        "empty": "",
        "nothing": None,
        "yes": True,
        "no": False,
        "zero": 0,
        "largest": 2**53 - 1,
        "smallest": -(2**53) + 1,
        "text_of_digits": "007",
    }
    store.put(item, expected=None)
    stored = store.get(pk, SK)
    assert stored is not None
    assert stored.item == item
    assert {name: type(value) for name, value in stored.item.items()} == {n: type(v) for n, v in item.items()}
    assert list(store.query(pk, first=SK, last=SK)) == [item]


def test_a_missing_item_is_none(store: MetadataStore, pk: str) -> None:
    store.put({"PK": pk, "SK": SK}, expected=None)
    assert store.get(pk, "DAILY#2025-08-13") is None
    assert store.get(f"{pk}2", SK) is None
    assert list(store.query(f"{pk}2", first="A", last="~")) == []


def test_a_range_includes_both_ends_and_is_ordered(store: MetadataStore, pk: str) -> None:
    for day in (14, 11, 13, 15, 12):
        store.put({"PK": pk, "SK": f"DAILY#2025-08-{day}", "day": day}, expected=None)
    found = store.query(pk, first="DAILY#2025-08-12", last="DAILY#2025-08-14")
    assert [item["day"] for item in found] == [12, 13, 14]


def test_a_range_over_a_prefix_includes_names_of_every_script(store: MetadataStore, pk: str) -> None:
    names = ["Z", "a", "é", "会", "ｱ", "😀"]
    for name in ("USER", "USER$", *(f"USER#{name}" for name in names)):
        store.put({"PK": pk, "SK": name}, expected=None)
    found = [str(item["SK"]) for item in store.query(pk, first="USER#", last="USER$")]
    # Beyond ASCII the stores differ: by code points ｱ comes first, by UTF-16 units 😀.
    assert sorted(found) == sorted([*(f"USER#{name}" for name in names), "USER$"])
    assert [found[0], found[1], found[-1]] == ["USER#Z", "USER#a", "USER$"]


def test_a_range_that_ends_before_it_begins_is_empty(store: MetadataStore, pk: str) -> None:
    store.put({"PK": pk, "SK": SK}, expected=None)
    assert list(store.query(pk, first="DAILY#2025-08-31", last="DAILY#2025-08-01")) == []


def test_a_range_of_many_pages_is_complete(store: MetadataStore, pk: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cosmos, "PAGE_ITEMS", 100)
    names = [f"CHAT#{number:04}" for number in range(250)]
    text = "あ" * 2_000  # DynamoDB's pages end at 1 MB
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda name: store.put({"PK": pk, "SK": name, "text": text}, expected=None), names))
    found = list(store.query(pk, first="CHAT#", last="CHAT$"))
    assert [item["SK"] for item in found] == names
    assert {item["text"] for item in found} == {text}


def test_partitions_do_not_mix(store: MetadataStore, pk: str) -> None:
    for partition in (pk, f"{pk}-2"):
        store.put({"PK": partition, "SK": SK, "owner": partition}, expected=None)
    for partition in (pk, f"{pk}-2"):
        stored = store.get(partition, SK)
        assert stored is not None
        assert stored.item["owner"] == partition
        assert [item["owner"] for item in store.query(partition, first="A", last="~")] == [partition]


def test_an_item_is_created_once(store: MetadataStore, pk: str) -> None:
    store.put({"PK": pk, "SK": SK, "by": "first"}, expected=None)
    with pytest.raises(VersionConflictError):
        store.put({"PK": pk, "SK": SK, "by": "second"}, expected=None)
    assert [item["by"] for item in store.query(pk, first=SK, last=SK)] == ["first"]


def test_an_item_is_replaced_completely_given_its_version(store: MetadataStore, pk: str) -> None:
    created = store.put({"PK": pk, "SK": SK, "by": "first", "more": 1}, expected=None)
    replaced = store.put({"PK": pk, "SK": SK, "by": "second"}, expected=created)
    assert replaced != created
    assert store.get(pk, SK) == ({"PK": pk, "SK": SK, "by": "second"}, replaced)


def test_a_stale_version_replaces_nothing(store: MetadataStore, pk: str) -> None:
    stale = store.put({"PK": pk, "SK": SK, "by": "first"}, expected=None)
    store.put({"PK": pk, "SK": SK, "by": "second"}, expected=stale)
    with pytest.raises(VersionConflictError):
        store.put({"PK": pk, "SK": SK, "by": "third"}, expected=stale)
    assert [item["by"] for item in store.query(pk, first=SK, last=SK)] == ["second"]


def test_a_version_of_a_deleted_item_creates_nothing(store: MetadataStore, pk: str) -> None:
    version = store.put({"PK": pk, "SK": SK}, expected=None)
    with pytest.raises(VersionConflictError):
        store.put({"PK": f"{pk}-2", "SK": SK}, expected=version)
    assert store.get(f"{pk}-2", SK) is None


def test_another_client_reads_what_was_written_and_replaces_it(backend: Backend, pk: str) -> None:
    first, second = backend.connect(), backend.connect()
    version = first.put({"PK": pk, "SK": SK, "by": "first"}, expected=None)
    stored = second.get(pk, SK)
    assert stored == ({"PK": pk, "SK": SK, "by": "first"}, version)
    second.put({"PK": pk, "SK": SK, "by": "second"}, expected=version)
    with pytest.raises(VersionConflictError):
        first.put({"PK": pk, "SK": SK, "by": "third"}, expected=version)


def test_another_programs_item_is_read_and_replaced_in_place(backend: Backend, pk: str) -> None:
    planted = {"PK": pk, "SK": SK, "status": "done", "count": 3}
    backend.plant(planted)
    store = backend.connect()
    stored = store.get(pk, SK)
    assert stored is not None
    assert stored.item == planted
    with pytest.raises(VersionConflictError):
        store.put({"PK": pk, "SK": SK, "status": "lost"}, expected=None)
    version = store.put({**stored.item, "status": "RUNNING"}, expected=stored.version)
    with pytest.raises(VersionConflictError):
        store.put({**stored.item, "status": "lost"}, expected=stored.version)
    assert store.get(pk, SK) == ({**planted, "status": "RUNNING"}, version)
    assert list(store.query(pk, first="A", last="~")) == [{**planted, "status": "RUNNING"}]


def test_attributes_of_other_programs_survive_a_rewrite(
    request: pytest.FixtureRequest, backend: Backend, pk: str
) -> None:
    attributes = {"ratio": 0.1, "nested": {"list": [1, 2.5, "三", None], "deep": {"yes": True}}}
    decimals = {"ratio": Decimal("0.1"), "nested": {**attributes["nested"], "list": [1, Decimal("2.5"), "三", None]}}
    is_dynamodb = "dynamodb" in request.node.callspec.id
    backend.plant({"PK": pk, "SK": SK, **(decimals if is_dynamodb else attributes)})
    store = backend.connect()
    stored = store.get(pk, SK)
    assert stored is not None
    store.put({**stored.item, "status": "RUNNING"}, expected=stored.version)
    assert next(store.query(pk, first=SK, last=SK)) == {"PK": pk, "SK": SK, **attributes, "status": "RUNNING"}


def test_threads_share_a_store(store: MetadataStore, pk: str) -> None:
    def write_and_read(number: int) -> object:
        sk = f"DAILY#{number:02}"
        store.put({"PK": pk, "SK": sk, "number": number}, expected=None)
        stored = store.get(pk, sk)
        return stored.item["number"] if stored else None

    with ThreadPoolExecutor(16) as threads:
        assert list(threads.map(write_and_read, range(64))) == list(range(64))


def test_one_of_eight_concurrent_writers_wins_each_round(backend: Backend, pk: str) -> None:
    won = race(backend.connect, pk, SK, writers=8, rounds=20)
    assert sorted(number for rounds in won for number in rounds) == list(range(20))
    last = next(writer for writer, rounds in enumerate(won) if 19 in rounds)
    (item,) = backend.connect().query(pk, first="A", last="~")
    assert item == {"PK": pk, "SK": SK, "round": 19, "writer": last}
