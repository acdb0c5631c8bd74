"""Receipts as a table: the views of each engine have a row for each run, and the last run of each day.

Athena and Synapse do not run locally: sqlglot translates their views to DuckDB, which reads a run's real receipts.
"""

import json
import uuid
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import duckdb
import pytest
import sqlglot
from sqlglot import exp

from daily_batch.catalog import Engine
from daily_batch.catalog.ddl import make_statements
from daily_batch.catalog.receipts import COLUMNS
from daily_batch.catalog.target import Target
from daily_batch.catalog.unity import name_schema
from daily_batch.domain.url import parse_url
from tests.support import day_runs
from tests.support.adversarial_day import line
from tests.support.day_runs import DAY, NOW, run_local

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Row = dict[str, Any]
LAKES: dict[Engine, str] = {"athena": "s3://tables", "synapse": "abfss://tables@account.dfs.core.windows.net"}
DIALECTS = {"athena": "athena", "synapse": "tsql"}
# The runs, by day and minutes after the first: the second day ran three times, in this order of their times.
RUNS = [(DAY, 0), (DAY + timedelta(days=1), 30), (DAY + timedelta(days=1), 10), (DAY + timedelta(days=1), 20)]


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Publish the runs: with a rejected record, unknown fields, and a folder whose name needs no escape in JSON."""
    folder = tmp_path_factory.mktemp("履歴")
    for day, _ in RUNS:
        source = folder / f"in/acme/exports/messages/{day:%Y/%m/%d}"
        source.mkdir(parents=True, exist_ok=True)
        sent = line(timestamp=f"{day}T01:02:03Z", client={"v": 1}, **{"a b": 2})
        (source / "part").write_bytes(sent + b"\nno JSON\n")
    for day, minutes in RUNS:
        with patch.object(day_runs, "NOW", NOW + timedelta(minutes=minutes)):
            run_local(input=folder / "in", output=folder / "out", day=day)
    return folder / "out"


def read_receipts(output: Path) -> list[Row]:
    return [json.loads(path.read_text()) for path in sorted(output.glob("acme/analytics/_receipts/*/*.json"))]


def expect(output: Path) -> list[Row]:
    """Return the rows of the receipts, without the texts of JSON."""
    rows = []
    for receipt in read_receipts(output):
        row = {name: receipt[name] for name in ("tenant", "run_id", "status", "runner", "format", "layout", "input")}
        row |= {f"{group}_{name}": n for group in ("objects", "records") for name, n in receipt[group].items()}
        rows.append(
            {
                **row,
                "date": date.fromisoformat(receipt["date"]),
                "processed_at": datetime.fromisoformat(receipt["processed_at"]),
                "seconds": receipt["seconds"]["total"],
                "messages_version": receipt["tables"]["messages"]["version"],
                "other_unknown_fields": 1,
                "fingerprint": receipt["fingerprint"],
                "rejects": {"invalid_json": 1},
                "flags": receipt["flags"],
                "unknown_fields": {"client": 1},
                "quality": receipt["quality"],
                "erased": None,
            }
        )
    assert len(rows) == len(RUNS)
    return rows


def assert_rows(found: list[Row], expected: list[Row]) -> None:
    """Assert equal rows, in any order; timestamps are instants."""
    for row in found:
        assert list(row) == [column.name for column in COLUMNS]
        for column in COLUMNS:
            if column.is_json:
                row[column.name] = json.loads(row[column.name]) if row[column.name] is not None else None
        row["processed_at"] = row["processed_at"].timestamp()
        row["seconds"] = round(row["seconds"], 3)  # sqlglot takes Synapse's FLOAT for a short one
    wanted = [{**row, "processed_at": row["processed_at"].timestamp()} for row in expected]
    assert sorted(found, key=lambda row: row["run_id"]) == sorted(wanted, key=lambda row: row["run_id"])


def last_runs(rows: list[Row]) -> list[Row]:
    """Return the last run of each day: the order of the run ids is not that of the runs."""
    assert max(row["run_id"] for row in rows[1:]) != max(rows[1:], key=lambda row: row["processed_at"])["run_id"]
    return [rows[0], max(rows[1:], key=lambda row: row["processed_at"])]


def target(output: str, *, catalog: str = "main.chat") -> Target:
    return Target(tenant="acme", output=parse_url(output), table_format="delta", catalog=catalog)


@pytest.fixture
def database(output: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database whose table `lines` has each line of the receipts."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("CREATE TABLE lines (line VARCHAR)")
        for path in output.glob("acme/analytics/_receipts/*/*.json"):
            connection.executemany("INSERT INTO lines VALUES (?)", [[text] for text in path.read_text().splitlines()])
        yield connection


def translate(statement: str, dialect: str) -> tuple[str, str]:
    """Return the name of a view and its query in DuckDB's SQL."""
    name = "latest_runs" if "latest_runs" in statement.partition(" AS\n")[0] else "receipts"
    query = statement.partition(" AS\n")[2]
    if "OPENROWSET" in query:  # which sqlglot does not parse
        query = f"{query.partition('FROM OPENROWSET')[0]} FROM lines"
    parsed = sqlglot.parse_one(query, dialect=dialect)
    for table in parsed.find_all(exp.Table):
        table.replace(exp.to_table({"receipt_lines": "lines"}.get(table.name, table.name)))
    return name, parsed.sql(dialect="duckdb")


@pytest.mark.parametrize("engine", LAKES)
def test_views_translated_to_duckdb_have_every_run_and_the_last_of_each_day(
    engine: Engine, output: Path, database: duckdb.DuckDBPyConnection
) -> None:
    *_, receipts, latest_runs = make_statements(engine, target(LAKES[engine]))
    for statement in (receipts, latest_runs):
        name, query = translate(statement, DIALECTS[engine])
        database.execute(f"CREATE VIEW {name} AS {query}")
    rows = "SELECT * REPLACE (CAST(processed_at AS TIMESTAMPTZ) AS processed_at) FROM"  # Synapse's have no zone
    every = database.sql(f"{rows} receipts").fetchall()
    names = [column.name for column in COLUMNS]
    expected = expect(output)
    assert_rows([dict(zip(names, row, strict=True)) for row in every], expected)
    last = database.sql(f"{rows} latest_runs").fetchall()
    assert_rows([dict(zip(names, row, strict=True)) for row in last], last_runs(expected))


@pytest.mark.long
def test_spark_reads_the_views_of_databricks_and_sees_later_runs(
    spark: "SparkSession", output: Path, tmp_path: Path
) -> None:
    prefix = f"h{uuid.uuid4().hex[:8]}"
    statements = make_statements("databricks", target(str(output), catalog=f"spark_catalog.{prefix}"))
    schema = name_schema(f"spark_catalog.{prefix}", "acme")
    try:
        for statement in (statements[0], *statements[-2:]):
            spark.sql(statement)
        expected = expect(output)
        assert_rows([row.asDict() for row in spark.table(f"{schema}.receipts").collect()], expected)
        assert_rows([row.asDict() for row in spark.table(f"{schema}.latest_runs").collect()], last_runs(expected))
        (path,) = output.glob(f"acme/analytics/_receipts/{DAY}/*.json")
        later = path.with_name("later.json")
        later.write_text(json.dumps({**json.loads(path.read_text()), "run_id": "later"}) + "\n")
        try:
            assert spark.table(f"{schema}.receipts").count() == len(RUNS) + 1
        finally:
            later.unlink()
    finally:
        spark.sql(f"DROP SCHEMA {schema} CASCADE")
