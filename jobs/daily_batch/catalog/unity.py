"""Register a tenant's Delta tables as external tables in a catalog of Spark, such as Unity Catalog.

Each tenant has its own schema, because privileges are granted by schema. A catalog holds names and locations only;
commits stay in the tables' own logs, so registration cannot undo a publish.
"""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import unquote

from daily_batch.catalog.names import is_glue, plain_schema, quote_name, quote_value, schema_prefix
from daily_batch.domain.keys import analytics_folder
from daily_batch.domain.url import StorageUrl
from daily_batch.errors import TerminalError, UsageError
from daily_batch.storage.stores import spark_path

if TYPE_CHECKING:
    from pyspark.sql import Row, SparkSession

PRIVILEGES = (
    "grant USE CATALOG, CREATE SCHEMA and, on the external location, CREATE EXTERNAL TABLE (docs/databricks.md)"
)


def register_tables(
    spark: "SparkSession", *, catalog: str, tenant: str, output: StorageUrl, tables: Iterable[str]
) -> None:
    """Register the tenant's tables as `{catalog}_{tenant}.{table}`, unless they are registered already.

    Args:
        catalog: a catalog and the prefix of its schemas, such as main.chat.
        tables: names of existing tables; Spark would create a missing one.

    Raises:
        UsageError: the tables are on a volume, whose files cannot be external tables.
        TerminalError: Spark refuses, or another table has the name. The tables do not change.
    """
    if output.kind == "volume":
        raise UsageError(
            "files of a volume cannot be external tables", next_step="give an abfss:// output, or no catalog"
        )
    schema = name_schema(catalog, tenant)
    _execute(spark, f"CREATE SCHEMA IF NOT EXISTS {schema}", schema)
    for table in tables:
        name = f"{schema}.{quote_name(table)}"
        location = spark_path(output.child(f"{analytics_folder(tenant)}/{table}"))
        _execute(spark, define_delta_table(name, location), name)
        detail = _execute(spark, f"DESCRIBE DETAIL {name}", name)[0]
        if _normalize(detail["location"]) != _normalize(location):
            raise TerminalError(
                f"another table is registered as {name}", next_step="rename that table, or choose another catalog"
            )


def name_schema(catalog: str, tenant: str) -> str:
    """Return the quoted name of the tenant's schema.

    >>> name_schema("main.chat", "acme-eu")
    '`main`.`chat_acme-eu`'
    """
    return qualify_schema(catalog, plain_schema(schema_prefix(catalog), tenant))


def qualify_schema(catalog: str, schema: str) -> str:
    """Return the quoted name of a schema of the catalog.

    Raises:
        UsageError: the catalog is Glue's.
    """
    if is_glue(catalog):
        step = f"give --catalog, such as main.{schema_prefix(catalog)}"
        raise UsageError(f"{catalog} is no catalog of Databricks", next_step=step)
    return f"{quote_name(catalog.split('.')[0])}.{quote_name(schema)}"


def define_delta_table(name: str, location: str) -> str:
    """Return the statement that registers a Delta table under a quoted name; its log has columns and partitions."""
    return f"CREATE TABLE IF NOT EXISTS {name} USING DELTA LOCATION {quote_value(location)}"


def _execute(spark: "SparkSession", sql: str, name: str) -> "list[Row]":
    try:
        return spark.sql(sql).collect()
    except Exception as error:
        # Spark's message may be pages long; its error condition says what is wrong.
        condition = getattr(error, "getCondition", lambda: None)() or type(error).__name__
        raise TerminalError(f"{name} cannot be registered ({condition})", next_step=PRIVILEGES) from error


def _normalize(location: str) -> str:
    """Return the location without its scheme, escapes and outer slashes, in which spellings of one location differ."""
    return unquote(re.sub(r"^[a-z0-9]+:", "", location)).strip("/")
