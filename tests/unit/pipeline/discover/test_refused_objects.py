"""Unreadable objects in a local folder: a name that no client can read, or a link that must not be followed."""

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from obstore.store import LocalStore

from daily_batch.errors import TerminalError
from daily_batch.pipeline.discover.chunks import read_manifest
from daily_batch.pipeline.discover.manifest import Manifest
from tests.support.manifest_day import EXPORT, discover_day, keys_of, message, put_all, unreadable_objects

DAY = "acme/chat/u/r/messages/2025/08/12"
GOOD = f"{EXPORT}good.jsonl"


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


def test_local_object_has_obstores_metadata(source: Input) -> None:
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
def test_local_name_that_no_client_can_read_is_one_unreadable_object(
    source: Input, name: bytes, key: str, detail: str, folder: str
) -> None:
    source.put(f"{folder}good.json")
    path = os.path.join(os.fsencode(source.root / folder), name)  # noqa: PTH118 - pathlib has no bytes
    os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(b"{}")
    manifest = source.list_day()
    assert keys_of(manifest) == {f"{folder}good.json", f"{folder}{key}"}
    assert unreadable_objects(manifest) == {f"{folder}{key}": ("invalid_name", detail)}


def test_local_names_that_obstore_can_read_are_readable(source: Input) -> None:
    names = ["a%b", "a%2Fb", "%2e%2e", "a%00b", "b#1.json", "#1x", "d#12/x", "...", " x ", "a\x85b", "q?*|<>:"]
    source.put(*(f"{EXPORT}{name}" for name in names))
    manifest = source.list_day()
    assert (keys_of(manifest), unreadable_objects(manifest)) == ({f"{EXPORT}{name}" for name in names}, {})


OUTSIDE = ("invalid_link", "a link that leads out of the tenant's folder")
BROKEN = ("invalid_link", "a link that leads nowhere")
CIRCULAR = ("invalid_link", "a link that leads back to a folder above it")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("../../../../../../globex/secret/x.json", OUTSIDE),
        ("../../../../../../globex/secret", OUTSIDE),
        ("../../../../../../acme-2", OUTSIDE),
        ("/etc/hostname", OUTSIDE),
        ("/nowhere", OUTSIDE),
        ("missing.json", BROKEN),
        ("link", BROKEN),
        ("..", CIRCULAR),
        (".", CIRCULAR),
    ],
)
@pytest.mark.parametrize("folder", [EXPORT.rstrip("/"), DAY])
def test_link_in_the_days_folder_is_one_unreadable_object(
    source: Input, target: str, expected: tuple[str, str], folder: str
) -> None:
    source.put(f"{folder}/good.json", "globex/secret/x.json", "acme-2/x.json")
    # A message's folder is two levels deeper.
    up = "../../" if folder == DAY and target.startswith("../..") else ""
    source.link(f"{folder}/link", up + target)
    manifest = source.list_day()
    assert keys_of(manifest) == {f"{folder}/good.json", f"{folder}/link"}
    assert unreadable_objects(manifest) == {f"{folder}/link": expected}
    assert manifest.bytes == 2


def test_links_inside_of_the_tenants_folder_are_followed(source: Input) -> None:
    source.put("acme/store/a.json", "acme/store/more/b.json", GOOD)
    source.link(f"{EXPORT}one.json", "../../../../../store/a.json")
    source.link(f"{EXPORT}all", "../../../../../store")
    source.link(f"{EXPORT}absolute", str(source.root / "acme/store/more"))
    manifest = source.list_day()
    names = ["good.jsonl", "one.json", "all/a.json", "all/more/b.json", "absolute/b.json"]
    assert (keys_of(manifest), unreadable_objects(manifest)) == ({f"{EXPORT}{name}" for name in names}, {})


def test_circular_links_end_the_walk(source: Input) -> None:
    source.put(GOOD)
    source.link(f"{EXPORT}a/down", "../b")
    source.link(f"{EXPORT}b/down", "../a")
    manifest = source.list_day()
    assert unreadable_objects(manifest) == {f"{EXPORT}a/down/down": CIRCULAR, f"{EXPORT}b/down/down": CIRCULAR}


@pytest.mark.parametrize(
    "link", ["acme/chat/u2", "acme/chat/u/r2", "acme/chat/u/r2/messages", "acme/chat/u/r2/messages/2025"]
)
@pytest.mark.parametrize(
    ("target", "expected"), [("/nowhere", OUTSIDE), ("{root}/globex/chat/g", OUTSIDE), ("gone", BROKEN)]
)
def test_link_in_the_path_to_messages_is_one_unreadable_object(
    source: Input, link: str, target: str, expected: tuple[str, str]
) -> None:
    own = message("2025/08/12", "01-00-00.000")
    source.put(own, message("2025/08/12", "01-00-00.000", tenant="globex", user="g"))
    source.link(link, target.replace("{root}", str(source.root)))
    manifest = source.list_day()
    assert keys_of(manifest) == {own, link}
    assert unreadable_objects(manifest) == {link: expected}


def test_links_to_the_tenants_own_users_and_rooms_are_followed(source: Input) -> None:
    own = message("2025/08/12", "01-00-00.000")
    source.put(own)
    source.link("acme/chat/same", "u")
    source.link("acme/chat/u/same", "r")
    expected = {
        message("2025/08/12", "01-00-00.000", user=user, room=room) for user in ("u", "same") for room in ("r", "same")
    }
    manifest = source.list_day()
    assert (keys_of(manifest), unreadable_objects(manifest)) == (expected, {})


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
    assert (manifest.layout, keys_of(manifest), unreadable_objects(manifest)) == (
        "messages",
        {own, link},
        {link: OUTSIDE},
    )
    assert source.list_day(layout="messages").objects == 1
    assert keys_of(source.list_day(layout="export")) == {link}


def test_unreadable_object_in_the_export_folder_is_an_export(source: Input) -> None:
    source.put(message("2025/08/12", "01-00-00.000"))
    source.link(f"{EXPORT}part.jsonl", "/nowhere")
    manifest = source.list_day()
    assert (manifest.layout, keys_of(manifest)) == ("export", {f"{EXPORT}part.jsonl"})


def test_link_with_a_markers_name_is_ignored(source: Input) -> None:
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


def test_tenants_folder_may_link_to_another_disk(source: Input, tmp_path: Path) -> None:
    other_disk = Input(tmp_path / "disk2")
    other_disk.put(GOOD)
    source.link("acme", str(other_disk.root / "acme"))
    source.link(f"{EXPORT}out.jsonl", "/etc/hostname")
    manifest = source.list_day()
    assert (keys_of(manifest), unreadable_objects(manifest)) == (
        {GOOD, f"{EXPORT}out.jsonl"},
        {f"{EXPORT}out.jsonl": OUTSIDE},
    )


def test_input_root_may_be_a_link(source: Input, tmp_path: Path) -> None:
    source.put(GOOD)
    (tmp_path / "root").symlink_to("in")
    assert keys_of(discover_day(LocalStore(str(tmp_path / "root")), source.staging)) == {GOOD}


def test_pipes_and_sockets_are_not_objects(source: Input, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source.put(GOOD)
    os.mkfifo(source.root / EXPORT / "pipe")
    monkeypatch.chdir(source.root / EXPORT)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        assert keys_of(source.list_day()) == {GOOD}
