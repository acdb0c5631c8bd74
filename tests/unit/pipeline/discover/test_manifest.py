"""Content of manifests, from a local folder and from S3."""

import itertools
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from obstore.exceptions import GenericError, PermissionDeniedError
from obstore.store import LocalStore, ObjectStore, S3Store

from daily_batch.domain.run import SourceObject
from daily_batch.errors import RetryableError, TerminalError
from daily_batch.pipeline.discover import manifest as discover_manifest
from daily_batch.pipeline.discover.chunks import read_manifest
from daily_batch.pipeline.discover.listing import Batch, check_name
from daily_batch.pipeline.discover.manifest import Manifest
from tests.support.manifest_day import EXPORT, HOSTILE, Recorder, discover_day, keys_of, message, put_all

BUCKETS = itertools.count()


@pytest.fixture(scope="module")
def s3_options() -> Iterator[dict[str, Any]]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield {"endpoint": f"http://{host}:{port}", "region": "us-east-1", "access_key_id": "a", "secret_access_key": "b"}
    server.stop()


@pytest.fixture
def bucket(s3_options: dict[str, Any]) -> tuple[Any, str, ObjectStore]:
    """Return a boto3 client, a new bucket's name, and an obstore store at the bucket's prefix `in`."""
    client = boto3.client(
        "s3",
        endpoint_url=s3_options["endpoint"],
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
    )
    name = f"bucket-{next(BUCKETS)}"
    client.create_bucket(Bucket=name)
    return client, name, s3_store(name, s3_options)


def s3_store(name: str, options: dict[str, Any]) -> S3Store:
    return S3Store(
        name, prefix="in", client_options={"allow_http": True}, virtual_hosted_style_request=False, **options
    )


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "local":
        return LocalStore(str(tmp_path / "in"), mkdir=True)
    return request.getfixturevalue("bucket")[2]


@pytest.fixture
def list_day(tmp_path: Path) -> Callable[..., Manifest]:
    """Return `discover_day` with a staging folder."""
    return partial(discover_day, staging=tmp_path / "staging")


def test_business_day_includes_objects_of_both_of_its_utc_folders(store: ObjectStore, list_day: Any) -> None:
    inside = [message("2025/08/11", "15-00-00.000"), message("2025/08/12", "14-59-59.999", room="r2")]
    put_all(store, [*inside, message("2025/08/10", "16-00-00.000"), message("2025/08/13", "00-00-00.000")])
    assert keys_of(list_day(store)) == set(inside)


def test_slack_widens_the_window_to_the_millisecond(store: ObjectStore, list_day: Any) -> None:
    inside = [message("2025/08/11", "14-45-00.000"), message("2025/08/12", "15-14-59.999")]
    put_all(store, [*inside, message("2025/08/11", "14-44-59.999"), message("2025/08/12", "15-15-00.000")])
    assert keys_of(list_day(store)) == set(inside)


@pytest.mark.parametrize(
    ("day", "inside", "outside"),
    [  # Berlin: 2025-03-30 has 23 hours (from 23:00Z to 22:00Z), 2025-10-26 has 25 (from 22:00Z to 23:00Z).
        (
            "2025-03-30",
            [("2025/03/29", "22-45-00.000"), ("2025/03/30", "22-14-59.999")],
            [("2025/03/29", "22-44-59.999"), ("2025/03/30", "22-15-00.000")],
        ),
        (
            "2025-10-26",
            [("2025/10/25", "21-45-00.000"), ("2025/10/26", "23-14-59.999")],
            [("2025/10/25", "21-44-59.999"), ("2025/10/26", "23-15-00.000")],
        ),
    ],
)
def test_day_with_a_clock_change_has_its_real_length(
    tmp_path: Path, list_day: Any, day: str, inside: list[Any], outside: list[Any]
) -> None:
    store = LocalStore(str(tmp_path / "in"), mkdir=True)
    put_all(store, [message(*when) for when in inside + outside])
    assert keys_of(list_day(store, day=day, zone="Europe/Berlin")) == {message(*when) for when in inside}


def test_hostile_names_are_listed_with_exact_keys(store: ObjectStore, list_day: Any) -> None:
    keys = [message("2025/08/12", "01-02-03.004", user=name, room=name, name=name) for name in HOSTILE]
    put_all(store, keys)
    assert keys_of(list_day(store)) == set(keys)


def test_tenant_never_lists_another_tenant_with_a_similar_name(store: ObjectStore, list_day: Any) -> None:
    own = message("2025/08/12", "01-00-00.000")
    others = [message("2025/08/12", "01-00-00.000", tenant=tenant) for tenant in ("acme-2", "acme_", "acm", "ACME")]
    put_all(store, [own, *others, "acme-2/exports/messages/2025/08/12/part.jsonl"])
    assert keys_of(list_day(store)) == {own}


def test_only_the_days_folders_of_each_room_are_listed(store: ObjectStore, list_day: Any) -> None:
    rooms = [f"acme/chat/{user}/{room}" for user in ("u1", "u2") for room in ("r1", "r2", "r3")]
    for room in rooms:
        put_all(store, [f"{room}/messages/2025/08/12/01-00-00.000Z-m.json"])
        put_all(store, [f"{room}/messages/202{year}/01/01/01-00-00.000Z-m.json" for year in range(5)])
        put_all(store, [f"{room}/{folder}/2025/08/12/x.json" for folder in ("uploads", "generated", "thumbnails")])
    recorder = Recorder(store)
    manifest = list_day(recorder)
    assert keys_of(manifest) == {f"{room}/messages/2025/08/12/01-00-00.000Z-m.json" for room in rooms}
    days = ("2025/08/11", "2025/08/12")
    assert sorted(recorder.recursive) == sorted(
        [EXPORT, *(f"{room}/messages/{day}/" for room in rooms for day in days)]
    )
    assert sorted(recorder.delimited) == ["acme/chat/", "acme/chat/u1/", "acme/chat/u2/"]


def test_object_whose_name_has_no_time_is_listed(store: ObjectStore, list_day: Any) -> None:
    folder = "acme/chat/u/r/messages/2025/08/12"
    names = ["notes.txt", "25-00-00.000Z-m.json", "sub/01-00-00.000Z-m.json", "_x.json", ".x.json", "m.json.bak"]
    put_all(store, [f"{folder}/{name}" for name in names])
    assert keys_of(list_day(store)) == {f"{folder}/{name}" for name in names}


def test_auto_layout_prefers_a_non_empty_export(store: ObjectStore, list_day: Any) -> None:
    exports = [f"{EXPORT}{name}" for name in ("part-0.jsonl.gz", "_x.json", ".hidden", "a/b/c=d/part 1", "山.zst")]
    put_all(store, [*exports, message("2025/08/12", "01-00-00.000"), "acme/exports/messages/2025/08/13/part.jsonl"])
    manifest = list_day(store)
    assert manifest.layout == "export"
    assert keys_of(manifest) == set(exports)
    assert list_day(store, layout="export") == manifest


def test_layout_can_be_chosen(store: ObjectStore, list_day: Any) -> None:
    own = message("2025/08/12", "01-00-00.000")
    put_all(store, [own, f"{EXPORT}part.jsonl"])
    assert keys_of(list_day(store, layout="messages")) == {own}
    assert list_day(store, layout="export", export_folder="acme/elsewhere").objects == 0


def test_tenant_without_objects_has_an_empty_manifest(store: ObjectStore, list_day: Any) -> None:
    manifest = list_day(store)
    assert (manifest.layout, manifest.files, manifest.objects, manifest.bytes) == ("messages", (), 0, 0)
    assert list(read_manifest(manifest.files)) == []


def test_manifest_has_the_stores_sizes_etags_and_times(store: ObjectStore, list_day: Any) -> None:
    key = message("2025/08/12", "01-00-00.000")
    store.put(key, b'{"a": 1}')
    meta = store.head(key)
    [(number, [item])] = read_manifest(list_day(store).files)
    assert (number, item.key, item.size, item.etag) == (0, key, 8, meta["e_tag"])
    assert item.modified_us == pytest.approx(meta["last_modified"].timestamp() * 1e6, abs=1)


def test_empty_object_is_listed(store: ObjectStore, list_day: Any) -> None:
    key = message("2025/08/12", "01-00-00.000")
    store.put(key, b"")
    assert keys_of(list_day(store)) == {key}


def test_console_folder_markers_are_not_objects(bucket: Any, list_day: Any) -> None:
    client, name, store = bucket
    key = message("2025/08/12", "01-00-00.000")
    markers = ["acme/", "acme/chat/", "acme/chat/u/", "acme/chat/u/r/", "acme/chat/u/r/messages/2025/08/12/", EXPORT]
    for marker in [*markers, f"{EXPORT}sub/", key]:
        client.put_object(Bucket=name, Key=f"in/{marker}", Body=b"")
    manifest = list_day(store)
    assert manifest.layout == "messages"
    assert keys_of(manifest) == {key}


def test_more_objects_than_a_page_holds_are_all_listed(bucket: Any, list_day: Any) -> None:
    _, _, store = bucket
    put_all(store, [f"{EXPORT}{n:04d}" for n in range(1_003)])
    assert list_day(store).objects == 1_003


def test_missing_bucket_is_a_terminal_error(s3_options: dict[str, Any], list_day: Any) -> None:
    for layout in ("auto", "messages", "export"):
        with pytest.raises(TerminalError, match=r"tenant=acme day=2025-08-12: .* does not exist"):
            list_day(s3_store("no-such-bucket", s3_options), layout=layout)


def test_missing_root_is_a_terminal_error_and_missing_tenant_is_empty(tmp_path: Path, list_day: Any) -> None:
    store = LocalStore(str(tmp_path / "in"), mkdir=True)
    assert list_day(store).objects == 0
    (tmp_path / "in").rmdir()
    with pytest.raises(TerminalError, match="does not exist"):
        list_day(store)


@pytest.mark.parametrize(
    ("error", "expected"),
    [(PermissionDeniedError("403 for …?sig=SECRET"), TerminalError), (GenericError("503"), RetryableError)],
)
@pytest.mark.parametrize("layout", ["auto", "messages"])
def test_listing_that_fails_midway_gives_no_manifest(
    tmp_path: Path, list_day: Any, error: Exception, expected: type[Exception], layout: str
) -> None:
    store = LocalStore(str(tmp_path / "in"), mkdir=True)
    put_all(store, [message("2025/08/12", "01-00-00.000", user=f"u{n}") for n in range(50)])
    recorder = Recorder(store, fail=lambda prefix: error if "/u7/" in prefix else None)
    with pytest.raises(expected) as caught:
        list_day(recorder, layout=layout)
    assert "tenant=acme" in str(caught.value)
    assert "SECRET" not in str(caught.value)


def test_chunks_of_an_earlier_attempt_are_removed(tmp_path: Path, list_day: Any) -> None:
    store = LocalStore(str(tmp_path / "in"), mkdir=True)
    put_all(store, [message("2025/08/12", "01-00-00.000", room=f"r{n}") for n in range(10)])
    assert len(list_day(store, chunk_objects=1).files) == 10
    manifest = list_day(store, chunk_objects=100)
    assert manifest.files == tuple((tmp_path / "staging").iterdir())
    [(_, objects)] = read_manifest(manifest.files)
    assert (len(objects), sum(item.size for item in objects)) == (manifest.objects, manifest.bytes) == (10, 20)


def test_progress_counts_up_to_all_objects(tmp_path: Path, list_day: Any) -> None:
    store = LocalStore(str(tmp_path / "in"), mkdir=True)
    put_all(store, [f"{EXPORT}{n}" for n in range(25)])
    counts: list[int] = []
    list_day(store, chunk_objects=10, progress=counts.append)
    assert counts == [10, 20, 25]


def test_late_changed_and_missing_objects_change_the_fingerprint(store: ObjectStore, list_day: Any) -> None:
    keys = [message("2025/08/12", "01-00-00.000", room=f"r{n}") for n in range(5)]
    put_all(store, keys)
    first = list_day(store).fingerprint
    assert list_day(store, chunk_objects=1, concurrency=1).fingerprint == first
    late = message("2025/08/12", "02-00-00.000")
    store.put(late, b"{}")
    assert list_day(store).fingerprint != first
    store.delete(late)
    assert list_day(store).fingerprint == first
    store.put(keys[0], b"[]")
    assert list_day(store).fingerprint != first


@pytest.mark.parametrize(("name", "times"), [("a.jsonl", 1), ("a.jsonl.gz", 5), ("a.jsonl.ZST", 5)])
def test_size_of_the_text_is_estimated_by_the_names(tmp_path: Path, name: str, times: int) -> None:
    store = LocalStore(str(tmp_path / "in"), mkdir=True)
    put_all(store, [f"{EXPORT}{name}"], b"x" * 100)
    manifest = discover_day(store, tmp_path / "staging")
    assert (manifest.bytes, manifest.text_bytes) == (100, 100 * times)


class EndlessNames:
    """A tree that lists unreadable names without storing them."""

    def __init__(self, pages: int) -> None:
        self.pages = pages

    def list_objects(self, folder: str, *, nested: bool) -> Iterator[Batch]:
        for page in range(self.pages):
            yield Batch([check_name(SourceObject(f"{folder}/{page}//{n:0100}", 2, "e", 0)) for n in range(1000)])


def test_unreadable_names_do_not_stay_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, list_day: Callable[..., Manifest]
) -> None:
    peaks = {}
    for pages in (5, 40):
        monkeypatch.setattr(discover_manifest, "open_tree", lambda *_, pages=pages: EndlessNames(pages))
        tracemalloc.start()
        try:
            manifest = list_day(LocalStore(str(tmp_path / "in"), mkdir=True), layout="export")
            peaks[pages] = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert manifest.objects == pages * 1000
    assert peaks[40] < 1.3 * peaks[5]
