"""Preflight: one line names what is missing for a day and where; it is empty if nothing is missing."""

import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest
from obstore.exceptions import PermissionDeniedError, UnauthenticatedError
from obstore.store import LocalStore, MemoryStore

from daily_batch.domain.url import parse_url
from daily_batch.entrypoints.smoke_test import load_storage, write_input
from daily_batch.errors import UsageError
from daily_batch.orchestration import preflight
from daily_batch.orchestration.preflight import FOLDER, SMOKE_TENANT, DayFolders, find_missing
from daily_batch.storage.stores import Storage


def make_storage(folder: Path) -> Storage:
    (folder / "in").mkdir(exist_ok=True)
    return Storage(input=parse_url(str(folder / "in")), output=parse_url(str(folder / "out")))


def test_complete_environment_passes_and_leaves_no_files(tmp_path: Path) -> None:
    assert find_missing(make_storage(tmp_path)) == ""
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import_module = importlib.import_module

    def fail_for_duckdb(name: str, package: str | None = None) -> ModuleType:
        if name == "duckdb":
            raise ModuleNotFoundError("No module", name="duckdb")
        return import_module(name, package)

    monkeypatch.setattr(importlib, "import_module", fail_for_duckdb)
    assert find_missing(make_storage(tmp_path)) == "the package duckdb cannot be imported (duckdb)"


def test_missing_input_is_named(tmp_path: Path) -> None:
    storage = Storage(input=parse_url(str(tmp_path / "none")), output=parse_url(str(tmp_path / "out")))
    assert find_missing(storage) == f"input {tmp_path}/none: the folder {tmp_path}/none does not exist"


def test_unwritable_output_is_named(tmp_path: Path) -> None:
    storage = make_storage(tmp_path)
    (tmp_path / "out").write_text("a file where a folder should be")
    assert find_missing(storage) == f"output {tmp_path}/out: {tmp_path}/out is a file"


def test_unreachable_storage_is_named_in_one_line(tmp_path: Path) -> None:
    unused = "http://127.0.0.1:1"
    options = {
        "aws_endpoint_url": unused,
        "aws_access_key_id": "x",
        "aws_secret_access_key": "x",
        "aws_region": "x",
    }
    storage = Storage(input=parse_url("s3://bucket/in"), output=parse_url(str(tmp_path)), options=options)
    missing = find_missing(storage)
    assert missing.startswith("no connection: input s3://bucket/in: AWS cannot be reached")
    assert "\n" not in missing


class _Overwriting:
    """A store that overwrites an existing object, as some mounted file systems do."""

    def __init__(self, inner: MemoryStore) -> None:
        self.inner = inner

    def put(self, key: str, body: bytes, *, mode: str) -> None:
        self.inner.put(key, body)

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)


def test_output_without_conditional_writes_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = MemoryStore()
    monkeypatch.setattr(preflight.Storage, "open_output", lambda self: _Overwriting(inner))
    assert "Delta's commits would not be safe there" in find_missing(make_storage(tmp_path))
    assert list(inner.list()) == []


def test_tenant_job_checks_only_its_own_day_and_tables(tmp_path: Path) -> None:
    folders = DayFolders(read="smoke/exports/", write="smoke/analytics/_smoke")
    storage = make_storage(tmp_path)
    assert find_missing(storage, folders).endswith("/in: no object exists in smoke/exports/")
    (tmp_path / "in/smoke/exports").mkdir(parents=True)
    (tmp_path / "in/smoke/exports/day.jsonl").write_text("{}")
    assert find_missing(storage, folders) == ""
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()] == [
        "in/smoke/exports/day.jsonl"
    ]


@pytest.mark.parametrize(
    ("method", "error", "missing"),
    [
        ("open_input", PermissionDeniedError("403"), "missing permission: read from "),
        ("open_output", PermissionDeniedError("403"), "missing permission: write to "),
        ("open_input", UnauthenticatedError("401"), "missing identity: input"),
        ("open_output", TimeoutError("nobody answered"), "no connection: output"),
    ],
)
def test_storage_error_names_the_missing_dependency_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, error: Exception, missing: str
) -> None:
    def fail(self: Storage) -> None:
        raise error

    monkeypatch.setattr(preflight.Storage, method, fail)
    assert find_missing(make_storage(tmp_path)).startswith(missing)


def test_smoke_day_is_reproducible_and_holds_only_its_tenant(tmp_path: Path) -> None:
    storage = make_storage(tmp_path)
    first = write_input(storage)
    smoke_input = LocalStore(str(tmp_path / "out" / FOLDER / "input"))
    written = {item["path"]: item["size"] for batch in smoke_input.list() for item in batch}
    assert write_input(storage) == first == len(written)
    assert {path.partition("/")[0] for path in written} == {SMOKE_TENANT}
    assert {item["path"]: item["size"] for batch in smoke_input.list() for item in batch} == written


def test_output_is_required_and_is_the_default_input(tmp_path: Path) -> None:
    settings = {"output": str(tmp_path), "storage_options": json.dumps({"timeout": "1s"})}
    storage = load_storage(settings, {})
    assert storage.input == storage.output == parse_url(str(tmp_path))
    assert storage.options == {"timeout": "1s"}
    with pytest.raises(UsageError, match="no output is named"):
        load_storage({}, {})
