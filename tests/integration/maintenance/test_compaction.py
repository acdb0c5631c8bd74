"""Test compaction: equal rows in fewer, sorted files, locally and on Spark, with and without conflicts."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import deltalake
import pyarrow.parquet
import pytest

from daily_batch.domain.contract import MESSAGES, TURNS
from daily_batch.errors import RetryableError
from daily_batch.maintenance.compaction import CompactionCandidate, compact_day, find_candidates
from daily_batch.maintenance.rewrite_files import make_spec_factory
from daily_batch.maintenance.spark import SparkMaintenance, _quote
from daily_batch.maintenance.subject import Subject
from daily_batch.maintenance.truncate_history import truncate_history
from daily_batch.pipeline.publish.publisher import DayPublisher
from tests.support.day_runs import DAY, read_tables, silent
from tests.support.maintenance_days import Publish, Tenant, files_containing

MIB = 2**20
LATER = DAY + timedelta(days=1)
STATISTICS = ("min.room_id", "max.room_id", "min.timestamp", "max.timestamp", "null_count.user_id", "num_records")


def candidates(tenant: Tenant, *, target_bytes: int = 128 * MIB, before: date = LATER) -> list[CompactionCandidate]:
    """Return the candidates of `messages`; those of other tables are their equals."""
    found = find_candidates(tenant.tables, before=before, target_bytes=target_bytes)
    return [candidate for candidate in found if candidate.table is MESSAGES]


def compact(tenant: Tenant, candidate: CompactionCandidate) -> None:
    compact_day(candidate, tenant.tables, make_spec_factory(tenant.settings(), tenant="acme", table_format="delta"))


def messages(tenant: Tenant) -> deltalake.DeltaTable:
    return deltalake.DeltaTable(str(tenant.root / "messages"))


def statistics_of(tenant: Tenant) -> dict[str, Any]:
    adds = messages(tenant).get_add_actions(flatten=True)
    return {name: adds[name].to_pylist() for name in STATISTICS}


def schema_of(tenant: Tenant) -> list[tuple[str, str]]:
    """Return the columns and types of the only data file, without lists."""
    (file,) = messages(tenant).file_uris()
    return [
        (field.name, str(field.type)) for field in pyarrow.parquet.read_schema(file) if "list" not in str(field.type)
    ]


def complete_rows(tenant: Tenant) -> list[str]:
    """Return the rows with all columns; a compaction keeps those of the run too."""
    return sorted(map(repr, messages(tenant).to_pyarrow_table().to_pylist()))


def test_compaction_writes_one_sorted_file_and_is_idempotent(hostile_source: Path, publish: Publish) -> None:
    tenant = publish(hostile_source, buckets=(3,))
    before, token = complete_rows(tenant), messages(tenant).transaction_version(f"makoto-daily-batch/{DAY}")
    (candidate,) = candidates(tenant)
    assert (candidate.table, candidate.day, len(candidate.files), candidate.target_files) == (MESSAGES, DAY, 3, 1)
    compact(tenant, candidate)
    table = messages(tenant)
    assert complete_rows(tenant) == before
    (file,) = table.file_uris()
    rows = pyarrow.parquet.read_table(file, columns=["room_id", "timestamp", "message_id"]).to_pylist()
    assert rows == sorted(rows, key=lambda row: (row["room_id"].encode(), row["timestamp"], row["message_id"]))
    assert statistics_of(tenant)["num_records"] == [len(before)]
    assert table.transaction_version(f"makoto-daily-batch/{DAY}") == token
    assert candidates(tenant) == []


def test_turns_are_compacted_too(small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source, buckets=(3,))
    before = read_tables(tenant.output)["turns"]
    found = find_candidates(tenant.tables, before=LATER, target_bytes=128 * MIB)
    assert [candidate.table for candidate in found] == [MESSAGES, TURNS]
    compact(tenant, found[1])
    (file,) = deltalake.DeltaTable(str(tenant.root / "turns")).file_uris()
    rows = pyarrow.parquet.read_table(file, columns=["room_id", "turn"]).to_pylist()
    assert rows == sorted(rows, key=lambda row: (row["room_id"].encode(), row["turn"]))
    assert read_tables(tenant.output)["turns"] == before


def test_compaction_commit_marks_no_data_change(small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source, buckets=(3,))
    compact(tenant, *candidates(tenant))
    version = messages(tenant).version()
    lines = (tenant.root / f"messages/_delta_log/{version:020d}.json").read_text().splitlines()
    info, *actions = map(json.loads, lines)
    assert info["commitInfo"]["operation"] == "OPTIMIZE"
    assert [(*action, *(each["dataChange"] for each in action.values())) for action in actions] == [
        ("add", False),
        *[("remove", False)] * (len(actions) - 1),
    ]
    assert messages(tenant).history(1)[0]["operation"] == "OPTIMIZE"


def test_compaction_checkpoints_the_log_when_it_is_due(small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source, buckets=(3,))
    messages(tenant).alter.set_table_properties({"delta.checkpointInterval": "1"})
    compact(tenant, *candidates(tenant))
    version = messages(tenant).version()
    assert (tenant.root / f"messages/_delta_log/{version:020d}.checkpoint.parquet").exists()


def test_recent_days_and_large_files_are_not_candidates(small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source, buckets=(3,))
    assert candidates(tenant, before=DAY) == []
    sizes = messages(tenant).get_add_actions(flatten=True)["size_bytes"].to_pylist()
    assert candidates(tenant, target_bytes=min(sizes)) == []


def test_run_in_conflict_with_a_compaction_succeeds_on_retry(small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source, buckets=(3,))
    before = read_tables(tenant.output)
    snapshot = DayPublisher.snapshot(tenant.request(small_source), tenant.tables.storage)
    (candidate,) = candidates(tenant)
    compact(tenant, candidate)
    with pytest.raises(RetryableError, match="the files of messages changed while this run was running"):
        snapshot.publish({MESSAGES.name: ()}, run_id="late", metadata={}, progress=silent)
    assert read_tables(tenant.output) == before
    tenant.run(small_source)
    assert read_tables(tenant.output) == before


def test_compaction_gives_up_if_a_run_commits_first(small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source, buckets=(3,))
    before = read_tables(tenant.output)
    (candidate,) = candidates(tenant)
    tenant.run(small_source, buckets=2)
    version, files = messages(tenant).version(), set(tenant.root.rglob("date=*/*"))
    with pytest.raises((RetryableError, FileNotFoundError), match="changed during the compaction"):
        compact(tenant, candidate)
    assert messages(tenant).version() == version
    assert read_tables(tenant.output) == before
    # It deletes its own files, because they may hold rows that an erasure removed meanwhile.
    assert set(tenant.root.rglob("date=*/*")) == files


def test_compaction_succeeds_beside_a_commit_of_another_day(small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source, buckets=(3,))
    (candidate,) = candidates(tenant)
    other = replace(tenant.request(small_source), day=LATER)
    DayPublisher.snapshot(other, tenant.tables.storage).publish(
        {MESSAGES.name: ()}, run_id="other", metadata={}, progress=silent
    )
    compact(tenant, candidate)
    operations = [commit["operation"] for commit in messages(tenant).history(2)]
    assert operations == ["OPTIMIZE", "WRITE"]


def test_compaction_succeeds_after_the_history_of_its_open_table_was_removed(
    small_source: Path, publish: Publish
) -> None:
    tenant = publish(small_source, buckets=(3,))
    before = complete_rows(tenant)
    tables = tenant.tables
    found = find_candidates(tables, before=LATER, target_bytes=128 * MIB)
    other = tenant.request(small_source, LATER)
    for number in range(12):
        DayPublisher.snapshot(other, tenant.tables.storage).publish(
            {MESSAGES.name: ()}, run_id=f"other-{number}", metadata={}, progress=silent
        )
    first = truncate_history(tenant.tables, MESSAGES, erasure="an-erasure")
    make_spec = make_spec_factory(tenant.settings(), tenant="acme", table_format="delta")
    for candidate in found:
        compact_day(candidate, tables, make_spec)
    assert messages(tenant).version() == (first or 0) + 1
    assert len(messages(tenant).file_uris()) == 1
    assert complete_rows(tenant) == before


def test_commit_with_a_lost_response_is_found_in_the_log(
    small_source: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    from obstore.exceptions import AlreadyExistsError
    from obstore.store import LocalStore

    tenant = publish(small_source, buckets=(3,))
    (candidate,) = candidates(tenant)
    put: Callable[..., Any] = LocalStore.put

    def lose_response(self: Any, path: str, *arguments: Any, **named: Any) -> Any:
        result = put(self, path, *arguments, **named)
        if "_delta_log" in path:
            raise AlreadyExistsError("the retried request conflicts with the first")
        return result

    monkeypatch.setattr(LocalStore, "put", lose_response)
    compact(tenant, candidate)
    assert messages(tenant).history(1)[0]["operation"] == "OPTIMIZE"


@pytest.mark.long
@pytest.mark.each_spark
def test_spark_and_local_compaction_and_erasure_are_equal(
    tmp_path: Path, hostile_source: Path, publish: Publish, spark: Any
) -> None:
    local = publish(hostile_source, buckets=(3,), name="local")
    shutil.copytree(tmp_path / "local", tmp_path / "on_spark")
    shutil.copy(tmp_path / "local.sqlite", tmp_path / "on_spark.sqlite")
    on_spark = Tenant(tmp_path / "on_spark")
    engine = SparkMaintenance(spark, on_spark.tables)
    compact(local, *candidates(local))
    engine.compact_day(*candidates(on_spark))
    assert complete_rows(on_spark) == complete_rows(local)
    assert statistics_of(on_spark) == statistics_of(local)
    assert schema_of(on_spark) == schema_of(local)
    assert candidates(on_spark) == []
    local.erase("user", "佐藤 花子")
    on_spark.erase("user", "佐藤 花子", choose_deleter=lambda size: engine.delete_rows)
    assert read_tables(on_spark.output) == read_tables(local.output)
    assert files_containing(on_spark.root, "佐藤 花子") == []
    for tenant in (local, on_spark):
        table = messages(tenant)
        protocol = table.protocol()
        assert (protocol.min_reader_version, protocol.min_writer_version) == (1, 2)
        assert table.metadata().configuration["delta.enableDeletionVectors"] == "false"
        assert "deletionVector" not in str(table.get_add_actions(flatten=True).schema)


@pytest.mark.each_spark
def test_any_text_is_quoted_for_spark_sql(spark: Any) -> None:
    texts = ["it's", "back\\slash", 'a "quote"', ":id", "佐藤 花子 🐟", "%_${x}", "line\nend", "' OR true --"]
    row = spark.sql("SELECT " + ", ".join(_quote(text) for text in texts)).collect()[0]
    assert list(row) == texts


@pytest.mark.each_spark
@pytest.mark.parametrize(
    "subject",
    [Subject("acme", "room", frozenset({"shared"})), Subject("acme", "user", frozenset({"user_1"}), mentions=True)],
)
def test_spark_and_local_erasure_match_the_same_rows(
    hostile_source: Path, publish: Publish, spark: Any, subject: Subject
) -> None:
    local = publish(hostile_source, buckets=(3,), name="local")
    on_spark = publish(hostile_source, buckets=(3,), name="on_spark")
    local.erase(subject.kind, *subject.ids, mentions=subject.mentions)
    engine = SparkMaintenance(spark, on_spark.tables)
    on_spark.erase(
        subject.kind, *subject.ids, mentions=subject.mentions, choose_deleter=lambda size: engine.delete_rows
    )
    assert read_tables(on_spark.output) == read_tables(local.output)
