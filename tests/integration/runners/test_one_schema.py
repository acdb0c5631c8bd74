"""Test that all files of a table have the contract's physical schema: nullability never depends on a day's data.

fastparquet is not tested, because it is not a dependency of the tests.
"""

import json
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import deltalake
import duckdb
import pandas as pd
import polars as pl
import pyarrow.dataset
import pyarrow.parquet
import pytest

from daily_batch.domain.contract import TABLES, Table
from daily_batch.maintenance.compaction import compact_day, find_candidates
from daily_batch.maintenance.rewrite_files import make_spec_factory
from daily_batch.maintenance.spark import SparkMaintenance
from daily_batch.pipeline.runners.local import LocalRunner
from daily_batch.pipeline.runners.spark import SparkRunner
from tests.support.day_runs import DAY, run_day_with
from tests.support.maintenance_days import Tenant, write_export

FULL, SPARSE, EMPTY = DAY, DAY + timedelta(days=1), DAY + timedelta(days=2)
BODY: dict[str, Any] = {
    "attachments": [{"type": "t", "url": "u", "thumbnail": "t", "name": "n", "size": 1}],
    "generated_images": [{"url": "u", "thumbnail": "t", "prompt": "p", "size": "s", "style": "s"}],
    "context": {"rag_sources": [{"title": "t", "source": "s", "text": "t", "score": 0.5}]},
    "agent_info": {"mode": "m", "execution_time_ms": 1, "tokens_used": 2},
    "content": "c",
    "role": "User",  # gives the row a flag
    "more": 1,
}
PARTS: dict[str, Any] = {"attachments": [{}, None], "generated_images": [], "context": {"rag_sources": [{"score": 1}]}}


def record(day: date, user: str, number: int, **fields: Any) -> str:
    at = f"{day}T03:00:0{number}Z"
    return json.dumps(
        {"message_id": f"{user}-{number}", "room_id": f"room{number}", "user_id": user, "timestamp": at} | fields
    )


def records_of(day: date) -> list[str | bytes]:
    """Return a day's records: with every field, with as few fields as allowed, or none."""
    if day == EMPTY:
        return []
    users = ("anna", "ben")
    bodies = (BODY, BODY, BODY) if day == FULL else ({}, PARTS, {"content": None, "attachments": None})
    rows = [record(day, user, number, **body) for user in users for number, body in enumerate(bodies)]
    return [*rows, record(day, "ben", 9, content="\ud800", room_id="room1"), "{broken"]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("days")
    for day in (FULL, SPARSE, EMPTY):
        write_export(folder, records_of(day), day=day)
    return folder


def files_by_schema(root: Path, table: Table) -> dict[str, list[str]]:
    """Return the files of a table by the text of their Parquet schema."""
    schemas: dict[str, list[str]] = {}
    for path in sorted((root / table.name).rglob("*.parquet")):
        if "_delta_log" not in path.parts:
            text = str(pyarrow.parquet.ParquetFile(path).schema).partition("\n")[2]
            schemas.setdefault(text, []).append(path.name)
    return schemas


def assert_one_schema(roots: list[Path], *, omitted: frozenset[str] = frozenset()) -> None:
    """Assert that all files of each table below the roots have one schema, in which every field is nullable."""
    for table in TABLES:
        schemas = {text: files for root in roots for text, files in files_by_schema(root, table).items()}
        assert len(schemas) == 1, schemas
        (text,) = schemas
        assert [line for line in text.splitlines()[1:] if "required" in line.split()] == []
        columns = [line.rstrip(";").split()[3] for line in text.splitlines() if line.startswith("  optional")]
        assert columns == [column.name for column in table.columns if column.name not in omitted]


@pytest.mark.parametrize("table_format", ["delta", "parquet"])
def test_both_runners_write_one_schema_with_and_without_nulls(
    source: Path, spark: Any, tmp_path: Path, table_format: str
) -> None:
    for runner in (LocalRunner(), SparkRunner(spark)):
        for day in (FULL, SPARSE, EMPTY):
            output = tmp_path / runner.name
            run_day_with(runner, input=source, output=output, day=day, table_format=table_format, buckets=2)
    # Delta stores the partition value in the log, not in the files.
    omitted = frozenset({"date"} if table_format == "delta" else ())
    assert_one_schema([tmp_path / name / "acme/analytics" for name in ("local", "spark")], omitted=omitted)


def test_every_delta_field_is_nullable(source: Path, tmp_path: Path) -> None:
    run_day_with(LocalRunner(), input=source, output=tmp_path)
    for table in TABLES:
        nullable = list(nullability_of(json.loads(open_delta(tmp_path, table).schema().to_json())))
        assert len(nullable) >= len(table.columns)
        assert all(nullable)


@pytest.mark.parametrize("table_format", ["delta", "parquet"])
def test_compaction_and_erasure_write_the_same_schema(source: Path, tmp_path: Path, table_format: str) -> None:
    tenant = Tenant(tmp_path / "out", table_format=table_format)
    for day in (FULL, SPARSE, EMPTY):
        tenant.run(source, day, buckets=3)
    before = data_files(tenant.root)
    make_spec = make_spec_factory(tenant.settings(), tenant="acme", table_format="delta")
    candidates = find_candidates(tenant.tables, before=EMPTY, target_bytes=2**27) if table_format == "delta" else []
    assert bool(candidates) == (table_format == "delta")
    for each in candidates:
        compact_day(each, tenant.tables, make_spec)
    compacted = data_files(tenant.root)
    omitted = frozenset({"date"} if table_format == "delta" else ())
    assert_one_schema([tenant.root], omitted=omitted)
    tenant.erase("user", "anna")
    assert before < compacted if candidates else before == compacted
    assert data_files(tenant.root) - compacted
    assert_one_schema([tenant.root], omitted=omitted)


@pytest.mark.long
@pytest.mark.each_spark
def test_spark_compaction_and_deletion_write_the_same_columns(source: Path, tmp_path: Path, spark: Any) -> None:
    tenant = Tenant(tmp_path / "out")
    for day in (FULL, SPARSE):
        tenant.run(source, day, buckets=3)
    table = tenant.root / "messages"
    (before,) = {columns_of(path) for path in table.rglob("date=*/*.parquet")}
    engine = SparkMaintenance(spark, tenant.tables)
    for each in find_candidates(tenant.tables, before=EMPTY, target_bytes=2**27):
        engine.compact_day(each)
    assert {columns_of(path) for path in table.rglob("date=*/*.parquet")} == {before}
    tenant.erase("user", "anna", choose_deleter=lambda size: engine.delete_rows)
    assert {columns_of(path) for path in table.rglob("date=*/*.parquet")} == {before}


@pytest.mark.parametrize("table_format", ["delta", "parquet"])
def test_every_reader_reads_the_days_as_one_dataset(
    source: Path, tmp_path: Path, spark: Any, table_format: str
) -> None:
    for day in (FULL, SPARSE, EMPTY):
        run_day_with(LocalRunner(), input=source, output=tmp_path, day=day, table_format=table_format, buckets=2)
    for table in TABLES:
        root = tmp_path / "acme/analytics" / table.name
        rows = sum(pyarrow.parquet.read_metadata(path).num_rows for path in root.rglob("*.parquet"))
        files = [str(path) for path in sorted(root.rglob("*.parquet"))]
        name = table.names[1]
        counts = {
            "pyarrow": pyarrow.dataset.dataset(files).to_table().num_rows,
            "pyarrow, a folder": pyarrow.dataset.dataset(root, partitioning="hive").to_table().num_rows,
            "pandas": len(pd.read_parquet(root, engine="pyarrow", columns=[name])),
            "pandas, all columns": sum(1 for _ in pd.read_parquet(files, engine="pyarrow", partitioning=None).index),
            "polars": pl.read_parquet(files).height,
            "duckdb": len(duckdb.sql(f"FROM read_parquet({files})").fetchall()),
            "spark": len(spark.read.parquet(*files).collect()),
        }
        if table_format == "delta":
            counts["delta-rs"] = open_delta(tmp_path, table).to_pyarrow_table().num_rows
            counts["spark, delta"] = len(spark.read.format("delta").load(str(root)).collect())
        assert counts == dict.fromkeys(counts, rows)
        assert rows > 0


def open_delta(output: Path, table: Table) -> deltalake.DeltaTable:
    return deltalake.DeltaTable(str(output / "acme/analytics" / table.name))


def nullability_of(schema: Any) -> Iterator[bool]:
    """Yield every `nullable` and `containsNull` of a Delta schema."""
    for name, value in schema.items() if isinstance(schema, dict) else enumerate(schema):
        if name in ("nullable", "containsNull"):
            yield value
        elif isinstance(value, dict | list):
            yield from nullability_of(value)


def data_files(root: Path) -> set[Path]:
    return {path for path in root.rglob("*.parquet") if "_delta_log" not in path.parts}


def columns_of(path: Path) -> tuple[object, ...]:
    """Return names, types, nullability and codecs, without the root's name and the annotations of integers."""
    file = pyarrow.parquet.ParquetFile(path)
    columns = [(file.schema.column(at), file.metadata.row_group(0).column(at)) for at in range(len(file.schema))]
    return (
        *(f"{field.name}: {field.type}, {field.nullable}" for field in file.schema_arrow),
        *(
            (leaf.path, leaf.physical_type, leaf.max_definition_level, leaf.max_repetition_level, chunk.compression)
            for leaf, chunk in columns
        ),
    )
