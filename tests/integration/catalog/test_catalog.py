"""Registration in a catalog, and the check of a cluster, on local Spark: its catalog replaces Unity Catalog."""

import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from deltalake import DeltaTable

from daily_batch.catalog.ddl import make_shared_statements, make_statements
from daily_batch.catalog.register import register_published
from daily_batch.catalog.target import Target
from daily_batch.catalog.unity import name_schema, register_tables
from daily_batch.domain.contract import MESSAGES, TABLES
from daily_batch.domain.receipt import Receipt
from daily_batch.domain.request import Request
from daily_batch.domain.url import parse_url
from daily_batch.errors import TerminalError, UsageError
from daily_batch.orchestration.preflight import check_cluster
from daily_batch.pipeline.runners.spark import SparkRunner
from daily_batch.settings import load_settings
from daily_batch.storage.stores import Storage
from tests.support.day_runs import DAY, SAMPLES, run_local

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Receipt]:
    """Publish a day's tables to a folder whose name must be quoted and escaped."""
    output = tmp_path_factory.mktemp("tables") / "it's a place"
    return output, run_local(input=SAMPLES, output=output)


@pytest.fixture
def catalog(spark: "SparkSession") -> Iterator[str]:
    """Return a schema prefix of the test's own; its schemas are dropped afterwards, the files stay."""
    prefix = f"c{uuid.uuid4().hex[:8]}"
    yield f"spark_catalog.{prefix}"
    for row in spark.sql(f"SHOW SCHEMAS LIKE '{prefix}*'").collect():
        spark.sql(f"DROP SCHEMA `{row[0]}` CASCADE")


def register(spark: "SparkSession", catalog: str, output: Path, tables: Sequence[str] = (MESSAGES.name,)) -> None:
    register_tables(spark, catalog=catalog, tenant="acme", output=parse_url(str(output)), tables=tables)


def versions(output: Path) -> dict[str, int]:
    return {table.name: DeltaTable(str(output / f"acme/analytics/{table.name}")).version() for table in TABLES}


@pytest.mark.each_spark
def test_registration_is_idempotent_and_uses_the_tenant_s_schema(
    spark: "SparkSession", catalog: str, published: tuple[Path, Receipt]
) -> None:
    output, receipt = published
    before = versions(output)
    names = ("messages", "summary_daily")
    register(spark, catalog, output, names)
    register(spark, catalog, output, names)
    schema = name_schema(catalog, "acme")
    assert {row["tableName"] for row in spark.sql(f"SHOW TABLES IN {schema}").collect()} == set(names)
    assert spark.table(f"{schema}.messages").count() == receipt.records.written
    kind = {row[0]: row[1] for row in spark.sql(f"DESCRIBE EXTENDED {schema}.{MESSAGES.name}").collect()}
    assert kind["Type"] == "EXTERNAL"
    assert versions(output) == before


@pytest.mark.each_spark
def test_registered_tables_show_the_comments_of_the_log(
    spark: "SparkSession", catalog: str, published: tuple[Path, Receipt]
) -> None:
    register(spark, catalog, published[0], [table.name for table in TABLES])
    for table in TABLES:
        name = f"{name_schema(catalog, 'acme')}.{table.name}"
        shown = {row["col_name"]: row["comment"] for row in spark.sql(f"DESCRIBE TABLE {name}").collect()}
        assert {column.name: shown[column.name] for column in table.columns} == {
            column.name: column.comment for column in table.columns
        }
        assert spark.sql(f"DESCRIBE DETAIL {name}").collect()[0]["description"] == table.doc


def test_spark_runs_the_views_of_databricks_over_registered_tables(
    spark: "SparkSession", catalog: str, published: tuple[Path, Receipt]
) -> None:
    output, receipt = published
    register(spark, catalog, output, [table.name for table in TABLES])
    target = Target(tenant="acme", output=parse_url(str(output)), table_format="delta", catalog=catalog)
    shared = make_shared_statements("databricks", [target])
    for statement in [*shared, *make_statements("databricks", target, without_content=True)]:
        spark.sql(statement)
    prefix = catalog.partition(".")[2]
    assert spark.table(f"spark_catalog.{prefix}__all_tenants.summary_daily").first()["tenant_id"] == "acme"  # type: ignore[index]
    messages = spark.table(f"spark_catalog.{prefix}__without_content_acme.messages")
    assert messages.count() == receipt.records.written
    assert not {"content", "extras", "attachments"} & set(messages.columns)


def test_dropping_the_schema_leaves_the_tables(
    spark: "SparkSession", catalog: str, published: tuple[Path, Receipt]
) -> None:
    output, receipt = published
    register(spark, catalog, output)
    spark.sql(f"DROP SCHEMA {name_schema(catalog, 'acme')} CASCADE")
    assert DeltaTable(str(output / "acme/analytics/messages")).to_pyarrow_table().num_rows == receipt.records.written


def test_a_name_of_another_table_is_refused(
    spark: "SparkSession", catalog: str, published: tuple[Path, Receipt], tmp_path: Path
) -> None:
    run_local(input=SAMPLES, output=tmp_path)
    register(spark, catalog, tmp_path)
    with pytest.raises(TerminalError, match="another table is registered as"):
        register(spark, catalog, published[0])


def test_missing_catalogs_and_volumes_are_refused(spark: "SparkSession", published: tuple[Path, Receipt]) -> None:
    with pytest.raises(TerminalError, match=r"`nowhere`\.`chat_acme` cannot be registered \([A-Za-z_.0-9]+\)"):
        register(spark, "nowhere.chat", published[0])
    with pytest.raises(UsageError, match="files of a volume"):
        register(spark, "spark_catalog.chat", Path("/Volumes/main/chat/tables"))


def test_tenants_that_differ_by_case_have_different_quoted_schemas() -> None:
    assert name_schema("main.chat", "acme-eu") == "`main`.`chat_acme-eu`"
    names = {name_schema("main.chat", tenant).lower() for tenant in ("acme", "Acme", "ACME")}
    assert len(names) == 3


def test_a_published_day_is_registered_and_a_failure_is_a_warning(
    spark: "SparkSession", catalog: str, published: tuple[Path, Receipt], capsys: pytest.CaptureFixture[str]
) -> None:
    output, receipt = published
    receipt = Receipt(**{**vars(receipt), "runner": "spark"})
    request = Request(tenant="acme", day=DAY, input=parse_url("in"), output=parse_url(str(output)))
    register_published(request, load_settings(flags={}, environ={}), receipt)
    requested = load_settings(flags={"catalog": catalog}, environ={})
    elsewhere = load_settings(flags={"catalog": catalog, "spark": "emr-serverless"}, environ={})
    register_published(request, elsewhere, receipt)
    assert not spark.catalog.databaseExists(name_schema(catalog, "acme"))
    register_published(request, requested, receipt)
    assert {each.name for each in spark.catalog.listTables(name_schema(catalog, "acme"))} == {t.name for t in TABLES}
    assert capsys.readouterr().err == ""
    volume = Request(tenant="acme", day=DAY, input=parse_url("in"), output=parse_url("/Volumes/a/b/c"))
    register_published(volume, requested, receipt)
    warning = capsys.readouterr().err
    assert warning.startswith(
        "warning: the day is published, its tables are not registered: tenant=acme day=2025-08-12"
    )


def test_a_complete_cluster_passes_the_check(spark: "SparkSession", tmp_path: Path) -> None:
    folder = parse_url(str(tmp_path))
    check_cluster(SparkRunner(spark).spark, Storage(input=folder, output=folder), tasks=2)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_missing_folder_of_the_driver_fails_before_any_task(tmp_path: Path) -> None:
    storage = Storage(input=parse_url(str(tmp_path / "none")), output=parse_url(str(tmp_path)))
    with pytest.raises(TerminalError, match=r"^driver check failed: input .*/none: the folder .* does not exist"):
        check_cluster(None, storage, tasks=2)  # type: ignore[arg-type]  # it is not called


def test_a_missing_folder_of_the_workers_is_one_line(
    spark: "SparkSession", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daily_batch.orchestration.preflight.find_missing", lambda storage, folders: "")
    storage = Storage(input=parse_url(str(tmp_path / "none")), output=parse_url(str(tmp_path)))
    with pytest.raises(TerminalError, match=r"worker check failed: input .*/none: the folder .* does not exist"):
        check_cluster(spark, storage, tasks=2)
