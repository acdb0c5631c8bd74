import json
import os
import time
from datetime import date
from pathlib import Path

import duckdb
import polars
import pytest
from deltalake import DeltaTable, Schema
from deltalake.exceptions import CommitFailedError
from deltalake.schema import Field, PrimitiveType

from daily_batch.domain.contract import MESSAGES, ROOMS_DAILY, TABLES, Table
from daily_batch.domain.run import ColumnStatistics, DataFile
from daily_batch.errors import LeaseHeldError, RetryableError, TerminalError
from daily_batch.pipeline.publish import delta
from daily_batch.pipeline.publish.delta_log import DaySnapshot, app_id
from daily_batch.pipeline.publish.result import PublishResult
from daily_batch.pipeline.transform.statistics import timestamp_maximum, timestamp_minimum
from tests.support.data_files import DAY, NEXT_DAY, write_file


def publish(
    folder: Path,
    *files: DataFile,
    run: str = "run1",
    day: date = DAY,
    table: Table = ROOMS_DAILY,
    snapshot: DaySnapshot | None = None,
    token: int | None = None,
    fenced: bool = False,
) -> PublishResult:
    return delta.publish_table(
        table=table,
        location=str(folder),
        storage_options={},
        day=day,
        files=files,
        run_id=run,
        metadata={"runner": "local"},
        tenant="acme",
        token=token,
        fenced=fenced,
        snapshot=snapshot,
    )


def take_snapshot(folder: Path, day: date = DAY) -> DaySnapshot:
    return delta.snapshot_table(table=ROOMS_DAILY, location=str(folder), storage_options={}, day=day, tenant="acme")


def rooms(folder: Path) -> list[tuple[str, str]]:
    """Return date and room of every row, as polars reads the table."""
    frame = polars.scan_delta(str(folder)).select(polars.col("date").cast(polars.String), "room_id").collect()
    return sorted(frame.rows())


def last_commit(folder: Path) -> list[dict]:
    path = max((folder / "_delta_log").glob("*.json"))
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_duckdb_polars_and_delta_rs_read_what_was_published(tmp_path):
    published = publish(tmp_path, write_file(tmp_path, "a.parquet"), write_file(tmp_path, "b.parquet", rows=2))
    assert (published.rows, published.files, published.version) == (5, 2, 1)
    assert published.bytes == sum(path.stat().st_size for path in tmp_path.glob("date=*/*"))
    table = DeltaTable(str(tmp_path))
    assert table.count() == 5
    assert rooms(tmp_path) == sorted((str(DAY), f"room{i}") for rows in (3, 2) for i in range(rows))
    names = duckdb.read_parquet(table.file_uris(), hive_partitioning=True).fetchall()
    assert len(names) == 5


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_table_stays_at_reader_1_and_writer_2_and_keeps_its_types(tmp_path, table):
    publish(tmp_path, write_file(tmp_path, "a.parquet", table=table, values={}), table=table)
    protocol = DeltaTable(str(tmp_path)).protocol()
    assert (protocol.min_reader_version, protocol.min_writer_version) == (1, 2)
    assert (protocol.reader_features, protocol.writer_features) == (None, None)
    frame = polars.scan_delta(str(tmp_path)).collect()
    assert frame.columns == list(table.names)
    assert frame.height == 3
    assert all(kind.time_zone == "UTC" for kind in frame.dtypes if isinstance(kind, polars.Datetime))


def test_a_day_is_replaced_and_other_days_stay(tmp_path):
    publish(tmp_path, write_file(tmp_path, "a.parquet"))
    publish(tmp_path, write_file(tmp_path, "a.parquet", day=NEXT_DAY), day=NEXT_DAY)
    publish(tmp_path, write_file(tmp_path, "b.parquet", rows=1), run="run2")
    assert rooms(tmp_path) == [(str(DAY), "room0"), *((str(NEXT_DAY), f"room{i}") for i in range(3))]


def test_an_empty_day_replaces_what_was_there(tmp_path):
    publish(tmp_path, write_file(tmp_path, "a.parquet"))
    publish(tmp_path, write_file(tmp_path, "a.parquet", day=NEXT_DAY), day=NEXT_DAY)
    assert publish(tmp_path, run="run2") == PublishResult(version=3, rows=0, files=0, bytes=0)
    assert {day for day, _ in rooms(tmp_path)} == {str(NEXT_DAY)}


def test_an_empty_first_day_makes_an_empty_table(tmp_path):
    publish(tmp_path)
    assert rooms(tmp_path) == []


def test_the_commit_records_run_and_counts(tmp_path):
    publish(tmp_path, write_file(tmp_path, "a.parquet"))
    info = DeltaTable(str(tmp_path)).history(1)[0]
    metadata = json.loads(info["userMetadata"])
    assert info["run_id"] == metadata["run_id"] == "run1"
    assert (metadata["rows"], metadata["files"]) == (3, 1)
    assert (metadata["runner"], metadata["day"]) == ("local", "2025-08-12")


def test_each_publication_is_one_commit(tmp_path):
    publish(tmp_path, write_file(tmp_path, "a.parquet"))
    publish(tmp_path, write_file(tmp_path, "b.parquet"), write_file(tmp_path, "c.parquet"), run="run2")
    kinds = [next(iter(action)) for action in last_commit(tmp_path)]
    assert sorted(kinds) == ["add", "add", "commitInfo", "remove"]
    assert DeltaTable(str(tmp_path)).version() == 2


# Another run of the same day


def test_run_older_than_the_last_publication_is_refused(tmp_path):
    publish(tmp_path, write_file(tmp_path, "a.parquet"))
    snapshot = take_snapshot(tmp_path)
    publish(tmp_path, write_file(tmp_path, "b.parquet", rows=1), run="winner")
    with pytest.raises(RetryableError, match=r"tenant=acme day=2025-08-12: run winner"):
        publish(tmp_path, write_file(tmp_path, "c.parquet"), run="loser", snapshot=snapshot)
    assert rooms(tmp_path) == [(str(DAY), "room0")]


def test_two_runs_that_both_found_no_table_do_not_double_the_rows(tmp_path):
    snapshot = take_snapshot(tmp_path)
    publish(tmp_path, write_file(tmp_path, "a.parquet"), run="winner", snapshot=snapshot)
    with pytest.raises(RetryableError, match="winner"):
        publish(tmp_path, write_file(tmp_path, "b.parquet"), run="loser", snapshot=snapshot)
    assert len(rooms(tmp_path)) == 3


def test_a_run_that_emptied_an_empty_day_is_detected(tmp_path):
    publish(tmp_path, day=NEXT_DAY)
    snapshot = take_snapshot(tmp_path)
    publish(tmp_path, run="winner")
    with pytest.raises(RetryableError, match="winner"):
        publish(tmp_path, write_file(tmp_path, "b.parquet"), run="loser", snapshot=snapshot)


def test_a_day_changed_by_another_engine_is_detected(tmp_path):
    publish(tmp_path, write_file(tmp_path, "a.parquet"))
    snapshot = take_snapshot(tmp_path)
    DeltaTable(str(tmp_path)).delete("room_id = 'room0'")
    with pytest.raises(RetryableError, match="files of rooms_daily changed"):
        publish(tmp_path, write_file(tmp_path, "b.parquet"), run="loser", snapshot=snapshot)


def test_a_commit_of_another_day_in_between_does_not_matter(tmp_path):
    publish(tmp_path, write_file(tmp_path, "a.parquet"))
    snapshot = take_snapshot(tmp_path)
    publish(tmp_path, write_file(tmp_path, "a.parquet", day=NEXT_DAY), day=NEXT_DAY)
    assert publish(tmp_path, write_file(tmp_path, "b.parquet", rows=1), run="run2", snapshot=snapshot).version == 3
    assert len(rooms(tmp_path)) == 4


# Lost responses


@pytest.mark.parametrize("error", [CommitFailedError("version exists"), OSError("connection reset")], ids=repr)
def test_a_commit_whose_response_was_lost_is_applied_once(tmp_path, monkeypatch, error):
    commit, errors = delta._commit, iter([error])

    def lose_response(*args):
        version = commit(*args)
        if lost := next(errors, None):
            raise lost
        return version

    monkeypatch.setattr(delta, "_commit", lose_response)
    assert publish(tmp_path, write_file(tmp_path, "a.parquet")).version == 1
    assert DeltaTable(str(tmp_path)).version() == 1


def test_the_same_files_are_never_added_and_removed_in_one_commit(tmp_path):
    file = write_file(tmp_path, "a.parquet")
    assert publish(tmp_path, file) == publish(tmp_path, file)
    assert DeltaTable(str(tmp_path)).version() == 1


def test_a_commit_that_always_conflicts_raises_a_retryable_error(tmp_path, monkeypatch):
    def conflict(*_):
        raise CommitFailedError("version exists")

    monkeypatch.setattr(delta, "_commit", conflict)
    monkeypatch.setattr(delta, "MAX_BACKOFF_SECONDS", 0)
    with pytest.raises(RetryableError, match=r"day=2025-08-12.*version exists.*run the day again"):
        publish(tmp_path, write_file(tmp_path, "a.parquet"))


def test_denied_access_is_a_terminal_error(tmp_path, monkeypatch):
    def deny(*_):
        raise OSError("Generic S3 error: 403 Forbidden: AccessDenied")

    monkeypatch.setattr(delta, "_commit", deny)
    with pytest.raises(TerminalError, match="denied"):
        publish(tmp_path, write_file(tmp_path, "a.parquet"))


# Fencing tokens


def test_a_token_that_is_not_greater_is_refused(tmp_path):
    publish(tmp_path, write_file(tmp_path, "a.parquet"), token=5)
    for token in (4, 5):
        with pytest.raises(LeaseHeldError, match="token 5"):
            publish(tmp_path, write_file(tmp_path, f"z{token}.parquet"), run="zombie", token=token)
    publish(tmp_path, write_file(tmp_path, "b.parquet", rows=1), run="run2", token=6)
    assert len(rooms(tmp_path)) == 1
    assert DeltaTable(str(tmp_path)).transaction_version(app_id(DAY)) == 6


def fence(folder: Path, token: int) -> DaySnapshot:
    return delta.fence_table(
        table=ROOMS_DAILY, location=str(folder), storage_options={}, day=DAY, token=token, tenant="acme"
    )


def test_fence_refuses_a_lower_token_before_any_publication(tmp_path):
    snapshot = take_snapshot(tmp_path)
    fence(tmp_path, 6)
    with pytest.raises(LeaseHeldError, match="token 6"):
        publish(tmp_path, write_file(tmp_path, "z.parquet"), run="zombie", token=5, snapshot=snapshot)
    assert rooms(tmp_path) == []


def test_fence_returns_the_snapshot_that_its_run_replaces(tmp_path):
    publish(tmp_path, write_file(tmp_path, "a.parquet"), run="zombie", token=5)
    snapshot = fence(tmp_path, 6)
    assert len(snapshot.files) == 1
    publish(tmp_path, write_file(tmp_path, "b.parquet", rows=1), run="run2", token=6, snapshot=snapshot, fenced=True)
    assert len(rooms(tmp_path)) == 1


def test_a_fence_is_written_once_and_never_lowered(tmp_path):
    version = fence(tmp_path, 6).version
    assert fence(tmp_path, 6).version == version
    with pytest.raises(LeaseHeldError, match="token 6"):
        fence(tmp_path, 5)


def test_each_day_has_its_own_token(tmp_path):
    publish(tmp_path, token=5)
    publish(tmp_path, day=NEXT_DAY, token=1)


# Foreign tables


def test_a_table_that_was_upgraded_is_refused_before_anything_is_written(tmp_path):
    publish(tmp_path)
    log = tmp_path / "_delta_log" / f"{2:020}.json"
    upgrade = {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": [], "writerFeatures": []}
    log.write_text(json.dumps({"protocol": upgrade}) + "\n")
    with pytest.raises(TerminalError, match="reader 3 and writer 7"):
        publish(tmp_path, write_file(tmp_path, "a.parquet"), run="run2")
    assert max((tmp_path / "_delta_log").glob("*.json")) == log


def test_a_table_with_another_type_is_refused(tmp_path):
    DeltaTable.create(
        str(tmp_path),
        Schema([Field("date", PrimitiveType("date")), Field("room_id", PrimitiveType("long"))]),
        partition_by="date",
    )
    with pytest.raises(TerminalError, match="room_id"):
        publish(tmp_path)


def test_a_table_that_is_not_partitioned_by_date_is_refused(tmp_path):
    DeltaTable.create(str(tmp_path), Schema([Field("date", PrimitiveType("date"))]))
    with pytest.raises(TerminalError, match="partitioned by"):
        publish(tmp_path)


def test_a_table_of_an_older_contract_gets_the_new_columns(tmp_path):
    older = Table(ROOMS_DAILY.name, "", ROOMS_DAILY.columns[:3], ("room_id",))
    values = {"room_id": "'old'"}
    publish(tmp_path, write_file(tmp_path, "a.parquet", table=older, values=values, rows=1), table=older)
    publish(tmp_path, write_file(tmp_path, "b.parquet", day=NEXT_DAY, rows=1), day=NEXT_DAY)
    frame = polars.scan_delta(str(tmp_path)).sort("date").collect()
    assert frame.columns == list(ROOMS_DAILY.names)
    assert frame.select("room_id", "messages").rows() == [("old", None), ("room0", 0)]


def test_a_file_of_another_day_is_refused(tmp_path):
    with pytest.raises(TerminalError, match="not of this day"):
        publish(tmp_path, write_file(tmp_path, "a.parquet", day=NEXT_DAY))


# Statistics

LONG = "部屋" * 20
SKIPPING = {
    "room_id": f"'{LONG}' || chr((97 + i)::INTEGER)",
    "timestamp": "TIMESTAMPTZ '2025-08-12 00:00:00.000001+00' + to_microseconds(i * 1000001)",
    "message_length": "100 + i",
    "tokens_used": "NULL",
}


def publish_skippable(folder: Path) -> str:
    """Publish 10 rows with the bounds that DuckDB finds in the file; return the file's path."""
    written = write_file(folder, "a.parquet", rows=10, table=MESSAGES, values=SKIPPING)
    path = folder / written.path
    [row] = duckdb.sql(
        "SELECT min(room_id), max(room_id), epoch_us(min(timestamp)), epoch_us(max(timestamp)),"
        f" min(message_length), max(message_length) FROM '{path}'"
    ).fetchall()
    statistics = {
        "room_id": ColumnStatistics(minimum=row[0], maximum=row[1], nulls=0),
        "timestamp": ColumnStatistics(minimum=timestamp_minimum(row[2]), maximum=timestamp_maximum(row[3]), nulls=0),
        "message_length": ColumnStatistics(minimum=row[4], maximum=row[5], nulls=0),
        "tokens_used": ColumnStatistics(minimum=None, maximum=None, nulls=10),
    }
    file = DataFile(path=written.path, rows=10, bytes=written.bytes, statistics=statistics)
    publish(folder, file, table=MESSAGES)
    return written.path


FIRST, LAST = "2025-08-12T00:00:00.000001Z", "2025-08-12T00:00:09.000010Z"
FOUND = [
    f"timestamp >= '{LAST}'",
    f"timestamp <= '{FIRST}'",
    f"room_id >= '{LONG}j'",
    f"room_id <= '{LONG}a'",
    "message_length >= 109",
    "message_length <= 100",
    "tokens_used IS NULL",
]
SKIPPED = [
    "timestamp > '2025-08-12T00:00:09.002Z'",
    "timestamp < '2025-08-12T00:00:00Z'",
    "room_id > '部長'",
    "room_id < '部'",
    "message_length > 109",
    "message_length < 100",
]


@pytest.mark.parametrize("predicate", FOUND, ids=lambda text: text[:17])
@pytest.mark.parametrize("checkpointed", [False, True])
def test_a_reader_does_not_skip_a_file_that_it_needs(tmp_path, predicate, checkpointed):
    publish_skippable(tmp_path)
    if checkpointed:
        DeltaTable(str(tmp_path)).create_checkpoint()
    table = DeltaTable(str(tmp_path))
    assert len(table.file_uris(file_pruning_predicate=predicate)) == 1
    assert table.scan(columns=["message_length"], predicate=predicate).read_all().num_rows >= 1


@pytest.mark.parametrize("predicate", SKIPPED, ids=lambda text: text[:17])
@pytest.mark.parametrize("checkpointed", [False, True])
def test_a_reader_skips_a_file_without_opening_it(tmp_path, predicate, checkpointed):
    path = publish_skippable(tmp_path)
    if checkpointed:
        DeltaTable(str(tmp_path)).create_checkpoint()
    (tmp_path / path).unlink()
    assert DeltaTable(str(tmp_path)).file_uris(file_pruning_predicate=predicate) == []
    assert DeltaTable(str(tmp_path)).scan(predicate=predicate).read_all().num_rows == 0


def test_polars_skips_by_the_same_statistics(tmp_path):
    path = publish_skippable(tmp_path)
    frame = polars.scan_delta(str(tmp_path))
    assert frame.filter(polars.col("message_length") >= 109).collect().height == 1
    (tmp_path / path).unlink()
    assert frame.filter(polars.col("message_length") > 109).collect().height == 0


# Orphans of crashed runs, and the log


def test_only_old_unreferenced_files_are_removed(tmp_path):
    live = publish(tmp_path, write_file(tmp_path, "old.parquet"))
    assert live.files == 1
    publish(tmp_path, write_file(tmp_path, "live.parquet"), run="run2")
    crashed = write_file(tmp_path, "crashed.parquet")
    write_file(tmp_path, "writing.parquet")
    write_file(tmp_path, "never.parquet", day=NEXT_DAY)
    eight_days_ago = time.time() - 8 * 86400
    for name in ("live", "crashed"):
        os.utime(tmp_path / f"date={DAY}" / f"{name}.parquet", (eight_days_ago, eight_days_ago))
    os.utime(tmp_path / f"date={NEXT_DAY}" / "never.parquet", (eight_days_ago, eight_days_ago))
    removed = delta.remove_orphans(location=str(tmp_path), storage_options={})
    assert sorted(removed) == sorted([crashed.path, f"date={NEXT_DAY}/never.parquet"])
    remaining = sorted(path.name for path in tmp_path.glob("date=*/*.parquet"))
    assert remaining == ["live.parquet", "old.parquet", "writing.parquet"]


def test_removing_nothing_leaves_the_log_alone(tmp_path):
    assert delta.remove_orphans(location=str(tmp_path / "absent"), storage_options={}) == []
    publish(tmp_path, write_file(tmp_path, "a.parquet"))
    assert delta.remove_orphans(location=str(tmp_path), storage_options={}) == []
    assert DeltaTable(str(tmp_path)).version() == 1


def test_the_log_gets_classic_checkpoints_that_keep_days_and_tokens(tmp_path):
    for n in range(12):
        publish(tmp_path, write_file(tmp_path, f"r{n}.parquet", rows=1), run=f"run{n}", token=n + 1)
    assert [path.name for path in (tmp_path / "_delta_log").glob("*.checkpoint.parquet")]
    assert rooms(tmp_path) == [(str(DAY), "room0")]
    with pytest.raises(LeaseHeldError):
        publish(tmp_path, run="zombie", token=12)
