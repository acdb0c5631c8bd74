"""What a process lacks for a day: one line that says which thing, where, and nothing at all where all is there."""

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


def places(folder: Path) -> Storage:
    (folder / "in").mkdir(exist_ok=True)
    return Storage(input=parse_url(str(folder / "in")), output=parse_url(str(folder / "out")))


def test_nothing_is_lacking_where_all_is_there_and_nothing_is_left_behind(tmp_path: Path) -> None:
    assert find_missing(places(tmp_path)) == ""
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_package_that_is_absent_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = importlib.import_module

    def absent(name: str, package: str | None = None) -> ModuleType:
        if name == "duckdb":
            raise ModuleNotFoundError("No module", name="duckdb")
        return known(name, package)

    monkeypatch.setattr(importlib, "import_module", absent)
    assert find_missing(places(tmp_path)) == "the package duckdb cannot be imported (duckdb)"


def test_an_input_that_is_not_there_is_named(tmp_path: Path) -> None:
    storage = Storage(input=parse_url(str(tmp_path / "none")), output=parse_url(str(tmp_path / "out")))
    assert find_missing(storage) == f"input {tmp_path}/none: the folder {tmp_path}/none does not exist"


def test_an_output_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    storage = places(tmp_path)
    (tmp_path / "out").write_text("a file where a folder should be")
    assert find_missing(storage) == f"output {tmp_path}/out: the folder {tmp_path}/out cannot be opened or created"


def test_a_storage_that_nobody_answers_for_is_named_soon(tmp_path: Path) -> None:
    free = "http://127.0.0.1:1"
    known = {"aws_endpoint_url": free, "aws_access_key_id": "x", "aws_secret_access_key": "x", "aws_region": "x"}
    storage = Storage(input=parse_url("s3://bucket/in"), output=parse_url(str(tmp_path)), options=known)
    lack = find_missing(storage)
    assert lack.startswith("no connection: input s3://bucket/in: AWS cannot be reached")
    assert "\n" not in lack


class _Overwriting:
    """A store that takes a second object under one name, as some mounted file systems do."""

    def __init__(self, inner: MemoryStore) -> None:
        self.inner = inner

    def put(self, key: str, body: bytes, *, mode: str) -> None:
        self.inner.put(key, body)

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)


def test_an_output_without_writes_that_happen_once_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = MemoryStore()
    monkeypatch.setattr(preflight.Storage, "open_output", lambda self: _Overwriting(inner))
    assert "Delta's commits would not be safe there" in find_missing(places(tmp_path))
    assert list(inner.list()) == []


def test_a_tenants_job_looks_at_its_own_day_and_below_its_own_tables_alone(tmp_path: Path) -> None:
    folders = DayFolders(read="smoke/exports/", write="smoke/analytics/_smoke")
    storage = places(tmp_path)
    assert find_missing(storage, folders).endswith("/in: no object exists in smoke/exports/")
    (tmp_path / "in/smoke/exports").mkdir(parents=True)
    (tmp_path / "in/smoke/exports/day.jsonl").write_text("{}")
    assert find_missing(storage, folders) == ""
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()] == [
        "in/smoke/exports/day.jsonl"
    ]


@pytest.mark.parametrize(
    ("broken", "error", "lack"),
    [
        ("open_input", PermissionDeniedError("403"), "missing permission: read from "),
        ("open_output", PermissionDeniedError("403"), "missing permission: write to "),
        ("open_input", UnauthenticatedError("401"), "missing identity: input"),
        ("open_output", TimeoutError("nobody answered"), "no connection: output"),
    ],
)
def test_what_an_error_of_storage_means_is_missing_is_named_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, error: Exception, lack: str
) -> None:
    def fail(self: Storage) -> None:
        raise error

    monkeypatch.setattr(preflight.Storage, broken, fail)
    assert find_missing(places(tmp_path)).startswith(lack)


def test_the_day_that_is_laid_down_is_the_same_each_time_and_holds_its_own_tenant_alone(tmp_path: Path) -> None:
    storage = places(tmp_path)
    first = write_input(storage)
    below = LocalStore(str(tmp_path / "out" / FOLDER / "input"))
    laid = {item["path"]: item["size"] for batch in below.list() for item in batch}
    assert write_input(storage) == first == len(laid)
    assert {path.partition("/")[0] for path in laid} == {SMOKE_TENANT}
    assert {item["path"]: item["size"] for batch in below.list() for item in batch} == laid


def test_an_output_must_be_named_and_stands_for_the_input(tmp_path: Path) -> None:
    given = {"output": str(tmp_path), "storage_options": json.dumps({"timeout": "1s"})}
    storage = load_storage(given, {})
    assert storage.input == storage.output == parse_url(str(tmp_path))
    assert storage.options == {"timeout": "1s"}
    with pytest.raises(UsageError, match="no output is named"):
        load_storage({}, {})
