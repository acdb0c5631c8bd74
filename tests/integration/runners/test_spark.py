"""Test that the Spark runner and the local runner publish equal tables with any chunks and buckets."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from chispa import assert_df_equality

from daily_batch.domain.contract import TABLES
from daily_batch.domain.receipt import Receipt
from daily_batch.errors import RetryableError
from daily_batch.pipeline.discover import discover
from daily_batch.pipeline.runners import spark as spark_runner
from daily_batch.pipeline.runners.local import LocalRunner
from daily_batch.pipeline.runners.spark import SparkRunner
from daily_batch.pipeline.runners.spark_tasks import sanitized
from daily_batch.synthetic import FaultRates, generate
from tests.support.assert_days_equal import comparable_receipt
from tests.support.day_runs import (
    SAMPLES,
    Tables,
    read_tables,
    read_truth,
    run_day_with,
    run_local,
)

pytestmark = pytest.mark.each_spark
RATES = FaultRates.rich()


class Day(NamedTuple):
    """An input, its expected counts, and the receipt, tables and output of the local runner."""

    source: Path
    tenant: str
    truth: dict[str, Any]
    receipt: Receipt
    tables: Tables
    output: Path


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generate an export of 20,000 messages in 12 files, and 3,000 objects of one message each."""
    out = tmp_path_factory.mktemp("generated")
    generate(messages=20_000, layout="export", seed=7, out=out, tenant="initech", rates=RATES, files=12)
    # Only the messages layout has names in paths, and objects of adjacent days.
    generate(messages=3_000, layout="messages", seed=8, out=out, tenant="umbrella", rates=RATES)
    return out


@pytest.fixture(scope="module", autouse=True)
def small_chunks() -> Iterator[None]:
    """Shrink chunks so that small days have many tasks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(discover, "CHUNK_OBJECTS", 400)
        patch.setattr(discover, "CHUNK_BYTES", 500_000)
        yield


@pytest.fixture(scope="module", params=["acme", "globex", "initech", "umbrella"])
def day(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Day:
    tenant: str = request.param
    source: Path = SAMPLES if tenant in ("acme", "globex") else request.getfixturevalue("generated")
    output = tmp_path_factory.mktemp(f"local-{tenant}")
    receipt = run_local(input=source, output=output, tenant=tenant)
    return Day(source, tenant, read_truth(source, tenant), receipt, read_tables(output, tenant=tenant), output)


@pytest.fixture(scope="module")
def by_spark(spark: Any, day: Day, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Receipt]:
    """Publish the same day as Delta on Spark, with another number of buckets."""
    output = tmp_path_factory.mktemp(f"spark-{day.tenant}")
    return output, run_day_with(SparkRunner(spark), input=day.source, output=output, tenant=day.tenant, buckets=5)


def test_spark_and_local_delta_tables_are_equal(day: Day, by_spark: tuple[Path, Receipt]) -> None:
    output, receipt = by_spark
    tables = read_tables(output, tenant=day.tenant)
    for table in TABLES:
        assert tables[table.name] == day.tables[table.name], table.name
    assert comparable_receipt(receipt) == comparable_receipt(day.receipt)


def test_spark_and_local_parquet_tables_are_equal(spark: Any, day: Day, tmp_path: Path) -> None:
    arguments = {"tenant": day.tenant, "table_format": "parquet"}
    receipt = run_day_with(SparkRunner(spark), input=day.source, output=tmp_path, **arguments)
    tables = read_tables(tmp_path, **arguments)
    for table in TABLES:
        assert tables[table.name] == day.tables[table.name], table.name
    assert comparable_receipt(receipt) == comparable_receipt(day.receipt)


@pytest.mark.parametrize("buckets", [3, 17])
def test_number_of_buckets_does_not_change_the_tables(day: Day, buckets: int, tmp_path: Path) -> None:
    run_local(input=day.source, output=tmp_path, tenant=day.tenant, buckets=buckets)
    assert read_tables(tmp_path, tenant=day.tenant) == day.tables


def test_counts_match_the_generated_truth(day: Day) -> None:
    records = asdict(day.receipt.records)
    assert records == day.truth["records"]
    assert {name: getattr(day.receipt.objects, name) for name in day.truth["objects"]} == day.truth["objects"]
    assert day.receipt.rejects == day.truth["rejects"]
    assert day.receipt.flags == day.truth["flags"]
    (summary,) = day.tables["summary_daily"]
    assert summary["messages"] == records["written"]
    assert (summary["unique_rooms"], summary["unique_users"]) == (day.truth["rooms"], day.truth["users"])
    assert summary["messages_by_hour"] == day.truth["by_hour"]
    assert {each["role"]: each["messages"] for each in summary["messages_by_role"]} == day.truth["by_role"]
    for name in ("total_length", "tokens_used", "attachments"):
        assert summary[name] == day.truth[name], name


@pytest.mark.parametrize("day", ["globex"], indirect=True)
@pytest.mark.parametrize("table_format", ["delta", "parquet"])
def test_each_runner_replaces_a_day_that_the_other_published(
    spark: Any, day: Day, table_format: str, tmp_path: Path
) -> None:
    arguments = {"tenant": day.tenant, "table_format": table_format}
    for turn, runner in enumerate((SparkRunner(spark), LocalRunner(), SparkRunner(spark)), start=1):
        receipt = run_day_with(runner, input=day.source, output=tmp_path, buckets=turn, **arguments)
        expected = turn if table_format == "delta" else None
        assert {counts.version for counts in receipt.tables.values()} == {expected}
        assert read_tables(tmp_path, **arguments) == day.tables


@pytest.mark.parametrize("day", ["acme", "initech"], indirect=True)
def test_spark_reads_the_tables_of_either_runner(spark: Any, day: Day, by_spark: tuple[Path, Receipt]) -> None:
    for table in TABLES:
        local, other = (
            spark.read.format("delta").load(f"{output}/{day.tenant}/analytics/{table.name}")
            for output in (day.output, by_spark[0])
        )
        assert local.columns == list(table.names)
        assert_df_equality(without_run(local, table.names), without_run(other, table.names), ignore_row_order=True)


def test_unexpected_worker_error_is_logged_without_its_text(
    spark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "message-content"

    def failing(batches: Any, *, spec: Any, storage: Any) -> Iterator[Any]:
        yield from ()
        raise ValueError(secret)

    monkeypatch.setattr(spark_runner, "map_chunks", sanitized(failing))
    with pytest.raises(RetryableError, match="tenant=globex day=2025-08-12") as failure:
        run_day_with(SparkRunner(spark), input=SAMPLES, output=tmp_path, tenant="globex")
    logged = f"{failure.value}{failure.value.__cause__}"
    assert "ValueError at test_spark.py:" in logged
    assert secret not in logged


def without_run(frame: Any, columns: Sequence[str]) -> Any:
    return frame.select(*(name for name in columns if name not in ("run_id", "processed_at")))


def test_rows_that_a_task_could_not_hold_in_memory_are_published(spark: Any, tmp_path: Path) -> None:
    truth = generate(messages=30_000, layout="export", seed=9, out=tmp_path / "in", rates=FaultRates.none(), files=1)
    # The object's 20 MB of text are more than a task keeps of this memory, so its rows cross the shuffle as files.
    receipt = run_day_with(SparkRunner(spark), input=tmp_path / "in", output=tmp_path / "out", memory_bytes=64 * 2**20)
    assert receipt.records.written == truth.records["written"] == 30_000
    run_local(input=tmp_path / "in", output=tmp_path / "local")
    assert read_tables(tmp_path / "out") == read_tables(tmp_path / "local")
