"""Vacuum: what nobody needs goes, what a reader or a run may need stays."""

import os
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import deltalake
import pytest

from daily_batch.domain.contract import MESSAGES, REJECTS, ROOMS_DAILY, TABLES
from daily_batch.errors import UsageError
from daily_batch.maintenance.spark import SparkUpkeep
from daily_batch.maintenance.vacuum import Rules, Swept, keep_as_told, sweep_beside, sweep_table
from tests.support.day_runs import DAY, read_tables
from tests.support.maintenance_days import Publish, Tenant, hostile_records, write_export

AGES = 40 * 86_400


def rules(**more: Any) -> Rules:
    return Rules(now=datetime.now(UTC), **more)


def age(folder: Path, seconds: int = AGES) -> None:
    """Make everything below a folder as old as that."""
    then = time.time() - seconds
    for path in folder.rglob("*"):
        os.utime(path, (then, then))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*.parquet") if "_delta_log" not in path.parts}


def left_over(tenant: Tenant, table: str = "messages") -> tuple[Path, Path]:
    """A file that no commit names, old, and one that is young."""
    folder = tenant.root / table / f"date={DAY}"
    old, young = folder / "crashed.parquet", folder / "at-work.parquet"
    old.write_bytes(b"left by a crash")
    young.write_bytes(b"not committed yet")
    then = time.time() - AGES
    os.utime(old, (then, then))
    return old, young


def test_what_a_crash_left_goes_and_what_a_run_is_writing_stays(small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source, buckets=(2, 1))
    old, young = left_over(tenant)
    seen = sweep_table(tenant.tables, MESSAGES, rules(), dry_run=True)
    assert seen == Swept(table="messages", files=1, bytes=len(b"left by a crash"))
    assert old.exists()
    done = sweep_table(tenant.tables, MESSAGES, rules(), dry_run=False)
    assert (done.files, done.bytes) == (seen.files, seen.bytes)
    assert (old.exists(), young.exists()) == (False, True)
    # The first run's files are young: a reader may still be in that version.
    assert len(names(tenant.root / "messages")) == 4


def test_a_table_that_asks_for_longer_is_kept_as_long_unless_a_person_says_otherwise(
    small_source: Path, publish: Publish
) -> None:
    tenant = publish(small_source)
    usual = rules()
    assert keep_as_told(tenant.tables, MESSAGES, usual) == usual
    table = deltalake.DeltaTable(str(tenant.root / "messages"))
    table.alter.set_table_properties({"delta.deletedFileRetentionDuration": "interval 30 days"})
    assert keep_as_told(tenant.tables, MESSAGES, usual).retain_hours == 30 * 24
    assert keep_as_told(tenant.tables, REJECTS, usual) == usual
    assert sweep_table(tenant.tables, MESSAGES, usual, dry_run=False).files == 0


def test_less_than_a_run_may_take_is_refused() -> None:
    with pytest.raises(UsageError, match="23 hours are less than a run may take"):
        rules(retain_hours=23)


def test_a_table_that_is_not_there_is_no_error(tmp_path: Path) -> None:
    tenant = Tenant(tmp_path / "out")
    assert sweep_table(tenant.tables, MESSAGES, rules(), dry_run=False) == Swept(table="messages")
    assert not tenant.root.exists()


def test_days_in_plain_parquet_beside_a_delta_table_are_no_orphans(small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source)
    plain = tenant.root / "messages/year=2024/month=08/day=12/run1.parquet"
    plain.parent.mkdir(parents=True)
    plain.write_bytes(b"published before the format was changed")
    age(tenant.root)
    sweep_table(tenant.tables, MESSAGES, rules(), dry_run=False)
    assert plain.exists()


def test_what_waits_to_be_published_goes_when_it_is_old(small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source, table_format="parquet")
    staged = tenant.root / "messages/_staging/2025-08-11/crashed.parquet"
    manifest = tenant.root / "_staging/run1-abc/chunk-0.json"
    for path in (staged, manifest):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"left by a crash")
    before = read_tables(tenant.output, table_format="parquet")
    assert sweep_table(tenant.tables, MESSAGES, rules(), dry_run=False).files == 0
    age(tenant.root)
    assert sweep_table(tenant.tables, MESSAGES, rules(), dry_run=False).files == 1
    assert sweep_beside(tenant.tables, rules(), dry_run=False).files == 1
    assert not staged.exists()
    assert not manifest.exists()
    assert read_tables(tenant.output, table_format="parquet") == before


def test_old_log_entries_go_and_days_and_tokens_stay(small_source: Path, publish: Publish) -> None:
    tenant = publish(small_source, buckets=(2, 1))
    before = read_tables(tenant.output)
    log = tenant.root / "messages/_delta_log"
    place = str(tenant.root / "messages")
    token = deltalake.DeltaTable(place).transaction_version(f"makoto-daily-batch/{DAY}")
    assert token == 2
    age(log)
    swept = sweep_table(tenant.tables, MESSAGES, rules(), dry_run=False)
    assert swept.log_files == 2
    assert len(list(log.glob("*.json"))) == 1
    table = deltalake.DeltaTable(place)
    assert table.transaction_version(f"makoto-daily-batch/{DAY}") == token
    assert read_tables(tenant.output) == before
    # A later run goes on from that token.
    tenant.run(small_source)
    assert deltalake.DeltaTable(place).transaction_version(f"makoto-daily-batch/{DAY}") == token + 1
    assert read_tables(tenant.output) == before


@pytest.mark.parametrize("table_format", ["delta", "parquet"])
def test_days_beyond_the_retention_go_from_every_table_and_their_receipts_last(
    tmp_path: Path, small_source: Path, publish: Publish, table_format: str
) -> None:
    tenant = publish(small_source, table_format=table_format)
    later = date(2025, 8, 13)
    record = hostile_records(("kept",))[0]
    assert isinstance(record, str)
    tenant.run(write_export(tmp_path / "in", [record.replace("2025-08-12", "2025-08-13")], day=later), later)
    keep = rules(keep_from=later)
    seen = [sweep_table(tenant.tables, table, keep, dry_run=True).days for table in TABLES]
    assert seen == [1] * 5
    assert read_tables(tenant.output, table_format=table_format, day=DAY)["messages"] != []
    assert [sweep_table(tenant.tables, table, keep, dry_run=False).days for table in TABLES] == seen
    assert (tenant.root / f"_receipts/{DAY}").exists()
    assert sweep_beside(tenant.tables, keep, dry_run=False).files == 1
    assert list((tenant.root / f"_receipts/{DAY}").glob("*.json")) == []
    assert len(list((tenant.root / f"_receipts/{later}").glob("*.json"))) == 1
    gone = read_tables(tenant.output, table_format=table_format, day=DAY)
    assert {name: len(rows) for name, rows in gone.items()} == dict.fromkeys(gone, 0)
    left = read_tables(tenant.output, table_format=table_format, day=later)
    assert [len(left[name]) for name in ("messages", "rooms_daily", "users_daily", "summary_daily")] == [1] * 4
    assert sweep_table(tenant.tables, MESSAGES, keep, dry_run=False).days == 0


@pytest.mark.each_spark
def test_spark_sweeps_what_this_process_sweeps(
    tmp_path: Path, small_source: Path, publish: Publish, spark: Any
) -> None:
    here, there = (publish(small_source, name=name) for name in ("here", "there"))
    keep = rules(keep_from=date(2025, 8, 13), retain_hours=24)
    for tenant in (here, there):
        left_over(tenant, "rooms_daily")
        age(tenant.root / "rooms_daily" / f"date={DAY}")
        (tenant.root / "rooms_daily" / f"date={DAY}" / "at-work.parquet").touch()
    engine = SparkUpkeep(spark, there.tables)
    before = read_tables(here.output)
    wanted = sweep_table(here.tables, ROOMS_DAILY, rules(retain_hours=24), dry_run=True)
    assert engine.sweep_table(ROOMS_DAILY, rules(retain_hours=24), dry_run=True) == wanted
    swept = [
        sweep_table(here.tables, ROOMS_DAILY, rules(retain_hours=24), dry_run=False),
        engine.sweep_table(ROOMS_DAILY, rules(retain_hours=24), dry_run=False),
    ]
    assert [(each.files, each.bytes) for each in swept] == [(wanted.files, wanted.bytes)] * 2 == [(1, 15)] * 2
    assert read_tables(there.output) == read_tables(here.output) == before
    expired = [
        sweep_table(here.tables, ROOMS_DAILY, keep, dry_run=False).days,
        engine.sweep_table(ROOMS_DAILY, keep, dry_run=False).days,
    ]
    assert expired == [1, 1]
    assert read_tables(there.output)["rooms_daily"] == read_tables(here.output)["rooms_daily"] == []
    protocol = deltalake.DeltaTable(str(there.root / "rooms_daily")).protocol()
    assert (protocol.min_reader_version, protocol.min_writer_version) == (1, 2)
