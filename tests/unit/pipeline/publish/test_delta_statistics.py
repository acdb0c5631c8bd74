"""Statistics in the Delta log: readers skip the files that they do not need, and no others."""

from pathlib import Path

import duckdb
import polars
import pytest
from deltalake import DeltaTable

from daily_batch.domain.contract import MESSAGES
from daily_batch.domain.run import ColumnStatistics, DataFile
from daily_batch.pipeline.transform.statistics import timestamp_maximum, timestamp_minimum
from tests.support.data_files import write_file
from tests.support.delta_tables import publish

LONG_ROOM = "部屋" * 20
VALUES = {
    "room_id": f"'{LONG_ROOM}' || chr((97 + i)::INTEGER)",
    "timestamp": "TIMESTAMPTZ '2025-08-12 00:00:00.000001+00' + to_microseconds(i * 1000001)",
    "message_length": "100 + i",
    "tokens_used": "NULL",
}


def publish_skippable(folder: Path) -> str:
    """Publish 10 rows with the bounds that DuckDB finds in the file; return the file's path."""
    written = write_file(folder, "a.parquet", rows=10, table=MESSAGES, values=VALUES)
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


FIRST_AT, LAST_AT = "2025-08-12T00:00:00.000001Z", "2025-08-12T00:00:09.000010Z"
MATCHING = [
    f"timestamp >= '{LAST_AT}'",
    f"timestamp <= '{FIRST_AT}'",
    f"room_id >= '{LONG_ROOM}j'",
    f"room_id <= '{LONG_ROOM}a'",
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


@pytest.mark.parametrize("predicate", MATCHING, ids=lambda text: text[:17])
@pytest.mark.parametrize("checkpointed", [False, True])
def test_reader_does_not_skip_a_file_that_it_needs(tmp_path, predicate, checkpointed):
    publish_skippable(tmp_path)
    if checkpointed:
        DeltaTable(str(tmp_path)).create_checkpoint()
    table = DeltaTable(str(tmp_path))
    assert len(table.file_uris(file_pruning_predicate=predicate)) == 1
    assert table.scan(columns=["message_length"], predicate=predicate).read_all().num_rows >= 1


@pytest.mark.parametrize("predicate", SKIPPED, ids=lambda text: text[:17])
@pytest.mark.parametrize("checkpointed", [False, True])
def test_reader_skips_a_file_without_opening_it(tmp_path, predicate, checkpointed):
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
