"""Test that docs/ddl matches the contract, parses as each engine's SQL, and runs on Spark.

sqlglot parses the statements for Athena, Synapse and Databricks, which do not run locally.
"""

import re
import uuid
from collections.abc import Iterator
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlglot
from sqlglot import exp

from daily_batch.catalog import Engine
from daily_batch.catalog.ddl import make_script, make_statements
from daily_batch.catalog.synapse import synapse_type
from daily_batch.catalog.target import Target
from daily_batch.catalog.unity import name_schema
from daily_batch.domain.contract import MESSAGES, SUMMARY_DAILY, TABLES, Table
from daily_batch.domain.run import TableFormat
from daily_batch.domain.url import parse_url
from daily_batch.errors import UsageError
from daily_batch.pipeline.publish.parquet import day_folder
from tests.support.day_runs import DAY, SAMPLES, makoto_batch, run_local
from tests.support.spark_session import ROOT

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

OUTPUTS: dict[Engine, str] = {
    "athena": "s3://example-tables",
    "synapse": "abfss://tables@exampleaccount.dfs.core.windows.net",
    "databricks": "abfss://tables@exampleaccount.dfs.core.windows.net",
}
FORMATS: tuple[TableFormat, ...] = ("delta", "parquet")
FILES = [(engine, table_format) for engine in OUTPUTS for table_format in FORMATS]
MAX_GLUE_COMMENT = 255
EACH_TABLE = pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)


def target(
    output: str, table_format: TableFormat = "delta", *, tenant: str = "acme", catalog: str = "main.chat"
) -> Target:
    return Target(tenant=tenant, output=parse_url(output), table_format=table_format, catalog=catalog)


def statement_of(table: Table, engine: Engine, table_format: TableFormat) -> str:
    statements = make_statements(engine, target(OUTPUTS[engine], table_format))
    before = 2 if engine == "synapse" else 1
    history = 3 if engine == "athena" else 2  # the run history has tests of its own
    assert len(statements) == before + len(TABLES) + history
    return statements[before + TABLES.index(table)]


@pytest.mark.parametrize(("engine", "table_format"), FILES)
def test_script_is_generated_from_the_contract(engine: Engine, table_format: TableFormat) -> None:
    file = ROOT / f"docs/ddl/{engine}-{table_format}.sql"
    assert file.read_text(encoding="utf-8") == make_script(engine, target(OUTPUTS[engine], table_format))


def test_ddl_command_prints_the_script() -> None:
    flags = ("--tenant", "acme", "--output", OUTPUTS["athena"])
    completed = makoto_batch("ddl", "--engine", "athena", "--format", "parquet", *flags)
    assert (completed.returncode, completed.stderr) == (0, "")
    assert completed.stdout == (ROOT / "docs/ddl/athena-parquet.sql").read_text(encoding="utf-8")


@pytest.mark.parametrize("table_format", FORMATS)
@pytest.mark.parametrize("engine", ["athena", "databricks"])
def test_every_statement_parses_in_the_engines_dialect(engine: Engine, table_format: TableFormat) -> None:
    for statement in make_statements(engine, target(OUTPUTS[engine], table_format)):
        parsed = sqlglot.parse_one(statement, dialect=engine)
        # sqlglot returns a statement that it cannot parse as a Command.
        assert isinstance(parsed, exp.Create)
        assert not list(parsed.find_all(exp.Command))


@EACH_TABLE
@pytest.mark.parametrize("engine", ["athena", "databricks"])
def test_every_column_has_the_contracts_type(engine: Engine, table: Table) -> None:
    parsed = sqlglot.parse_one(statement_of(table, engine, "parquet"), dialect=engine)
    # The field of a struct is a ColumnDef too, but its parent is a type.
    columns = [column for column in parsed.find_all(exp.ColumnDef) if isinstance(column.parent, exp.Schema)]
    kinds = {column.name: column.kind for column in columns}
    expected = {column.name: exp.DataType.build(column.type, dialect="duckdb") for column in table.columns}
    assert {name: normalize_type(kinds[name]) for name in expected} == {
        name: normalize_type(kind) for name, kind in expected.items()
    }
    folders = dict.fromkeys(("year", "month", "day"), "INT")
    assert {name: normalize_type(kind) for name, kind in kinds.items() if name not in expected} == folders


def normalize_type(kind: exp.DataType) -> str:
    """Return the text of a type, equal for all engines."""
    text = kind.sql(dialect="spark").upper().replace(": ", " ")
    return re.sub(r"TIMESTAMP(_NTZ|_LTZ)?", "TIMESTAMP", text)


@EACH_TABLE
def test_synapse_columns_have_transact_sql_types(table: Table) -> None:
    for table_format in FORMATS:
        statement = statement_of(table, "synapse", table_format)
        (columns,) = re.findall(r"\nWITH \(\n(.+)\n\) AS \[rows\]$", statement, re.S)
        # sqlglot does not parse OPENROWSET, so its columns are parsed as those of a table.
        parsed = sqlglot.parse_one(f"CREATE TABLE t ({columns})", dialect="tsql")
        assert [column.name for column in parsed.find_all(exp.ColumnDef)] == list(table.names)
        enclosing = re.sub(r"OPENROWSET\(.+", "[files] AS [rows]", statement, flags=re.S)
        assert isinstance(sqlglot.parse_one(enclosing, dialect="tsql"), exp.Create)
    assert all(synapse_type(column) for column in table.columns)


@EACH_TABLE
@pytest.mark.parametrize("day", [date(2025, 8, 12), date(2020, 1, 1), date(2039, 12, 31)])
def test_athena_projection_locates_a_published_day(table: Table, day: date) -> None:
    parsed = sqlglot.parse_one(statement_of(table, "athena", "parquet"), dialect="athena")
    properties = {each.name: each.text("value") for each in parsed.find_all(exp.Property) if each.text("value")}
    location = properties["storage.location.template"]
    for name, value in {"year": day.year, "month": day.month, "day": day.day}.items():
        assert properties[f"projection.{name}.type"] == "integer"
        first, last = map(int, properties[f"projection.{name}.range"].split(","))
        assert first <= value <= last
        location = location.replace(f"${{{name}}}", str(value).zfill(int(properties[f"projection.{name}.digits"])))
    assert location == f"s3://example-tables/acme/analytics/{table.name}/{day_folder(day)}/"


def test_projected_folders_match_the_folders_of_a_run(tmp_path: Path) -> None:
    run_local(input=SAMPLES, output=tmp_path, table_format="parquet")
    for table in TABLES:
        statement = make_statements("athena", target("s3://example-tables", "parquet"))[TABLES.index(table) + 1]
        (template,) = re.findall(r"'storage\.location\.template' = 's3://example-tables/([^']+)/'", statement)
        location = (
            template.replace("${year}", f"{DAY:%Y}").replace("${month}", f"{DAY:%m}").replace("${day}", f"{DAY:%d}")
        )
        assert list((tmp_path / location).glob("*.parquet"))
        assert sorted(tmp_path.glob(f"acme/analytics/{table.name}/**/*.parquet")) == sorted(
            (tmp_path / location).glob("*.parquet")
        )


def test_comments_fit_glues_limit() -> None:
    comments = [column.comment for table in TABLES for column in table.columns]
    assert max(map(len, comments)) <= MAX_GLUE_COMMENT
    assert not [comment for comment in comments if "'" in comment or not comment.isascii()]


@EACH_TABLE
@pytest.mark.parametrize("engine", ["athena", "databricks"])
def test_parquet_tables_and_columns_have_the_contracts_comments(engine: Engine, table: Table) -> None:
    parsed = sqlglot.parse_one(statement_of(table, engine, "parquet"), dialect=engine)
    columns = [column for column in parsed.find_all(exp.ColumnDef) if isinstance(column.parent, exp.Schema)]
    found = {
        column.name: comment.this.name for column in columns for comment in column.find_all(exp.CommentColumnConstraint)
    }
    assert found == {column.name: column.comment for column in table.columns}
    (comment,) = parsed.find_all(exp.SchemaCommentProperty)
    assert comment.this.name == table.doc


@EACH_TABLE
@pytest.mark.parametrize("engine", ["athena", "databricks"])
def test_delta_tables_take_columns_and_comments_from_the_log(engine: Engine, table: Table) -> None:
    parsed = sqlglot.parse_one(statement_of(table, engine, "delta"), dialect=engine)
    assert not list(parsed.find_all(exp.ColumnDef, exp.SchemaCommentProperty))


@EACH_TABLE
@pytest.mark.parametrize("table_format", FORMATS)
def test_synapse_views_have_the_contracts_comments(table: Table, table_format: TableFormat) -> None:
    head, *lines = statement_of(table, "synapse", table_format).splitlines()
    assert (head.endswith(" AS"), lines[0]) == (True, f"-- {table.doc}")
    found = {
        column.split()[0].strip("[]"): comment.removeprefix("    -- ")
        for comment, column in pairwise(lines)
        if comment.startswith("    -- ")
    }
    assert found == {column.name: column.comment for column in table.columns}


@pytest.fixture
def catalog(spark: "SparkSession") -> Iterator[str]:
    prefix = f"d{uuid.uuid4().hex[:8]}"
    yield f"spark_catalog.{prefix}"
    for row in spark.sql(f"SHOW SCHEMAS LIKE '{prefix}*'").collect():
        spark.sql(f"DROP SCHEMA `{row[0]}` CASCADE")


@pytest.mark.long
def test_spark_runs_the_parquet_statements(spark: "SparkSession", catalog: str, tmp_path: Path) -> None:
    # tests/integration/catalog/test_catalog.py tests the statements for Delta, which the job runs too.
    receipt = run_local(input=SAMPLES, output=tmp_path, table_format="parquet")
    create_schema, *create_tables = make_statements("databricks", target(str(tmp_path), "parquet", catalog=catalog))
    spark.sql(create_schema)
    schema = name_schema(catalog, "acme")
    for table in (MESSAGES, SUMMARY_DAILY):  # together they have every type
        spark.sql(create_tables[TABLES.index(table)])
        # Unity Catalog discovers new folders itself; Spark's own catalog does not.
        spark.sql(f"MSCK REPAIR TABLE {schema}.{table.name}")
        frame = spark.table(f"{schema}.{table.name}")
        assert frame.columns == [*table.names, "year", "month", "day"]
        rows = frame.where(f"date = DATE '{DAY}' AND year = {DAY.year} AND month = {DAY.month} AND day = {DAY.day}")
        assert rows.count() == receipt.tables[table.name].rows


@pytest.mark.parametrize(
    ("engine", "output"),
    [
        ("athena", "abfss://tables@exampleaccount.dfs.core.windows.net"),
        ("athena", "out"),
        ("synapse", "s3://example-tables"),
        ("databricks", "/Volumes/main/chat/tables"),
    ],
)
def test_engine_that_cannot_read_the_output_is_rejected(engine: Engine, output: str) -> None:
    with pytest.raises(UsageError, match=r"cannot read .+ Next step: give an "):
        make_statements(engine, target(output))


def test_tenant_schema_has_the_same_name_as_in_the_job() -> None:
    for tenant in ("acme", "Acme", "acme-eu"):
        (first, *_) = make_statements("databricks", target(OUTPUTS["databricks"], tenant=tenant))
        assert first == f"CREATE SCHEMA IF NOT EXISTS {name_schema('main.chat', tenant)}"
        database = name_schema("main.chat", tenant).partition(".")[2]
        assert make_statements("athena", target("s3://example-tables", tenant=tenant))[0].endswith(database)
