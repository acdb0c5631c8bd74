"""Publication of a day as Parquet files: replacement, crashed runs and order of deletion."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import duckdb
import obstore
import pytest
from obstore.exceptions import PermissionDeniedError
from obstore.store import LocalStore

from daily_batch.domain.keys import staged_path
from daily_batch.domain.run import DataFile
from daily_batch.errors import RetryableError, TerminalError
from daily_batch.pipeline.publish import parquet
from tests.support.data_files import DAY, NEXT_DAY

TABLE = "acme/analytics/messages"


def stage(root: Path, name: str, *, rows: int = 3, day: date = DAY) -> DataFile:
    """Write a file to the kernel's staging folder; return it with the path at which it is published."""
    path = f"{parquet.day_folder(day)}/{name}"
    staged = root / TABLE / staged_path(path, day.isoformat())
    staged.parent.mkdir(parents=True, exist_ok=True)
    duckdb.sql(f"COPY (SELECT DATE '{day}' AS date, i FROM range({rows}) r(i)) TO '{staged}' (FORMAT parquet)")
    return DataFile(path=path, rows=rows, bytes=staged.stat().st_size, statistics={})


def publish(root: Path, files: Sequence[DataFile], *, day: date = DAY, run: str = "run1"):
    return parquet.publish_day(
        store=LocalStore(str(root)), table_folder=TABLE, day=day, files=files, run_id=run, tenant="acme"
    )


def file_names(root: Path, day: date = DAY) -> set[str]:
    return {path.name for path in (root / TABLE / parquet.day_folder(day)).glob("*")}


def test_hive_readers_read_the_published_rows(tmp_path):
    published = publish(tmp_path, [stage(tmp_path, "a.parquet"), stage(tmp_path, "b.parquet", rows=2)])
    assert (published.rows, published.files, published.version) == (5, 2, None)
    glob = f"{tmp_path}/{TABLE}/year=*/month=*/day=*/*.parquet"
    rows = duckdb.read_parquet(glob, hive_partitioning=True).aggregate("date, year, month, day, count(*)").fetchall()
    assert rows == [(DAY, 2025, "08", 12, 5)]


def test_day_is_replaced_and_other_days_stay(tmp_path):
    publish(tmp_path, [stage(tmp_path, "a.parquet")])
    publish(tmp_path, [stage(tmp_path, "other.parquet", day=NEXT_DAY)], day=NEXT_DAY)
    publish(tmp_path, [stage(tmp_path, "b.parquet")], run="run2")
    assert file_names(tmp_path) == {"b.parquet"}
    assert file_names(tmp_path, NEXT_DAY) == {"other.parquet"}


def test_files_of_a_crashed_run_are_deleted(tmp_path):
    publish(tmp_path, [stage(tmp_path, "old.parquet")])
    leftover = tmp_path / TABLE / parquet.day_folder(DAY) / "crashed.parquet"
    leftover.write_bytes(b"PAR1 and no end")
    stage(tmp_path, "staged-by-crashed.parquet")
    other_day = stage(tmp_path, "staged-for-tomorrow.parquet", day=NEXT_DAY)
    publish(tmp_path, [stage(tmp_path, "new.parquet")], run="run2")
    assert file_names(tmp_path) == {"new.parquet"}
    staged = [path.name for path in (tmp_path / TABLE / "_staging").rglob("*.parquet")]
    assert staged == [other_day.path.rpartition("/")[2]]


def test_a_file_is_moved_in_one_step_so_that_a_kill_leaves_no_second_name(tmp_path):
    file = stage(tmp_path, "a.parquet")
    staged = tmp_path / TABLE / staged_path(file.path, DAY.isoformat())
    content, inode = staged.read_bytes(), staged.stat().st_ino
    parquet._unstage(LocalStore(str(tmp_path)), str(staged.relative_to(tmp_path)), f"{TABLE}/{file.path}")
    published = tmp_path / TABLE / file.path
    assert not staged.exists()
    assert (published.read_bytes(), published.stat().st_ino) == (content, inode)


def test_empty_day_leaves_no_file(tmp_path):
    publish(tmp_path, [stage(tmp_path, "a.parquet")])
    assert publish(tmp_path, [], run="run2").rows == 0
    assert file_names(tmp_path) == set()


def test_empty_first_day_needs_no_folder(tmp_path):
    assert publish(tmp_path, []).files == 0


def test_publishing_again_changes_nothing(tmp_path):
    file = stage(tmp_path, "a.parquet")
    assert publish(tmp_path, [file]) == publish(tmp_path, [file])
    assert file_names(tmp_path) == {"a.parquet"}


def test_no_old_file_is_deleted_while_a_new_file_is_missing(tmp_path):
    publish(tmp_path, [stage(tmp_path, "old.parquet")])
    missing = DataFile(path=f"{parquet.day_folder(DAY)}/lost.parquet", rows=1, bytes=9, statistics={})
    with pytest.raises(RetryableError, match=r"tenant=acme day=2025-08-12"):
        publish(tmp_path, [stage(tmp_path, "new.parquet"), missing], run="run2")
    assert "old.parquet" in file_names(tmp_path)


def test_no_old_file_is_deleted_while_a_new_file_has_another_size(tmp_path):
    publish(tmp_path, [stage(tmp_path, "old.parquet")])
    file = stage(tmp_path, "new.parquet")
    truncated = DataFile(path=file.path, rows=file.rows, bytes=file.bytes + 1, statistics={})
    with pytest.raises(RetryableError, match=r"'acme/.*new\.parquet' of run run2 is missing or incomplete"):
        publish(tmp_path, [truncated], run="run2")
    assert "old.parquet" in file_names(tmp_path)


def test_new_files_are_complete_before_old_ones_are_deleted(tmp_path, monkeypatch):
    publish(tmp_path, [stage(tmp_path, "old.parquet")])
    file = stage(tmp_path, "new.parquet")
    files_at_deletion: list[set[str]] = []

    def record_and_delete(store, paths):
        files_at_deletion.append(file_names(tmp_path))
        return obstore_delete(store, paths)

    obstore_delete = obstore.delete
    monkeypatch.setattr(parquet.obstore, "delete", record_and_delete)
    publish(tmp_path, [file], run="run2")
    assert files_at_deletion[0] == {"old.parquet", "new.parquet"}


@pytest.mark.parametrize("error", [PermissionDeniedError("403"), PermissionError("13")], ids=["remote", "local"])
def test_denied_access_is_a_terminal_error(tmp_path, monkeypatch, error):
    def deny(*_):
        raise error

    publish(tmp_path, [stage(tmp_path, "old.parquet")])
    file = stage(tmp_path, "new.parquet")
    monkeypatch.setattr(parquet.obstore, "delete", deny)
    with pytest.raises(TerminalError, match="denied"):
        publish(tmp_path, [file], run="run2")
