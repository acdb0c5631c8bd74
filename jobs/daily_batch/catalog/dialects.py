"""How each engine writes a view: names, literals and types differ."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from daily_batch.catalog import Engine
from daily_batch.catalog.names import quote_name, quote_standard, quote_text, quote_transact, quote_value
from daily_batch.catalog.synapse import COLLATION, create_schema
from daily_batch.catalog.unity import qualify_schema

# A tenant id has at most 63 characters, all ASCII.
_TENANT_SIZE = 63


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """An engine's SQL for views. `qualify` and `create_schema` take a catalog and a schema.

    `moment` is the expression of a column with a time zone, if a view cannot have that type; `max_bytes` the longest
    statement, 0 if the engine documents none.
    """

    quote: Callable[[str], str]
    tenant: Callable[[str], str]
    qualify: Callable[[str, str], str]
    create_schema: Callable[[str, str], str]
    create_view: str = "CREATE OR REPLACE VIEW"
    moment: str = ""
    max_bytes: int = 0


DIALECTS: Mapping[Engine, Dialect] = {
    "athena": Dialect(
        quote=quote_standard,
        tenant=lambda tenant: f"CAST({quote_text(tenant)} AS varchar)",
        qualify=lambda _, schema: quote_standard(schema),
        create_schema=lambda _, schema: f"CREATE DATABASE IF NOT EXISTS {quote_name(schema)}",
        # A column of a view in Glue has a type of Hive, which has no time zone. The session's zone is UTC.
        moment="CAST({} AT TIME ZONE 'UTC' AS timestamp)",
        max_bytes=262_144,
    ),
    "databricks": Dialect(
        quote=quote_name,
        tenant=quote_value,
        qualify=qualify_schema,
        create_schema=lambda catalog, schema: f"CREATE SCHEMA IF NOT EXISTS {qualify_schema(catalog, schema)}",
    ),
    "synapse": Dialect(
        quote=quote_transact,
        tenant=lambda tenant: f"CAST({quote_text(tenant)} AS VARCHAR({_TENANT_SIZE})) {COLLATION}",
        qualify=lambda _, schema: quote_transact(schema),
        create_schema=lambda _, schema: create_schema(schema),
        create_view="CREATE OR ALTER VIEW",
    ),
}
