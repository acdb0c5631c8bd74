"""Test that both runners publish the same rows of a large day as Delta and as Parquet, with the expected counts."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import deltalake
import duckdb
import pytest

from daily_batch.domain.contract import TABLES, Table
from daily_batch.domain.receipt import Receipt
from daily_batch.pipeline.runners import spark as spark_runner
from daily_batch.pipeline.runners.local import LocalRunner
from daily_batch.pipeline.runners.spark import SparkRunner
from daily_batch.synthetic import FaultRates, generate
from tests.support.assert_days_equal import assert_equal_receipts
from tests.support.day_runs import RUN_COLUMNS, read_truth, run_day_with

pytestmark = pytest.mark.long  # test_spark.py compares small days

# A quarter of the rich rates: every fault occurs thousands of times, and the fast path still parses most records.
RATES = FaultRates(**{each.name: getattr(FaultRates.rich(), each.name) / 4 for each in fields(FaultRates)})
EXPORT, MESSAGES = "acme", "globex"
OTHERS = ["local parquet", "spark delta", "spark parquet", "spark delta in parts", "spark parquet in parts"]


class CompletedRun(NamedTuple):
    """A run's receipt, and each table as an SQL query."""

    receipt: Receipt
    tables: dict[str, str]


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generate an export of 200,000 messages and 5,000 objects of one message each."""
    out = tmp_path_factory.mktemp("generated")
    generate(messages=200_000, layout="export", seed=41, out=out, tenant=EXPORT, rates=RATES, files=12)
    generate(messages=5_000, layout="messages", seed=42, out=out, tenant=MESSAGES, rates=FaultRates.rich())
    return out


@pytest.fixture(scope="module", params=[EXPORT, MESSAGES])
def tenant(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def runs(generated: Path, tenant: str, spark: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, CompletedRun]:
    """Run the day on each runner in each format, each time with another number of buckets, and merged in parts."""
    runs = {}
    variants = [(runner, fmt, 0) for runner in (LocalRunner(), SparkRunner(spark)) for fmt in ("delta", "parquet")]
    variants += [(SparkRunner(spark), fmt, 4) for fmt in ("delta", "parquet")]
    for buckets, (runner, table_format, parts) in enumerate(variants, start=2):
        output = tmp_path_factory.mktemp("published")
        arguments = {"tenant": tenant, "table_format": table_format, "buckets": buckets}
        with merged_in(parts) if parts else nullcontext():
            receipt = run_day_with(runner, input=generated, output=output, **arguments)
        tables = {table.name: read_as_sql(output / tenant / "analytics", table, table_format) for table in TABLES}
        name = f"{runner.name} {table_format}" + (" in parts" if parts else "")
        runs[name] = CompletedRun(receipt, tables)
    return runs


def merged_in(parts: int) -> AbstractContextManager[object]:
    """Merge each day on Spark in parts, as if it had that many messages."""
    return patch.object(spark_runner, "count_merges", lambda _: parts)


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("table", TABLES, ids=[table.name for table in TABLES])
def test_every_run_publishes_the_same_rows(runs: dict[str, CompletedRun], other: str, table: Table) -> None:
    first, second = runs["local delta"].tables[table.name], runs[other].tables[table.name]
    assert column_types(second) == column_types(first)
    assert count_rows(first) == count_rows(second) > 0
    assert differing_columns(first, second, table.names) == []
    for column in table.columns:
        if column.required and column.name not in RUN_COLUMNS:
            assert count_rows(f"FROM ({first}) WHERE {column.name} IS NULL") == 0, column.name


def test_difference_in_a_list_of_structs_is_detected() -> None:
    rows = "SELECT unnest([1, 1, 2]) AS a, [{'name': 'x'}] AS b"
    assert differing_columns(rows, f"FROM ({rows}) ORDER BY a DESC", ["a", "b"]) == []
    other = f"SELECT a, CASE a WHEN 2 THEN [{{'name': 'y'}}] ELSE b END AS b FROM ({rows})"
    assert differing_columns(rows, other, ["a", "b"]) == ["b"]
    assert differing_columns(rows, f"SELECT DISTINCT * FROM ({rows})", ["a", "b"]) == ["a", "b"]


def test_aggregates_of_a_day_in_parts_are_in_several_files(runs: dict[str, CompletedRun]) -> None:
    for table, files in (("rooms_daily", 4), ("users_daily", 4), ("summary_daily", 1)):
        assert runs["spark delta in parts"].receipt.tables[table].files == files
        assert runs["spark delta"].receipt.tables[table].files == 1


@pytest.mark.parametrize("name", ["local delta", *OTHERS])
def test_every_run_reports_the_expected_counts(
    runs: dict[str, CompletedRun], generated: Path, tenant: str, name: str
) -> None:
    truth, receipt = read_truth(generated, tenant), runs[name].receipt
    assert_equal_receipts(receipt, runs["local delta"].receipt)
    assert asdict(receipt.records) == truth["records"]
    assert (receipt.objects.listed, receipt.objects.unreadable) == tuple(truth["objects"].values())
    assert (receipt.rejects, receipt.flags) == (truth["rejects"], truth["flags"])
    assert receipt.tables["messages"].rows == count_rows(runs[name].tables["messages"])
    assert receipt.tables["rejects"].rows == count_rows(runs[name].tables["rejects"])
    (summary,) = duckdb.sql(runs[name].tables["summary_daily"]).to_arrow_table().to_pylist()
    assert (summary["unique_rooms"], summary["unique_users"]) == (truth["rooms"], truth["users"])
    assert summary["messages_by_hour"] == truth["by_hour"]
    assert {str(each["role"]): each["messages"] for each in summary["messages_by_role"]} == truth["by_role"]
    for total in ("total_length", "tokens_used", "attachments"):
        assert summary[total] == truth[total], total


def read_as_sql(folder: Path, table: Table, table_format: str) -> str:
    """Return a query of the table's rows, without the columns that differ between runs."""
    delta = table_format == "delta"
    files = (
        [uri.removeprefix("file://") for uri in deltalake.DeltaTable(str(folder / table.name)).file_uris()]
        if delta
        else sorted(str(path) for path in (folder / table.name).rglob("*.parquet"))
    )
    columns = ", ".join(name for name in table.names if name not in RUN_COLUMNS)
    return f"SELECT {columns} FROM read_parquet({files}, hive_partitioning = {delta})"


def column_types(rows: str) -> list[tuple[str, str]]:
    relation = duckdb.sql(rows)
    return [(name, str(kind)) for name, kind in zip(relation.columns, relation.types, strict=True)]


def count_rows(rows: str) -> int:
    ((count,),) = duckdb.sql(f"SELECT count(*) FROM ({rows})").fetchall()
    return int(count)


def differing_columns(first: str, second: str, columns: Sequence[str]) -> list[str]:
    """Return the columns whose values differ, `rows` if only combinations of values differ, or nothing."""
    if not any(count_rows(f"FROM ({one}) EXCEPT ALL FROM ({two})") for one, two in ((first, second), (second, first))):
        return []
    names = [name for name in columns if name not in RUN_COLUMNS]
    differing = [
        name for name in names if count_rows(f"SELECT {name} FROM ({first}) EXCEPT ALL SELECT {name} FROM ({second})")
    ]
    return differing or ["rows"]
