"""FAULTS 3, 9, 10, 14 and 16: what readers find after concurrent, repeated and empty runs."""

import json
import shutil
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from daily_batch.domain.contract import MESSAGES, TABLES
from daily_batch.errors import TerminalError
from daily_batch.pipeline.publish import delta
from daily_batch.pipeline.runners.spark import SparkRunner
from daily_batch.synthetic import generate
from tests.support.day_runs import (
    DAY,
    ROOT,
    SAMPLES,
    child_environment,
    comparable,
    published_state,
    read_tables,
    run_arguments,
    run_day_with,
    run_local,
)


def test_3_commit_with_a_lost_response_is_applied_once(
    two_versions: tuple[Path, Path], published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = delta._commit
    lost = iter([True])

    def commit(*args: Any, **kwargs: Any) -> int:
        version = original(*args, **kwargs)
        if next(lost, False):
            raise OSError("connection reset by peer")
        return version

    monkeypatch.setattr(delta, "_commit", commit)
    receipt = run_local(input=two_versions[1], output=published)
    assert {counts.version for counts in receipt.tables.values()} == {2}
    run_local(input=two_versions[1], output=tmp_path / "expected")
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
    written = [json.loads(child.communicate()[0])["receipts"][0]["records"]["written"] for child in children]
    assert [child.returncode for child in children] == [0, 0, 0]
    found = [len(read_tables(tmp_path / "out", table_format=table_format, day=day)[MESSAGES.name]) for day in days]
    assert found == written


def test_10_corrected_input_replaces_the_day_and_a_rerun_is_idempotent(
    two_versions: tuple[Path, Path], published: Path, tmp_path: Path
) -> None:
    run_local(input=two_versions[1], output=tmp_path / "expected")
    for _ in range(2):
        run_local(input=two_versions[1], output=published)
        assert read_tables(published) == read_tables(tmp_path / "expected")


def test_14_reader_sees_one_complete_version_during_publication(
    two_versions: tuple[Path, Path], tmp_path: Path
) -> None:
    expected = []
    for number, source in enumerate(two_versions):
        run_local(input=source, output=tmp_path / str(number))
        expected.append(read_tables(tmp_path / str(number))[MESSAGES.name])
    run_local(input=two_versions[0], output=tmp_path / "live")
    table = str(tmp_path / "live/acme/analytics/messages")
    observed: list[tuple[int, set[str], Any]] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            snapshot = DeltaTable(table)
            rows = snapshot.to_pyarrow_table().to_pylist()
            observed.append((snapshot.version(), {row["run_id"] for row in rows}, comparable(rows, MESSAGES.names)))

    reader = threading.Thread(target=read)
    reader.start()
    turn = 0
    # Run until the reader has read several versions, however fast it is.
    while turn < 6 or (len({version for version, _, _ in observed}) < 3 and turn < 200):
        turn += 1
        run_local(input=two_versions[turn % 2], output=tmp_path / "live")
    done.set()
    reader.join()
    assert len({version for version, _, _ in observed}) >= 3
    for version, runs, rows in observed:
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


def test_16_published_day_is_emptied_only_if_an_operator_allows_it(published: Path, tmp_path: Path) -> None:
    (tmp_path / "empty/acme").mkdir(parents=True)
    before = published_state(published)
    with pytest.raises(TerminalError, match=r"the input holds no object of it, and .* messages are published"):
        run_local(input=tmp_path / "empty", output=published)
    assert published_state(published) == before
    receipt = run_local(input=tmp_path / "empty", output=published, allow_shrink="alice")
    assert receipt.shrink is not None
    assert receipt.shrink.by == "alice"
    assert [len(rows) for rows in read_tables(published).values()] == [0, 0, 0, 0, 0, 1]


@pytest.mark.parametrize("table_format", ["delta", "parquet"])
def test_every_row_names_its_tenant(tmp_path: Path, table_format: str) -> None:
    for tenant in ("acme", "globex"):
        run_local(input=SAMPLES, output=tmp_path, tenant=tenant, table_format=table_format)
        tables = read_tables(tmp_path, tenant=tenant, table_format=table_format)
        assert {name: {row["tenant_id"] for row in rows} for name, rows in tables.items()} == {
            table.name: {tenant} for table in TABLES
        }


def test_run_leaves_its_input_unchanged(tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in SAMPLES.rglob("*")}
    run_local(input=SAMPLES, output=tmp_path)
    assert {path: path.stat().st_mtime_ns for path in SAMPLES.rglob("*")} == before
