"""Names in catalogs: of tenants' schemas, and their quoting in SQL."""

import hashlib
import re

# Begins a catalog that is a prefix of databases in the Glue Data Catalog; any other is Spark's, such as main.chat.
GLUE = "glue:"
# How a suffix of `plain_schema` looks.
_SUFFIX = re.compile(r"_[0-9a-f]{8}$")


def schema_prefix(catalog: str) -> str:
    """Return the prefix of the schemas of a catalog, such as main.chat or glue:chat."""
    return catalog.removeprefix(GLUE) if is_glue(catalog) else catalog.split(".")[1]


def is_glue(catalog: str) -> bool:
    """Return whether the catalog is the Glue Data Catalog."""
    return catalog.startswith(GLUE)


def name_database(catalog: str, tenant: str) -> str:
    """Return the tenant's database in the Glue Data Catalog; empty for any other catalog, and for none."""
    return plain_schema(schema_prefix(catalog), tenant) if is_glue(catalog) else ""


def plain_schema(prefix: str, tenant: str) -> str:
    """Return the unqualified, unquoted name of the tenant's schema or database: no two tenants have the same.

    Catalogs ignore case and tenants do not, so a tenant with capital letters gets a suffix; so does a tenant that ends
    like such a name.

    >>> plain_schema("chat", "acme-eu")
    'chat_acme-eu'
    >>> plain_schema("chat", "Acme")
    'chat_acme_37036cd8'
    """
    is_plain = tenant == tenant.lower() and not _SUFFIX.search(tenant)
    suffix = "" if is_plain else f"_{hashlib.sha256(tenant.encode()).hexdigest()[:8]}"
    return f"{prefix}_{tenant.lower()}{suffix}"


def quote_name(name: str) -> str:
    """Quote a name for Hive and Spark."""
    return f"`{name.replace('`', '``')}`"


def quote_value(value: str) -> str:
    """Quote a string for Hive and Spark."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def quote_standard(name: str) -> str:
    """Quote a name for Athena's queries and views; its other DDL is Hive's."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def quote_transact(name: str) -> str:
    """Quote a name for Transact-SQL."""
    return f"[{name.replace(']', ']]')}]"


def quote_text(value: str) -> str:
    """Quote a string for Transact-SQL and for Athena's queries."""
    escaped = value.replace("'", "''")
    return f"'{escaped}'"
