"""FAULTS 2, 9, 10 and 12 to 18 as far as one run goes: what fails leaves readers with what they had, and says why."""

import json
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from obstore.exceptions import GenericError, PermissionDeniedError

from daily_batch.domain.contract import MESSAGES, TABLES
from daily_batch.domain.keys import export_folder
from daily_batch.errors import BatchError, InputChangedError, RetryableError, TerminalError
from daily_batch.pipeline.publish import delta
from daily_batch.pipeline.runners.local import LocalRunner
from daily_batch.pipeline.runners.spark import SparkRunner
from daily_batch.storage.stores import Storage
from daily_batch.synthetic import FaultRates, generate
from tests.support.day_runs import (
    DAY,
    ROOT,
    SAMPLES,
    child_environment,
    comparable,
    makoto_batch,
    published_state,
    read_tables,
    run_arguments,
    run_day_with,
    run_local,
)

FOLDER = export_folder("{tenant}/exports/messages/{yyyy}/{mm}/{dd}/", "acme", DAY)


def make_export(root: Path, *, seed: int, messages: int = 300) -> Path:
    generate(messages=messages, layout="export", seed=seed, out=root, rates=FaultRates.rich(), files=4)
    return root


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two versions of one day."""
    root = tmp_path_factory.mktemp("inputs")
    return make_export(root / "a", seed=1), make_export(root / "b", seed=2, messages=400)


@pytest.fixture
def published(inputs: tuple[Path, Path], tmp_path: Path) -> Path:
    """An output that shows the first version."""
    run_local(input=inputs[0], output=tmp_path / "published")
    return tmp_path / "published"


@dataclass
class Meddling:
    """A runner that changes the input between listing and reading, some number of times."""

    meddle: Callable[[], object]
    inner: Any = field(default_factory=LocalRunner)
    times: int = 1
    name: str = "local"

    def run(self, *args: Any, **kwargs: Any) -> Any:
        if self.times > 0:
            self.times -= 1
            self.meddle()
        return self.inner.run(*args, **kwargs)


def overwrite(folder: Path, source: Path) -> None:
    """Put another version's first object where one was listed."""
    old, new = (min((each / FOLDER).iterdir()) for each in (folder, source))
    old.write_bytes(new.read_bytes())


def delete(folder: Path, _source: Path) -> None:
    min((folder / FOLDER).iterdir()).unlink()


@pytest.mark.parametrize("runner", ["local", "spark"])
@pytest.mark.parametrize("meddle", [overwrite, delete])
def test_12_run_lists_again_if_an_object_changes_meanwhile(
    request: pytest.FixtureRequest,
    inputs: tuple[Path, Path],
    tmp_path: Path,
    meddle: Callable[[Path, Path], None],
    runner: str,
) -> None:
    source = tmp_path / "in"
    shutil.copytree(inputs[0], source)
    inner = SparkRunner(request.getfixturevalue("spark")) if runner == "spark" else LocalRunner()
    receipt = run_day_with(
        Meddling(lambda: meddle(source, inputs[1]), inner=inner), input=source, output=tmp_path / "meddled"
    )
    run_local(input=source, output=tmp_path / "quiet")
    assert read_tables(tmp_path / "meddled") == read_tables(tmp_path / "quiet")
    assert receipt.objects.listed == len(list((source / FOLDER).iterdir()))


def test_12_input_that_keeps_changing_fails_the_run_and_publishes_nothing(
    inputs: tuple[Path, Path], published: Path, tmp_path: Path
) -> None:
    source = tmp_path / "in"
    shutil.copytree(inputs[1], source)
    shown = published_state(published)
    versions = iter(range(9))

    def meddle() -> None:
        min((source / FOLDER).iterdir()).write_text(json.dumps({"message_id": next(versions)}))

    with pytest.raises(InputChangedError, match="tenant=acme day=2025-08-12"):
        run_day_with(Meddling(meddle, times=9), input=source, output=published)
    assert published_state(published) == shown


@dataclass
class Faulty:
    """A store whose chosen method fails when its first argument fits."""

    store: Any
    method: str
    fits: Callable[[str], bool]
    error: Exception

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.store, name)
        if name != self.method:
            return found

        def faulty(path: str, *args: Any, **kwargs: Any) -> Any:
            if self.fits(path):
                raise self.error
            return found(path, *args, **kwargs)

        return faulty


@pytest.fixture
def breaking(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes the stores that runs open fail: `breaking("open_output", "put", fits, error)`."""

    def break_store(opener: str, method: str, fits: Callable[[str], bool], error: Exception) -> None:
        original = getattr(Storage, opener)
        monkeypatch.setattr(Storage, opener, lambda self: Faulty(original(self), method, fits, error))

    return break_store


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
    inputs: tuple[Path, Path],
    published: Path,
    breaking: Callable[..., None],
    opener: str,
    method: str,
    part: str,
    error: Exception,
    expected: type[BatchError],
) -> None:
    shown = published_state(published)
    breaking(opener, method, lambda path: part in path, error)
    with pytest.raises(expected) as failure:
        run_local(input=inputs[1], output=published)
    assert "tenant=acme day=2025-08-12" in str(failure.value)
    assert str(error) in str(failure.value)
    if part != "/_receipts/":  # the tables are published by then; the next run writes a receipt
        assert published_state(published) == shown


@dataclass
class CutShort:
    """A store whose listing breaks off behind its first object."""

    store: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def list(self, prefix: str, *, chunk_size: int, return_arrow: bool) -> Iterator[Any]:
        yield next(iter(self.store.list(prefix, chunk_size=min(1, chunk_size), return_arrow=return_arrow)))
        raise GenericError("503 Slow Down")


def test_13_truncated_listing_publishes_nothing(
    inputs: tuple[Path, Path], published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = published_state(published)
    original = Storage.open_input
    monkeypatch.setattr(Storage, "open_input", lambda self: CutShort(original(self)))
    with pytest.raises(RetryableError, match="tenant=acme day=2025-08-12"):
        run_local(input=inputs[1], output=published)
    assert published_state(published) == shown


def test_14_reader_sees_one_complete_version_during_publication(
    inputs: tuple[Path, Path], tmp_path: Path
) -> None:
    expected = []
    for number, source in enumerate(inputs):
        run_local(input=source, output=tmp_path / str(number))
        expected.append(read_tables(tmp_path / str(number))[MESSAGES.name])
    run_local(input=inputs[0], output=tmp_path / "live")
    table = str(tmp_path / "live/acme/analytics/messages")
    seen: list[tuple[int, set[str], Any]] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            found = DeltaTable(table)
            rows = found.to_pyarrow_table().to_pylist()
            seen.append((found.version(), {row["run_id"] for row in rows}, comparable(rows, MESSAGES.names)))

    reader = threading.Thread(target=read)
    reader.start()
    turn = 0
    # As long as it takes: several versions, and reads between them.
    while turn < 6 or (len({version for version, _, _ in seen}) < 3 and turn < 200):
        turn += 1
        run_local(input=inputs[turn % 2], output=tmp_path / "live")
    done.set()
    reader.join()
    assert len({version for version, _, _ in seen}) >= 3
    for version, runs, rows in seen:
        assert len(runs) == 1
        assert rows == expected[(version + 1) % 2]


def test_16_day_without_messages_completes_with_zeros(tmp_path: Path) -> None:
    (tmp_path / "in/acme").mkdir(parents=True)
    for table_format in ("delta", "parquet"):
        receipt = run_local(input=tmp_path / "in", output=tmp_path / table_format, table_format=table_format)
        assert receipt.status == "COMPLETED"
        assert set(vars(receipt.objects).values()) == set(vars(receipt.records).values()) == {0}
        tables = read_tables(tmp_path / table_format, table_format=table_format)
        assert {name: len(rows) for name, rows in tables.items()} == {
            **{table.name: 0 for table in TABLES},
            "summary_daily": 1,
        }
        (summary,) = tables["summary_daily"]
        assert (summary["messages"], summary["average_length"], summary["messages_by_role"]) == (0, None, [])
        assert summary["messages_by_hour"] == [0] * 24


def test_16_day_without_messages_completes_with_zeros_on_spark(spark: Any, tmp_path: Path) -> None:
    (tmp_path / "in/acme").mkdir(parents=True)
    receipt = run_day_with(SparkRunner(spark), input=tmp_path / "in", output=tmp_path / "spark")
    run_local(input=tmp_path / "in", output=tmp_path / "local")
    assert receipt.status == "COMPLETED"
    assert read_tables(tmp_path / "spark") == read_tables(tmp_path / "local")


def test_16_published_day_is_emptied_only_if_an_operator_allows_it(
    published: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty/acme").mkdir(parents=True)
    shown = published_state(published)
    with pytest.raises(TerminalError, match=r"the input holds no object of it, and .* messages are published"):
        run_local(input=tmp_path / "empty", output=published)
    assert published_state(published) == shown
    receipt = run_local(input=tmp_path / "empty", output=published, allow_shrink="alice")
    assert receipt.shrink is not None
    assert receipt.shrink.by == "alice"
    assert [len(rows) for rows in read_tables(published).values()] == [0, 0, 0, 0, 1]


def test_16_missing_input_is_an_error_not_an_empty_day(published: Path, tmp_path: Path) -> None:
    shown = published_state(published)
    with pytest.raises(TerminalError, match="does not exist"):
        run_local(input=tmp_path / "nowhere", output=published)
    assert published_state(published) == shown


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


def test_18_error_names_an_output_that_is_a_file(inputs: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TerminalError, match=str(tmp_path / "file")):
        run_local(input=inputs[0], output=tmp_path / "file")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/acme").write_text("")
    with pytest.raises(BatchError, match="tenant=acme day=2025-08-12"):
        run_local(input=inputs[0], output=tmp_path / "out")


def test_18_error_on_a_spark_worker_names_the_cause(spark: Any, inputs: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "acme").write_text("")
    with pytest.raises(RetryableError, match="Not a directory"):
        run_day_with(SparkRunner(spark), input=inputs[0], output=tmp_path)


def test_18_full_disk_fails_the_run_with_its_cause(inputs: tuple[Path, Path], published: Path) -> None:
    shown = published_state(published)
    answer = subprocess.run(
        [*(sys.executable, "-m", "daily_batch", "run"), *run_arguments(input=inputs[1], output=published)],
        cwd=ROOT,
        env=child_environment(),
        capture_output=True,
        text=True,
        # The system refuses whatever makes a file longer than this, as a full disk would; the ledger's still fits.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (24_000, 24_000)),
    )
    assert answer.returncode == 1, answer.stderr
    assert "tenant=acme day=2025-08-12" in answer.stderr
    assert "too large" in answer.stderr
    assert published_state(published) == shown
    assert makoto_batch("run", *run_arguments(input=inputs[1], output=published)).returncode == 0


def test_10_corrected_input_replaces_the_day_and_a_rerun_is_idempotent(
    inputs: tuple[Path, Path], published: Path, tmp_path: Path
) -> None:
    run_local(input=inputs[1], output=tmp_path / "expected")
    for _ in range(2):
        run_local(input=inputs[1], output=published)
        assert read_tables(published) == read_tables(tmp_path / "expected")


@pytest.mark.parametrize("table_format", ["delta", "parquet"])
def test_9_concurrent_days_of_one_tenant_are_all_published(tmp_path: Path, table_format: str) -> None:
    days = [DAY - timedelta(days=number) for number in range(3)]
    for number, day in enumerate(days):
        out = tmp_path / f"in-{day}"
        generate(messages=200, layout="export", seed=number, out=out, day=day)
        shutil.copytree(out / "acme", tmp_path / "in/acme", dirs_exist_ok=True)
    children = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "daily_batch", "run", "--json"),
                *run_arguments(input=tmp_path / "in", output=tmp_path / "out", day=day, table_format=table_format),
            ],
            cwd=ROOT,
            env=child_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for day in days
    ]
    written = [json.loads(child.communicate()[0])["records"]["written"] for child in children]
    assert [child.returncode for child in children] == [0, 0, 0]
    found = [len(read_tables(tmp_path / "out", table_format=table_format, day=day)[MESSAGES.name]) for day in days]
    assert found == written


def test_3_commit_with_a_lost_response_is_applied_once(
    inputs: tuple[Path, Path], published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = delta._commit
    lost = iter([True])

    def commit(*args: Any, **kwargs: Any) -> int:
        version = original(*args, **kwargs)
        if next(lost, False):
            raise OSError("connection reset by peer")
        return version

    monkeypatch.setattr(delta, "_commit", commit)
    receipt = run_local(input=inputs[1], output=published)
    assert {counts.version for counts in receipt.tables.values()} == {2}
    run_local(input=inputs[1], output=tmp_path / "expected")
    assert read_tables(published) == read_tables(tmp_path / "expected")


def test_run_leaves_its_input_unchanged(tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in SAMPLES.rglob("*")}
    run_local(input=SAMPLES, output=tmp_path)
    assert {path: path.stat().st_mtime_ns for path in SAMPLES.rglob("*")} == before
