"""Marker objects that tools write beside data are ignored by name, and counted."""

from pathlib import Path
from typing import Any

import pytest
from obstore.store import LocalStore, MemoryStore

from daily_batch.pipeline.discover.markers import has_marker_folder, is_marker
from tests.support.manifest_day import EXPORT, Recorder, discover_day, keys_of, message, put_all
from tests.support.metadata_rooms import open_metadata

DAY = "acme/chat/u/r/messages/2025/08/12"
MARKERS = ["_SUCCESS", "_started_123", "_committed_123", "_committed_vacuum7", "_metadata", "_common_metadata"]
MARKERS += [".part-0000.json.gz.crc", "._SUCCESS.crc", "sub_$folder$", "a.json._COPYING_", ".distcp.tmp.attempt_1"]
MARKERS += ["._part-0000.json.gz", ".DS_Store", ".localized", "Icon\r", "Thumbs.db", "ehthumbs.db", "Desktop.ini"]
MARKERS += [".nfs00000000009a0f3b00000001", ".fuse_hidden0000000200000001", ".directory", ".#a.json", ".a.json.swp"]
MARKERS += [".gitkeep", ".keep", "THUMBS.DB"]
DATA = ["_x.json", ".hidden", ".x.json", "part.crc", "_success", "SUCCESS", "_SUCCESS.json", "a_SUCCESS", "_", ".", "-"]
DATA += ["_started", "_committed", "_folder$", "m.json.bak", "m.json~", ".nfs", ".crc", "a.swp", "metadata", "ds_store"]
DATA += ["_metadata.json", "x._y", "_temporary", "_delta_log", "thumbs.db.json"]


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return LocalStore(str(tmp_path / "in"), mkdir=True) if request.param == "local" else MemoryStore()


@pytest.mark.parametrize("name", MARKERS)
def test_markers_name_is_recognized(name: str) -> None:
    assert is_marker(name)


@pytest.mark.parametrize("name", DATA)
def test_data_names_are_not_markers(name: str) -> None:
    assert not is_marker(name)


def test_marker_folders_are_recognized() -> None:
    folders = ["_temporary", "_delta_log", "_spark_metadata", ".spark-staging-1-2", ".hive-staging_1", "__MACOSX"]
    assert all(has_marker_folder(["a", folder]) for folder in folders)
    assert not has_marker_folder(["_tmp", ".hidden", "temporary", "_temporary2", "a"])


def test_markers_of_an_export_are_ignored_at_any_depth(tmp_path: Path, store: Any) -> None:
    data = [f"{EXPORT}part.jsonl", f"{EXPORT}sub/_x/part.jsonl"]
    put_all(store, data)
    before = discover_day(store, tmp_path / "staging")
    markers = ["_SUCCESS", "sub/.part.jsonl.crc", "sub/_x/.DS_Store", "_temporary/0/a/part.jsonl", "_delta_log/0.json"]
    put_all(store, [f"{EXPORT}{name}" for name in markers])
    manifest = discover_day(store, tmp_path / "staging")
    assert keys_of(manifest) == set(data)
    assert (manifest.layout, manifest.ignored, before.ignored) == ("export", 5, 0)
    assert (manifest.fingerprint, manifest.bytes) == (before.fingerprint, before.bytes)


def test_message_objects_are_ignored_by_their_own_names_only(tmp_path: Path, store: Any) -> None:
    users = ["_temporary", ".DS_Store", "_SUCCESS", "._u", "u"]
    data = [message("2025/08/12", "01-00-00.000", user=user, room=user) for user in users]
    data += [f"{DAY}/_temporary/x.json"]
    put_all(store, [*data, f"{DAY}/.DS_Store", f"{DAY}/sub/._x.json", "acme/chat/Thumbs.db", "acme/chat/u/desktop.ini"])
    manifest = discover_day(store, tmp_path / "staging")
    assert keys_of(manifest) == set(data)
    assert manifest.ignored == 2


def test_stray_files_beside_users_and_rooms_are_not_listed(tmp_path: Path, store: Any) -> None:
    put_all(store, ["acme/chat/.DS_Store", "acme/chat/notes.txt", "acme/chat/u/.DS_Store", "acme/chat/u/x"])
    manifest = discover_day(store, tmp_path / "staging")
    assert (manifest.objects, manifest.ignored, manifest.files) == (0, 0, ())


def test_export_folder_with_only_markers_is_not_an_export(tmp_path: Path, store: Any) -> None:
    own = message("2025/08/12", "01-00-00.000")
    put_all(store, [own, f"{EXPORT}_SUCCESS", f"{EXPORT}_temporary/0/part.jsonl"])
    manifest = discover_day(store, tmp_path / "staging")
    assert (manifest.layout, manifest.ignored) == ("messages", 0)
    assert keys_of(manifest) == {own}
    export = discover_day(store, tmp_path / "staging", layout="export")
    assert (export.objects, export.bytes, export.ignored, export.files) == (0, 0, 2, ())


def test_markers_before_the_first_object_of_an_export_are_counted(tmp_path: Path) -> None:
    store = MemoryStore()
    put_all(store, [*(f"{EXPORT}._{n:04d}" for n in range(1_500)), f"{EXPORT}part.jsonl"])
    manifest = discover_day(store, tmp_path / "staging")
    assert (manifest.layout, manifest.objects, manifest.ignored) == ("export", 1, 1_500)


def test_empty_marker_needs_no_head_request(tmp_path: Path) -> None:
    class Headless(Recorder):
        def head(self, path: str) -> Any:
            raise AssertionError(path)

    store = LocalStore(str(tmp_path / "in"), mkdir=True)
    put_all(store, [f"{EXPORT}_SUCCESS"], b"")
    put_all(store, [f"{EXPORT}part.jsonl"])
    assert discover_day(Headless(store), tmp_path / "staging").ignored == 1


def test_only_markers_require_no_user_in_the_metadata_store(tmp_path: Path, store: Any) -> None:
    put_all(store, ["acme/chat/.DS_Store"])
    assert discover_day(store, tmp_path / "staging", metadata=open_metadata(tmp_path)).objects == 0
