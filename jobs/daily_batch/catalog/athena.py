"""DDL for Athena: external tables in the Glue Data Catalog."""

from daily_batch.catalog.columns import PARTITIONS, define_columns
from daily_batch.catalog.names import quote_name, quote_value
from daily_batch.catalog.target import Target
from daily_batch.domain.contract import TABLES, Table


def athena_statements(target: Target) -> list[str]:
    """Return the statements of the tenant's database and its tables."""
    define = _delta_table if target.table_format == "delta" else _parquet_table
    database = quote_name(target.schema)
    return [f"CREATE DATABASE IF NOT EXISTS {database}", *(define(table, database, target) for table in TABLES)]


def _delta_table(table: Table, database: str, target: Target) -> str:
    """Return the statement of a Delta table; Athena reads columns and partitions from its log."""
    return (
        f"CREATE EXTERNAL TABLE IF NOT EXISTS {database}.{quote_name(table.name)}\n"
        f"LOCATION {quote_value(f'{target.table_url(table)}/')}\n"
        "TBLPROPERTIES ('table_type' = 'DELTA')"
    )


def _parquet_table(table: Table, database: str, target: Target) -> str:
    """Return the statement of a plain Parquet table; partition projection makes new days visible."""
    partitions = ", ".join(f"{quote_name(name)} int" for name, *_ in PARTITIONS)
    properties = ",\n".join(
        f"  {quote_value(key)} = {quote_value(value)}" for key, value in projection(table, target).items()
    )
    return (
        f"CREATE EXTERNAL TABLE IF NOT EXISTS {database}.{quote_name(table.name)} (\n{define_columns(table)}\n)\n"
        f"COMMENT {quote_value(table.doc)}\n"
        f"PARTITIONED BY ({partitions})\n"
        "STORED AS PARQUET\n"
        f"LOCATION {quote_value(f'{target.table_url(table)}/')}\n"
        f"TBLPROPERTIES (\n{properties}\n)"
    )


def projection(table: Table, target: Target) -> dict[str, str]:
    """Return the properties by which Athena finds the folders of a plain Parquet table."""
    properties = {"projection.enabled": "true"}
    for name, digits, first, last in PARTITIONS:
        properties[f"projection.{name}.type"] = "integer"
        properties[f"projection.{name}.range"] = f"{first},{last}"
        properties[f"projection.{name}.digits"] = str(digits)
    folders = "/".join(f"{name}=${{{name}}}" for name, *_ in PARTITIONS)
    return properties | {"storage.location.template": f"{target.table_url(table)}/{folders}/"}
