"""Test unreadable objects: a name that no client can read, or a link that must not be followed, is one such object."""

import os
import socket
from pathlib import Path
from typing import Any

import boto3
import obstore
import pytest
from moto.server import ThreadedMotoServer
from obstore.store import LocalStore, S3Store

from daily_batch.errors import TerminalError
from daily_batch.pipeline.discover.chunks import read_manifest
from daily_batch.pipeline.discover.manifest import Manifest
from daily_batch.pipeline.discover.s3_listing import open_s3_listing
from tests.support.manifest_day import EXPORT, discover_day, keys_of, message, put_all

DAY = "acme/chat/u/r/messages/2025/08/12"
GOOD = f"{EXPORT}good.jsonl"


def unreadable(manifest: Manifest) -> dict[str, tuple[str, str]]:
    """Return reason and detail of the unreadable objects by key."""
    items = [item for _, objects in read_manifest(manifest.files) for item in objects]
    return {item.key: (item.reason, item.detail) for item in items if item.reason}


class Input:
    """A local input root with objects and links."""

    def __init__(self, folder: Path) -> None:
        self.root, self.staging = folder / "in", folder / "staging"
        self.store = LocalStore(str(self.root), mkdir=True)

    def put(self, *keys: str) -> None:
        put_all(self.store, list(keys))

    def link(self, key: str, target: str) -> None:
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)

    def list_day(self, **more: Any) -> Manifest:
        return discover_day(self.store, self.staging, **more)


@pytest.fixture
def source(tmp_path: Path) -> Input:
    return Input(tmp_path)


def test_a_local_object_has_obstores_metadata(source: Input) -> None:
    keys = [GOOD, f"{EXPORT}a/b/c.jsonl", f"{EXPORT}old"]
    source.put(*keys)
    os.utime(source.root / f"{EXPORT}old", (-5.5, -5.5))
    for _, objects in read_manifest(source.list_day().files):
        for item in objects:
            meta = source.store.head(item.key)
            assert (item.size, item.etag) == (meta["size"], meta["e_tag"])
            assert item.modified_us == pytest.approx(meta["last_modified"].timestamp() * 1e6, abs=1)


@pytest.mark.parametrize(
    ("name", "key", "detail"),
    [
        (b"a\x01b.json", "a\x01b.json", "the name holds a control character"),
        (b"a\nb.json", "a\nb.json", "the name holds a control character"),
        (b"a\tb/\x7f.json", "a\tb/\x7f.json", "the name holds a control character"),
        (b"bad\xff.json", "bad\\xff.json", "the name is not UTF-8"),
        (b"bad\xff/ok.json", "bad\\xff/ok.json", "the name is not UTF-8"),
        (b"a.json#12", "a.json#12", "the name ends in # and digits, which obstore keeps for itself"),
    ],
)
@pytest.mark.parametrize("folder", [EXPORT, f"{DAY}/"])
def test_a_local_name_that_no_client_can_read_is_one_unreadable_object(
    source: Input, name: bytes, key: str, detail: str, folder: str
) -> None:
    source.put(f"{folder}good.json")
    path = os.path.join(os.fsencode(source.root / folder), name)  # noqa: PTH118 - pathlib has no bytes
    os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(b"{}")
    manifest = source.list_day()
    assert keys_of(manifest) == {f"{folder}good.json", f"{folder}{key}"}
    assert unreadable(manifest) == {f"{folder}{key}": ("invalid_name", detail)}


def test_local_names_that_obstore_can_read_are_readable(source: Input) -> None:
    names = ["a%b", "a%2Fb", "%2e%2e", "a%00b", "b#1.json", "#1x", "d#12/x", "...", " x ", "a\x85b", "q?*|<>:"]
    source.put(*(f"{EXPORT}{name}" for name in names))
    manifest = source.list_day()
    assert (keys_of(manifest), unreadable(manifest)) == ({f"{EXPORT}{name}" for name in names}, {})


OUT = ("invalid_link", "a link that leads out of the tenant's folder")
NOWHERE = ("invalid_link", "a link that leads nowhere")
CIRCLE = ("invalid_link", "a link that leads back to a folder above it")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("../../../../../../globex/secret/x.json", OUT),
        ("../../../../../../globex/secret", OUT),
        ("../../../../../../acme-2", OUT),
        ("/etc/hostname", OUT),
        ("/nowhere", OUT),
        ("missing.json", NOWHERE),
        ("link", NOWHERE),
        ("..", CIRCLE),
        (".", CIRCLE),
    ],
)
@pytest.mark.parametrize("folder", [EXPORT.rstrip("/"), DAY])
def test_a_link_in_the_days_folder_is_one_unreadable_object(
    source: Input, target: str, expected: tuple[str, str], folder: str
) -> None:
    source.put(f"{folder}/good.json", "globex/secret/x.json", "acme-2/x.json")
    # A message's folder is two levels deeper.
    up = "../../" if folder == DAY and target.startswith("../..") else ""
    source.link(f"{folder}/link", up + target)
    manifest = source.list_day()
    assert keys_of(manifest) == {f"{folder}/good.json", f"{folder}/link"}
    assert unreadable(manifest) == {f"{folder}/link": expected}
    assert manifest.bytes == 2


def test_links_inside_of_the_tenants_folder_are_followed(source: Input) -> None:
    source.put("acme/store/a.json", "acme/store/more/b.json", GOOD)
    source.link(f"{EXPORT}one.json", "../../../../../store/a.json")
    source.link(f"{EXPORT}all", "../../../../../store")
    source.link(f"{EXPORT}absolute", str(source.root / "acme/store/more"))
    manifest = source.list_day()
    names = ["good.jsonl", "one.json", "all/a.json", "all/more/b.json", "absolute/b.json"]
    assert (keys_of(manifest), unreadable(manifest)) == ({f"{EXPORT}{name}" for name in names}, {})


def test_circular_links_end_the_walk(source: Input) -> None:
    source.put(GOOD)
    source.link(f"{EXPORT}a/down", "../b")
    source.link(f"{EXPORT}b/down", "../a")
    manifest = source.list_day()
    assert unreadable(manifest) == {f"{EXPORT}a/down/down": CIRCLE, f"{EXPORT}b/down/down": CIRCLE}


@pytest.mark.parametrize(
    "link", ["acme/chat/u2", "acme/chat/u/r2", "acme/chat/u/r2/messages", "acme/chat/u/r2/messages/2025"]
)
@pytest.mark.parametrize(("target", "expected"), [("/nowhere", OUT), ("{root}/globex/chat/g", OUT), ("gone", NOWHERE)])
def test_a_link_in_the_path_to_messages_is_one_unreadable_object(
    source: Input, link: str, target: str, expected: tuple[str, str]
) -> None:
    own = message("2025/08/12", "01-00-00.000")
    source.put(own, message("2025/08/12", "01-00-00.000", tenant="globex", user="g"))
    source.link(link, target.replace("{root}", str(source.root)))
    manifest = source.list_day()
    assert keys_of(manifest) == {own, link}
    assert unreadable(manifest) == {link: expected}


def test_links_to_the_tenants_own_users_and_rooms_are_followed(source: Input) -> None:
    own = message("2025/08/12", "01-00-00.000")
    source.put(own)
    source.link("acme/chat/same", "u")
    source.link("acme/chat/u/same", "r")
    expected = {
        message("2025/08/12", "01-00-00.000", user=user, room=room) for user in ("u", "same") for room in ("r", "same")
    }
    manifest = source.list_day()
    assert (keys_of(manifest), unreadable(manifest)) == (expected, {})


def test_stray_links_beside_users_are_not_listed(source: Input) -> None:
    source.put(message("2025/08/12", "01-00-00.000"), "globex/x.json", "acme/y.json")
    source.link("acme/chat/x.json", "../../globex/x.json")
    source.link("acme/chat/y.json", "../y.json")
    source.link("acme/chat/.#lock", "someone@host:1")
    assert source.list_day().objects == 1


@pytest.mark.parametrize("link", ["acme/exports", EXPORT.rstrip("/")])
def test_link_above_the_export_is_listed_and_hides_no_messages(source: Input, link: str) -> None:
    own = message("2025/08/12", "01-00-00.000")
    source.put(own, "globex/exports/messages/2025/08/12/part.jsonl")
    source.link(link, str(source.root / link.replace("acme", "globex")))
    manifest = source.list_day()
    assert (manifest.layout, keys_of(manifest), unreadable(manifest)) == ("messages", {own, link}, {link: OUT})
    assert source.list_day(layout="messages").objects == 1
    assert keys_of(source.list_day(layout="export")) == {link}


def test_an_unreadable_object_in_the_export_folder_is_an_export(source: Input) -> None:
    source.put(message("2025/08/12", "01-00-00.000"))
    source.link(f"{EXPORT}part.jsonl", "/nowhere")
    manifest = source.list_day()
    assert (manifest.layout, keys_of(manifest)) == ("export", {f"{EXPORT}part.jsonl"})


def test_a_link_with_a_markers_name_is_ignored(source: Input) -> None:
    source.put(GOOD)
    source.link(f"{EXPORT}.#good.jsonl", "someone@host:1")
    source.link(f"{EXPORT}_temporary", "/nowhere")
    manifest = source.list_day()
    assert (keys_of(manifest), manifest.ignored) == ({GOOD}, 2)


def test_tenant_folder_linked_to_another_tenant_is_a_terminal_error(source: Input) -> None:
    source.put("globex/exports/messages/2025/08/12/part.jsonl")
    source.link("acme", "globex")
    with pytest.raises(TerminalError, match=r"tenant=acme .* is a link to another place in the input"):
        source.list_day()


def test_a_tenants_folder_may_link_to_another_disk(source: Input, tmp_path: Path) -> None:
    elsewhere = Input(tmp_path / "disk2")
    elsewhere.put(GOOD)
    source.link("acme", str(elsewhere.root / "acme"))
    source.link(f"{EXPORT}out.jsonl", "/etc/hostname")
    manifest = source.list_day()
    assert (keys_of(manifest), unreadable(manifest)) == ({GOOD, f"{EXPORT}out.jsonl"}, {f"{EXPORT}out.jsonl": OUT})


def test_an_input_root_may_be_a_link(source: Input, tmp_path: Path) -> None:
    source.put(GOOD)
    (tmp_path / "root").symlink_to("in")
    assert keys_of(discover_day(LocalStore(str(tmp_path / "root")), source.staging)) == {GOOD}


def test_pipes_and_sockets_are_no_objects(source: Input, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source.put(GOOD)
    os.mkfifo(source.root / EXPORT / "pipe")
    monkeypatch.chdir(source.root / EXPORT)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        assert keys_of(source.list_day()) == {GOOD}


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
    known = {"region_name": "us-east-1", "aws_access_key_id": "a", "aws_secret_access_key": "b"}
    client = boto3.client("s3", endpoint_url=s3, **known)
    client.create_bucket(Bucket=name)
    config = {"endpoint": s3, "region": "us-east-1", "access_key_id": "a", "secret_access_key": "b"}
    store = S3Store(name, prefix="in", config=config, client_options={"allow_http": True})  # type: ignore[arg-type]
    return (lambda key, body=b"{}": client.put_object(Bucket=name, Key=f"in/{key}", Body=body)), store


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
def test_a_key_that_obstore_cannot_read_hides_no_other(
    bucket: tuple[Any, S3Store], tmp_path: Path, name: str, expected: tuple[str, str], folder: str
) -> None:
    put, store = bucket
    good = [f"{folder}good.json", f"{folder}0.json", f"{folder}zz/z.json"]
    for key in [*good, f"{folder}{name}", f"{folder}._x", f"{folder}sub/"]:
        put(key, b"" if key.endswith("sub/") else b"{}")
    manifest = discover_day(store, tmp_path / "staging")
    assert keys_of(manifest) == {*good, f"{folder}{name}"}
    assert unreadable(manifest) == {f"{folder}{name}": expected}
    assert (manifest.ignored, manifest.bytes) == (1, 8)


def test_the_s3_listing_equals_obstores(bucket: tuple[Any, S3Store], tmp_path: Path) -> None:
    put, store = bucket
    for name in ("a", "b/c 山.json", "d%2Fe", "f#g"):
        put(f"{EXPORT}{name}")
    before = discover_day(store, tmp_path / "staging")
    put(f"{EXPORT}z\x01")
    after = discover_day(store, tmp_path / "staging")
    same = [
        {item for _, objects in read_manifest(manifest.files) for item in objects if not item.reason}
        for manifest in (before, after)
    ]
    assert [item[:3] for item in sorted(same[0])] == [item[:3] for item in sorted(same[1])]
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
    assert unreadable(manifest).keys() == set(keys[1:])


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
