"""FAULTS 12, 13, 15, 16 and 18: a run that fails names its cause and leaves the published day as it was."""

import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from obstore.exceptions import GenericError, PermissionDeniedError

from daily_batch.domain.keys import export_folder
from daily_batch.errors import BatchError, InputChangedError, RetryableError, TerminalError
from daily_batch.pipeline.runners.local import LocalRunner
from daily_batch.pipeline.runners.spark import SparkRunner
from daily_batch.storage.stores import Storage
from tests.support.day_runs import (
    DAY,
    ROOT,
    child_environment,
    makoto_batch,
    published_state,
    read_tables,
    run_arguments,
    run_day_with,
    run_local,
)

FOLDER = export_folder("{tenant}/exports/messages/{yyyy}/{mm}/{dd}/", "acme", DAY)


@dataclass
class ChangingInput:
    """A runner that changes the input between listing and reading, `times` times."""

    change: Callable[[], object]
    inner: Any = field(default_factory=LocalRunner)
    times: int = 1
    name: str = "local"

    def run(self, *args: Any, **kwargs: Any) -> Any:
        if self.times > 0:
            self.times -= 1
            self.change()
        return self.inner.run(*args, **kwargs)


def overwrite(folder: Path, source: Path) -> None:
    """Replace the first object by that of another version."""
    old, new = (min((each / FOLDER).iterdir()) for each in (folder, source))
    old.write_bytes(new.read_bytes())


def delete(folder: Path, _source: Path) -> None:
    min((folder / FOLDER).iterdir()).unlink()


@pytest.mark.parametrize("runner", ["local", "spark"])
@pytest.mark.parametrize("change", [overwrite, delete])
def test_12_run_lists_again_if_an_object_changes_meanwhile(
    request: pytest.FixtureRequest,
    two_versions: tuple[Path, Path],
    tmp_path: Path,
    change: Callable[[Path, Path], None],
    runner: str,
) -> None:
    source = tmp_path / "in"
    shutil.copytree(two_versions[0], source)
    inner = SparkRunner(request.getfixturevalue("spark")) if runner == "spark" else LocalRunner()
    receipt = run_day_with(
        ChangingInput(lambda: change(source, two_versions[1]), inner=inner), input=source, output=tmp_path / "changed"
    )
    run_local(input=source, output=tmp_path / "expected")
    assert read_tables(tmp_path / "changed") == read_tables(tmp_path / "expected")
    assert receipt.objects.listed == len(list((source / FOLDER).iterdir()))


def test_12_input_that_keeps_changing_fails_the_run_and_publishes_nothing(
    two_versions: tuple[Path, Path], published: Path, tmp_path: Path
) -> None:
    source = tmp_path / "in"
    shutil.copytree(two_versions[1], source)
    before = published_state(published)
    versions = iter(range(9))

    def change() -> None:
        min((source / FOLDER).iterdir()).write_text(json.dumps({"message_id": next(versions)}))

    with pytest.raises(InputChangedError, match="tenant=acme day=2025-08-12"):
        run_day_with(ChangingInput(change, times=9), input=source, output=published)
    assert published_state(published) == before


@dataclass
class FaultyStore:
    """A store whose `method` fails if its first argument matches."""

    store: Any
    method: str
    matches: Callable[[str], bool]
    error: Exception

    def __getattr__(self, name: str) -> Any:
        original = getattr(self.store, name)
        if name != self.method:
            return original

        def fail(path: str, *args: Any, **kwargs: Any) -> Any:
            if self.matches(path):
                raise self.error
            return original(path, *args, **kwargs)

        return fail


@pytest.fixture
def inject_fault(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make a store of later runs fail: `inject_fault("open_output", "put", matches, error)`."""

    def inject(opener: str, method: str, matches: Callable[[str], bool], error: Exception) -> None:
        original = getattr(Storage, opener)
        monkeypatch.setattr(Storage, opener, lambda self: FaultyStore(original(self), method, matches, error))

    return inject


@pytest.mark.parametrize(
    ("opener", "method", "part", "error", "expected"),
    [
        ("open_input", "get", "part-", GenericError("503 Slow Down"), RetryableError),
        ("open_input", "get", "part-", PermissionDeniedError("403 Forbidden"), TerminalError),
        ("open_output", "put", "/rejects/", GenericError("503 Slow Down"), RetryableError),
        ("open_output", "put", "/rejects/", PermissionDeniedError("403 Forbidden"), TerminalError),
        ("open_output", "put", "/messages/", GenericError("No space left on device"), RetryableError),
        ("open_output", "put", "/summary_daily/", OSError(28, "No space left on device"), RetryableError),
        ("open_output", "put", "/_receipts/", GenericError("503 Slow Down"), RetryableError),
    ],
)
def test_13_15_18_permanent_storage_failure_fails_the_run_with_its_cause(
    two_versions: tuple[Path, Path],
    published: Path,
    inject_fault: Callable[..., None],
    opener: str,
    method: str,
    part: str,
    error: Exception,
    expected: type[BatchError],
) -> None:
    before = published_state(published)
    inject_fault(opener, method, lambda path: part in path, error)
    with pytest.raises(expected) as failure:
        run_local(input=two_versions[1], output=published)
    assert "tenant=acme day=2025-08-12" in str(failure.value)
    assert str(error) in str(failure.value)
    if part != "/_receipts/":  # the tables are published by then; the next run writes a receipt
        assert published_state(published) == before


@dataclass
class TruncatedListing:
    """A store whose listing fails after its first object."""

    store: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def list(self, prefix: str, *, chunk_size: int, return_arrow: bool) -> Iterator[Any]:
        yield next(iter(self.store.list(prefix, chunk_size=min(1, chunk_size), return_arrow=return_arrow)))
        raise GenericError("503 Slow Down")


def test_13_truncated_listing_publishes_nothing(
    two_versions: tuple[Path, Path], published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = published_state(published)
    original = Storage.open_input
    monkeypatch.setattr(Storage, "open_input", lambda self: TruncatedListing(original(self)))
    with pytest.raises(RetryableError, match="tenant=acme day=2025-08-12"):
        run_local(input=two_versions[1], output=published)
    assert published_state(published) == before


def test_16_missing_input_is_an_error_not_an_empty_day(published: Path, tmp_path: Path) -> None:
    before = published_state(published)
    with pytest.raises(TerminalError, match="does not exist"):
        run_local(input=tmp_path / "nowhere", output=published)
    assert published_state(published) == before


def test_45_local_object_with_an_unreadable_name_is_one_reject(tmp_path: Path) -> None:
    folder = tmp_path / "in/acme/exports/messages/2025/08/12"
    folder.mkdir(parents=True)
    (folder / "a\x01b.jsonl").write_text("{}")
    (folder / "b.jsonl").write_text("{}")
    receipt = run_local(input=tmp_path / "in", output=tmp_path / "out")
    assert (receipt.objects.read, receipt.objects.unreadable) == (1, 1)
    (reject,) = read_tables(tmp_path / "out")["rejects"]
    assert (reject["reason"], reject["source_line"]) == ("invalid_name", 0)
    assert reject["source_key"].endswith("2025/08/12/a\x01b.jsonl")


def test_18_error_names_an_output_that_is_a_file(two_versions: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TerminalError, match=str(tmp_path / "file")):
        run_local(input=two_versions[0], output=tmp_path / "file")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/acme").write_text("")
    with pytest.raises(BatchError, match="tenant=acme day=2025-08-12"):
        run_local(input=two_versions[0], output=tmp_path / "out")


def test_18_error_on_a_spark_worker_names_the_cause(
    spark: Any, two_versions: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "acme").write_text("")
    with pytest.raises(RetryableError, match="Not a directory"):
        run_day_with(SparkRunner(spark), input=two_versions[0], output=tmp_path)


def test_18_full_disk_fails_the_run_with_its_cause(two_versions: tuple[Path, Path], published: Path) -> None:
    before = published_state(published)
    completed = subprocess.run(
        [*(sys.executable, "-m", "daily_batch", "run"), *run_arguments(input=two_versions[1], output=published)],
        cwd=ROOT,
        env=child_environment(),
        capture_output=True,
        text=True,
        # The system refuses to let a file grow beyond this size, like a full disk; the ledger stays below it.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (24_000, 24_000)),
    )
    assert completed.returncode == 1, completed.stderr
    assert "tenant=acme day=2025-08-12" in completed.stderr
    assert "too large" in completed.stderr
    assert published_state(published) == before
    assert makoto_batch("run", *run_arguments(input=two_versions[1], output=published)).returncode == 0
