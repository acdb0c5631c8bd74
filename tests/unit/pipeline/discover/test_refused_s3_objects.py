"""Unreadable objects on S3: a key that obstore cannot read is one unreadable object and hides no other."""

from pathlib import Path
from typing import Any

import boto3
import obstore
import pytest
from moto.server import ThreadedMotoServer
from obstore.store import S3Store

from daily_batch.errors import TerminalError
from daily_batch.pipeline.discover.chunks import read_manifest
from daily_batch.pipeline.discover.s3_listing import open_s3_listing
from tests.support.manifest_day import EXPORT, discover_day, keys_of, message, put_all, unreadable_objects


@pytest.fixture(scope="module")
def s3() -> Any:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3: str, request: pytest.FixtureRequest) -> tuple[Any, S3Store]:
    name = f"b-{abs(hash(request.node.name))}"
    credentials = {"region_name": "us-east-1", "aws_access_key_id": "a", "aws_secret_access_key": "b"}
    client = boto3.client("s3", endpoint_url=s3, **credentials)
    client.create_bucket(Bucket=name)
    config = {"endpoint": s3, "region": "us-east-1", "access_key_id": "a", "secret_access_key": "b"}
    store = S3Store(name, prefix="in", config=config, client_options={"allow_http": True})  # type: ignore[arg-type]
    return (lambda key, body=b"{}": client.put_object(Bucket=name, Key=f"in/{key}", Body=body)), store


DAY = "acme/chat/u/r/messages/2025/08/12"
GOOD = f"{EXPORT}good.jsonl"
EMPTY = ("invalid_name", "a part of the name is empty, . or ..")
CONTROL = ("invalid_name", "the name holds a control character")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *(
            (name, EMPTY)
            for name in ("a//b.json", "/b.json", "//b.json", "a/./b.json", "a/../b.json", "..", ".", "b//")
        ),
        *((name, CONTROL) for name in ("a\tb", "a\x01b", "a\x7fb/c.json")),
    ],
)
@pytest.mark.parametrize("folder", [EXPORT, f"{DAY}/"])
def test_key_that_obstore_cannot_read_hides_no_other(
    bucket: tuple[Any, S3Store], tmp_path: Path, name: str, expected: tuple[str, str], folder: str
) -> None:
    put, store = bucket
    good = [f"{folder}good.json", f"{folder}0.json", f"{folder}zz/z.json"]
    for key in [*good, f"{folder}{name}", f"{folder}._x", f"{folder}sub/"]:
        put(key, b"" if key.endswith("sub/") else b"{}")
    manifest = discover_day(store, tmp_path / "staging")
    assert keys_of(manifest) == {*good, f"{folder}{name}"}
    assert unreadable_objects(manifest) == {f"{folder}{name}": expected}
    assert (manifest.ignored, manifest.bytes) == (1, 8)


def test_s3_listing_equals_that_of_obstore(bucket: tuple[Any, S3Store], tmp_path: Path) -> None:
    put, store = bucket
    for name in ("a", "b/c 山.json", "d%2Fe", "f#g"):
        put(f"{EXPORT}{name}")
    before = discover_day(store, tmp_path / "staging")
    put(f"{EXPORT}z\x01")
    after = discover_day(store, tmp_path / "staging")
    readable = [
        {item for _, objects in read_manifest(manifest.files) for item in objects if not item.reason}
        for manifest in (before, after)
    ]
    assert [item[:3] for item in sorted(readable[0])] == [item[:3] for item in sorted(readable[1])]
    listing = open_s3_listing(store)
    assert listing is not None
    [page] = listing.list_objects(EXPORT.rstrip("/"), after=None, cause=Exception())
    assert {item.key for item in page} == keys_of(after)


def test_objects_listed_before_an_invalid_key_are_not_repeated(bucket: tuple[Any, S3Store], tmp_path: Path) -> None:
    put, store = bucket
    keys = {f"{EXPORT}{n:04d}" for n in range(1_203)}
    put_all(store, sorted(keys))
    put(f"{EXPORT}x//y")
    assert keys_of(discover_day(store, tmp_path / "staging")) == {*keys, f"{EXPORT}x//y"}


@pytest.mark.parametrize("bad", ["", "a\x01", "."])
def test_users_and_rooms_with_invalid_names_hide_no_others(
    bucket: tuple[Any, S3Store], tmp_path: Path, bad: str
) -> None:
    put, store = bucket
    keys = [message("2025/08/12", "01-00-00.000", user=user, room=room) for user in ("u", bad) for room in ("r", bad)]
    for key in keys:
        put(key)
    put(message("2025/08/13", "23-00-00.000", user=bad))
    manifest = discover_day(store, tmp_path / "staging")
    assert keys_of(manifest) == set(keys)
    assert unreadable_objects(manifest).keys() == set(keys[1:])


def test_invalid_key_without_boto3_fails_the_day(
    bucket: tuple[Any, S3Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, store = bucket
    put(f"{EXPORT}a//b.jsonl")
    put(GOOD)
    monkeypatch.setitem(__import__("sys").modules, "boto3", None)
    with pytest.raises(TerminalError, match=r"the object name .*a//b.jsonl"):
        discover_day(store, tmp_path / "staging")


def test_obstore_lists_a_key_with_a_trailing_slash_without_it(bucket: tuple[Any, S3Store]) -> None:
    """Check what the fetch relies on: a key that ends in a slash is listed without it, and cannot be read."""
    put, store = bucket
    put(f"{EXPORT}b.json/", b"x")
    assert [each["path"] for page in obstore.list(store, EXPORT) for each in page] == [f"{EXPORT}b.json"]
    assert [each["path"] for page in obstore.list(store, f"{EXPORT}b.json") for each in page] == [f"{EXPORT}b.json"]
    with pytest.raises(FileNotFoundError):
        store.get(f"{EXPORT}b.json")
