"""Publication of a day to a Delta table: commits, foreign tables, orphans and checkpoints."""

import json
import os
import time
from pathlib import Path

import duckdb
import polars
import pytest
from deltalake import DeltaTable, Schema
from deltalake.schema import Field, PrimitiveType

from daily_batch.domain.contract import ROOMS_DAILY, TABLES, Table
from daily_batch.errors import LeaseHeldError, TerminalError
from daily_batch.pipeline.publish import delta
from daily_batch.pipeline.publish.result import PublishResult
from daily_batch.pipeline.publish.schema import table_schema
from tests.support.data_files import DAY, NEXT_DAY, write_file
from tests.support.delta_tables import publish, read_rooms


def last_commit(folder: Path) -> list[dict]:
    path = max((folder / "_delta_log").glob("*.json"))
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_duckdb_polars_and_delta_rs_read_what_was_published(tmp_path):
    published = publish(tmp_path, write_file(tmp_path, "a.parquet"), write_file(tmp_path, "b.parquet", rows=2))
    assert (published.rows, published.files, published.version) == (5, 2, 1)
    assert published.bytes == sum(path.stat().st_size for path in tmp_path.glob("date=*/*"))
    table = DeltaTable(str(tmp_path))
    assert table.count() == 5
    assert read_rooms(tmp_path) == sorted((str(DAY), f"room{i}") for rows in (3, 2) for i in range(rows))
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


def test_day_is_replaced_and_other_days_stay(tmp_path):
    publish(tmp_path, write_file(tmp_path, "a.parquet"))
    publish(tmp_path, write_file(tmp_path, "a.parquet", day=NEXT_DAY), day=NEXT_DAY)
    publish(tmp_path, write_file(tmp_path, "b.parquet", rows=1), run="run2")
    assert read_rooms(tmp_path) == [(str(DAY), "room0"), *((str(NEXT_DAY), f"room{i}") for i in range(3))]


def test_empty_day_replaces_what_was_there(tmp_path):
    publish(tmp_path, write_file(tmp_path, "a.parquet"))
    publish(tmp_path, write_file(tmp_path, "a.parquet", day=NEXT_DAY), day=NEXT_DAY)
    assert publish(tmp_path, run="run2") == PublishResult(version=3, rows=0, files=0, bytes=0)
    assert {day for day, _ in read_rooms(tmp_path)} == {str(NEXT_DAY)}


def test_empty_first_day_makes_an_empty_table(tmp_path):
    publish(tmp_path)
    assert read_rooms(tmp_path) == []


def test_commit_records_run_and_counts(tmp_path):
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


# Comments


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_new_table_has_the_contracts_comments(tmp_path, table):
    publish(tmp_path, table=table)
    created = DeltaTable(str(tmp_path))
    assert comments_of(created) == {column.name: column.comment for column in table.columns}
    assert created.metadata().description == table.doc


def test_table_without_comments_gets_them_once(tmp_path):
    bare = [Field(field.name, field.type) for field in table_schema(ROOMS_DAILY).fields if field.name != "tenant_id"]
    DeltaTable.create(str(tmp_path), Schema(bare), partition_by="date")
    publish(tmp_path, write_file(tmp_path, "a.parquet"))
    assert [next(iter(action)) for action in last_commit(tmp_path)].count("metaData") == 1
    table = DeltaTable(str(tmp_path))
    assert comments_of(table) == {column.name: column.comment for column in ROOMS_DAILY.columns}
    assert (table.version(), table.protocol().min_reader_version, table.protocol().min_writer_version) == (1, 1, 2)
    publish(tmp_path, write_file(tmp_path, "b.parquet"), run="run2")
    assert "metaData" not in [next(iter(action)) for action in last_commit(tmp_path)]


def comments_of(table: DeltaTable) -> dict[str, str]:
    return {field.name: field.metadata["comment"] for field in table.schema().fields}


# Foreign tables


def test_table_that_was_upgraded_is_refused_before_anything_is_written(tmp_path):
    publish(tmp_path)
    log = tmp_path / "_delta_log" / f"{2:020}.json"
    upgrade = {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": [], "writerFeatures": []}
    log.write_text(json.dumps({"protocol": upgrade}) + "\n")
    with pytest.raises(TerminalError, match="reader 3 and writer 7"):
        publish(tmp_path, write_file(tmp_path, "a.parquet"), run="run2")
    assert max((tmp_path / "_delta_log").glob("*.json")) == log


def test_table_with_another_type_is_refused(tmp_path):
    DeltaTable.create(
        str(tmp_path),
        Schema([Field("date", PrimitiveType("date")), Field("room_id", PrimitiveType("long"))]),
        partition_by="date",
    )
    with pytest.raises(TerminalError, match="room_id"):
        publish(tmp_path)


def test_table_that_is_not_partitioned_by_date_is_refused(tmp_path):
    DeltaTable.create(str(tmp_path), Schema([Field("date", PrimitiveType("date"))]))
    with pytest.raises(TerminalError, match="partitioned by"):
        publish(tmp_path)


def test_table_of_an_older_contract_gets_the_new_columns(tmp_path):
    older = Table(ROOMS_DAILY.name, "", ROOMS_DAILY.columns[:3], ("room_id",))
    values = {"room_id": "'old'"}
    publish(tmp_path, write_file(tmp_path, "a.parquet", table=older, values=values, rows=1), table=older)
    publish(tmp_path, write_file(tmp_path, "b.parquet", day=NEXT_DAY, rows=1), day=NEXT_DAY)
    frame = polars.scan_delta(str(tmp_path)).sort("date").collect()
    assert frame.columns == list(ROOMS_DAILY.names)
    assert frame.select("room_id", "messages").rows() == [("old", None), ("room0", 0)]


def test_file_of_another_day_is_refused(tmp_path):
    with pytest.raises(TerminalError, match="not of this day"):
        publish(tmp_path, write_file(tmp_path, "a.parquet", day=NEXT_DAY))


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


def test_log_gets_classic_checkpoints_that_keep_days_and_tokens(tmp_path):
    for n in range(12):
        publish(tmp_path, write_file(tmp_path, f"r{n}.parquet", rows=1), run=f"run{n}", token=n + 1)
    assert [path.name for path in (tmp_path / "_delta_log").glob("*.checkpoint.parquet")]
    assert read_rooms(tmp_path) == [(str(DAY), "room0")]
    with pytest.raises(LeaseHeldError):
        publish(tmp_path, run="zombie", token=12)
