"""DDL for Databricks SQL: external tables, named as the job names them (`catalog/unity.py`)."""

from daily_batch.catalog.columns import PARTITIONS, define_columns
from daily_batch.catalog.names import quote_name, quote_value
from daily_batch.catalog.target import Target
from daily_batch.catalog.unity import define_delta_table, name_schema
from daily_batch.domain.contract import TABLES, Table
from daily_batch.storage.stores import spark_path


def databricks_statements(target: Target) -> list[str]:
    """Return the statements of the tenant's schema and its tables.

    Raises:
        UsageError: the catalog is Glue's.
    """
    define = _delta_table if target.table_format == "delta" else _parquet_table
    schema = name_schema(target.catalog, target.tenant)
    return [f"CREATE SCHEMA IF NOT EXISTS {schema}", *(define(table, schema, target) for table in TABLES)]


def _delta_table(table: Table, schema: str, target: Target) -> str:
    return define_delta_table(f"{schema}.{quote_name(table.name)}", spark_path(target.table_url(table)))


def _parquet_table(table: Table, schema: str, target: Target) -> str:
    """Return the statement of a plain Parquet table; outside Unity Catalog, each new day needs MSCK REPAIR TABLE."""
    names = [quote_name(name) for name, *_ in PARTITIONS]
    columns = ",\n".join([define_columns(table), *(f"  {name} int" for name in names)])
    return (
        f"CREATE TABLE IF NOT EXISTS {schema}.{quote_name(table.name)} (\n{columns}\n)\n"
        f"USING PARQUET PARTITIONED BY ({', '.join(names)})\n"
        f"LOCATION {quote_value(spark_path(target.table_url(table)))}\n"
        f"COMMENT {quote_value(table.doc)}"
    )
