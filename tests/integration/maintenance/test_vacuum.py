"""Test vacuum: files that no reader and no run can need are deleted, all others stay."""

import os
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import deltalake
import pytest

from daily_batch.domain.contract import MESSAGES, REJECTS, ROOMS_DAILY, TABLES
from daily_batch.errors import UsageError
from daily_batch.maintenance.spark import SparkMaintenance
from daily_batch.maintenance.vacuum import (
    Retention,
    VacuumResult,
    vacuum_beside_tables,
    vacuum_table,
    with_table_retention,
)
from tests.support.day_runs import DAY, read_tables
from tests.support.maintenance_days import Publish, Tenant, hostile_records, write_export

FORTY_DAYS = 40 * 86_400


def retention(**more: Any) -> Retention:
    return Retention(now=datetime.now(UTC), **more)


def age_files(folder: Path) -> None:
    """Make every file below a folder 40 days old."""
    then = time.time() - FORTY_DAYS
    for path in folder.rglob("*"):
        os.utime(path, (then, then))


def data_file_names(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*.parquet") if "_delta_log" not in path.parts}


def write_leftovers(tenant: Tenant, table: str = "messages") -> tuple[Path, Path]:
    """Write an old and a recent file that no commit names."""
    folder = tenant.root / table / f"date={DAY}"
    old, recent = folder / "crashed.parquet", folder / "active.parquet"
    old.write_bytes(b"left by a crash")
    recent.write_bytes(b"not committed yet")
    then = time.time() - FORTY_DAYS
    os.utime(old, (then, then))
    return old, recent


def test_vacuum_deletes_old_leftovers_and_retains_recent_files(small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source, buckets=(2, 1))
    old, recent = write_leftovers(tenant)
    preview = vacuum_table(tenant.tables, MESSAGES, retention(), dry_run=True)
    assert preview == VacuumResult(table="messages", files=1, bytes=len(b"left by a crash"))
    assert old.exists()
    done = vacuum_table(tenant.tables, MESSAGES, retention(), dry_run=False)
    assert (done.files, done.bytes) == (preview.files, preview.bytes)
    assert (old.exists(), recent.exists()) == (False, True)
    # The first run's files are recent: a reader may still use that version.
    assert len(data_file_names(tenant.root / "messages")) == 4


def test_longer_retention_of_the_table_wins(small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source)
    default = retention()
    assert with_table_retention(tenant.tables, MESSAGES, default) == default
    table = deltalake.DeltaTable(str(tenant.root / "messages"))
    table.alter.set_table_properties({"delta.deletedFileRetentionDuration": "interval 30 days"})
    assert with_table_retention(tenant.tables, MESSAGES, default).retain_hours == 30 * 24
    assert with_table_retention(tenant.tables, REJECTS, default) == default
    assert vacuum_table(tenant.tables, MESSAGES, default, dry_run=False).files == 0


def test_retention_shorter_than_a_run_is_rejected() -> None:
    with pytest.raises(UsageError, match="23 hours are less than a run may take"):
        retention(retain_hours=23)


def test_missing_table_is_not_an_error(tmp_path: Path) -> None:
    tenant = Tenant(tmp_path / "out")
    assert vacuum_table(tenant.tables, MESSAGES, retention(), dry_run=False) == VacuumResult(table="messages")
    assert not tenant.root.exists()


def test_parquet_days_beside_a_delta_table_are_retained(small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source)
    plain = tenant.root / "messages/year=2024/month=08/day=12/run1.parquet"
    plain.parent.mkdir(parents=True)
    plain.write_bytes(b"published before the format was changed")
    age_files(tenant.root)
    vacuum_table(tenant.tables, MESSAGES, retention(), dry_run=False)
    assert plain.exists()


def test_old_staged_files_are_deleted(small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source, table_format="parquet")
    staged = tenant.root / "messages/_staging/2025-08-11/crashed.parquet"
    manifest = tenant.root / "_staging/run1-abc/chunk-0.json"
    for path in (staged, manifest):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"left by a crash")
    before = read_tables(tenant.output, table_format="parquet")
    assert vacuum_table(tenant.tables, MESSAGES, retention(), dry_run=False).files == 0
    age_files(tenant.root)
    assert vacuum_table(tenant.tables, MESSAGES, retention(), dry_run=False).files == 1
    assert vacuum_beside_tables(tenant.tables, retention(), dry_run=False).files == 1
    assert not staged.exists()
    assert not manifest.exists()
    assert read_tables(tenant.output, table_format="parquet") == before


def test_what_killed_writes_left_on_a_local_disk_is_deleted(small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source)
    before = read_tables(tenant.output)
    names = (
        f"messages/date={DAY}/part.parquet#1",
        f"_receipts/{DAY}/run.json#12",
        f"messages/date={DAY}/part.parquet#x",
    )
    paths = [tenant.root / name for name in names]
    for path in paths:
        path.write_bytes(b"half a file")
    assert vacuum_beside_tables(tenant.tables, retention(), dry_run=False).files == 0  # a run may be writing them
    for path in paths:
        os.utime(path, (time.time() - FORTY_DAYS,) * 2)
    preview = vacuum_beside_tables(tenant.tables, retention(), dry_run=True)
    assert (preview.files, preview.bytes) == (2, 2 * len(b"half a file"))
    assert [path.exists() for path in paths] == [True, True, True]
    assert vacuum_beside_tables(tenant.tables, retention(), dry_run=False) == preview
    assert [path.exists() for path in paths] == [False, False, True]
    assert read_tables(tenant.output) == before


def test_old_log_entries_are_deleted_and_tokens_are_retained(small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source, buckets=(2, 1))
    before = read_tables(tenant.output)
    log = tenant.root / "messages/_delta_log"
    location = str(tenant.root / "messages")
    token = deltalake.DeltaTable(location).transaction_version(f"makoto-daily-batch/{DAY}")
    assert token == 2
    age_files(log)
    result = vacuum_table(tenant.tables, MESSAGES, retention(), dry_run=False)
    assert result.log_files == 2
    assert len(list(log.glob("*.json"))) == 1
    table = deltalake.DeltaTable(location)
    assert table.transaction_version(f"makoto-daily-batch/{DAY}") == token
    assert read_tables(tenant.output) == before
    # A later run continues from that token.
    tenant.run(small_source)
    assert deltalake.DeltaTable(location).transaction_version(f"makoto-daily-batch/{DAY}") == token + 1
    assert read_tables(tenant.output) == before


@pytest.mark.parametrize("table_format", ["delta", "parquet"])
def test_expired_days_are_deleted_from_tables_before_their_receipts(
    tmp_path: Path, small_source: Path, publish: Publish, table_format: str
) -> None:
    tenant = publish(small_source, table_format=table_format)
    later = date(2025, 8, 13)
    record = hostile_records(("remaining",))[0]
    assert isinstance(record, str)
    tenant.run(write_export(tmp_path / "in", [record.replace("2025-08-12", "2025-08-13")], day=later), later)
    keep = retention(keep_from=later)
    preview = [vacuum_table(tenant.tables, table, keep, dry_run=True).days for table in TABLES]
    assert preview == [1] * len(TABLES)
    assert read_tables(tenant.output, table_format=table_format, day=DAY)["messages"] != []
    assert [vacuum_table(tenant.tables, table, keep, dry_run=False).days for table in TABLES] == preview
    assert (tenant.root / f"_receipts/{DAY}").exists()
    assert vacuum_beside_tables(tenant.tables, keep, dry_run=False).files == 1
    assert list((tenant.root / f"_receipts/{DAY}").glob("*.json")) == []
    assert len(list((tenant.root / f"_receipts/{later}").glob("*.json"))) == 1
    expired_day = read_tables(tenant.output, table_format=table_format, day=DAY)
    assert {name: len(rows) for name, rows in expired_day.items()} == dict.fromkeys(expired_day, 0)
    remaining = read_tables(tenant.output, table_format=table_format, day=later)
    assert [len(remaining[name]) for name in ("messages", "rooms_daily", "users_daily", "summary_daily")] == [1] * 4
    assert vacuum_table(tenant.tables, MESSAGES, keep, dry_run=False).days == 0


@pytest.mark.long
@pytest.mark.each_spark
def test_spark_and_local_vacuum_delete_the_same_files(
    tmp_path: Path, small_source: Path, publish: Publish, spark: Any
) -> None:
    local, on_spark = (publish(small_source, name=name) for name in ("local", "on_spark"))
    keep = retention(keep_from=date(2025, 8, 13), retain_hours=24)
    for tenant in (local, on_spark):
        write_leftovers(tenant, "rooms_daily")
        age_files(tenant.root / "rooms_daily" / f"date={DAY}")
        (tenant.root / "rooms_daily" / f"date={DAY}" / "active.parquet").touch()
    engine = SparkMaintenance(spark, on_spark.tables)
    before = read_tables(local.output)
    expected = vacuum_table(local.tables, ROOMS_DAILY, retention(retain_hours=24), dry_run=True)
    assert engine.vacuum_table(ROOMS_DAILY, retention(retain_hours=24), dry_run=True) == expected
    results = [
        vacuum_table(local.tables, ROOMS_DAILY, retention(retain_hours=24), dry_run=False),
        engine.vacuum_table(ROOMS_DAILY, retention(retain_hours=24), dry_run=False),
    ]
    assert [(each.files, each.bytes) for each in results] == [(expected.files, expected.bytes)] * 2 == [(1, 15)] * 2
    assert read_tables(on_spark.output) == read_tables(local.output) == before
    expired = [
        vacuum_table(local.tables, ROOMS_DAILY, keep, dry_run=False).days,
        engine.vacuum_table(ROOMS_DAILY, keep, dry_run=False).days,
    ]
    assert expired == [1, 1]
    assert read_tables(on_spark.output)["rooms_daily"] == read_tables(local.output)["rooms_daily"] == []
    protocol = deltalake.DeltaTable(str(on_spark.root / "rooms_daily")).protocol()
    assert (protocol.min_reader_version, protocol.min_writer_version) == (1, 2)
