"""Register a tenant's Delta tables in a catalog that Spark knows, Unity Catalog above all, as external tables.

A tenant has a schema of its own, for privileges are granted by schema: a reader of one tenant's sees no other's. A
catalog holds names and places alone; commits stay with the tables' own logs, so nothing here can undo a publish.
"""

import hashlib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import unquote

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
    """Name the tenant's tables `{catalog}_{tenant}.{table}`, where they are not named yet.

    Args:
        catalog: a catalog and the beginning of the schemas' names, such as main.chat.
        tables: names of tables that exist; Spark would make a missing one.

    Raises:
        UsageError: the tables lie on a volume, whose files are no external tables.
        Terminal: Spark refuses, or the name is another table's. The tables stay as they are.
    """
    if output.kind == "volume":
        raise UsageError("files of a volume are no external tables", next_step="give an abfss:// output, or no catalog")
    schema = name_schema(catalog, tenant)
    _ask(spark, f"CREATE SCHEMA IF NOT EXISTS {schema}", schema)
    for table in tables:
        name = f"{schema}.{_quote(table)}"
        place = spark_path(output.child(f"{analytics_folder(tenant)}/{table}"))
        _ask(spark, define_delta_table(name, place), name)
        detail = _ask(spark, f"DESCRIBE DETAIL {name}", name)[0]
        if _plain(detail["location"]) != _plain(place):
            raise TerminalError(
                f"{name} is the name of another table", next_step="rename that, or choose another catalog"
            )


def name_schema(catalog: str, tenant: str) -> str:
    """The quoted name of the tenant's schema. Catalogs know no case, tenants do: who differs by it alone is told apart.

    >>> name_schema("main.chat", "acme-eu")
    '`main`.`chat_acme-eu`'
    """
    parent, prefix = catalog.split(".")
    return f"{_quote(parent)}.{_quote(plain_schema(prefix, tenant))}"


def plain_schema(prefix: str, tenant: str) -> str:
    """The same without its catalog and without quotes."""
    told_apart = "" if tenant == tenant.lower() else f"_{hashlib.sha256(tenant.encode()).hexdigest()[:8]}"
    return f"{prefix}_{tenant.lower()}{told_apart}"


def define_delta_table(name: str, place: str) -> str:
    """The statement that gives a Delta table its quoted name; columns and partitions are read from its log."""
    return f"CREATE TABLE IF NOT EXISTS {name} USING DELTA LOCATION {_text(place)}"


def _ask(spark: "SparkSession", sql: str, name: str) -> "list[Row]":
    try:
        return spark.sql(sql).collect()
    except Exception as error:
        # Spark's own text may be pages long; its condition says what is wrong.
        condition = getattr(error, "getCondition", lambda: None)() or type(error).__name__
        raise TerminalError(f"{name} cannot be registered ({condition})", next_step=PRIVILEGES) from error


def _quote(name: str) -> str:
    return f"`{name.replace('`', '``')}`"


def _text(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _plain(location: str) -> str:
    """Without what one place is written with or without: the scheme, escapes, slashes at the ends."""
    return unquote(re.sub(r"^[a-z0-9]+:", "", location)).strip("/")
