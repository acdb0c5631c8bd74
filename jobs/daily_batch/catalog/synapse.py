"""DDL for Synapse serverless SQL: an external data source and one view per table."""

from daily_batch.catalog.columns import PARTITIONS
from daily_batch.catalog.names import quote_text, quote_transact
from daily_batch.catalog.target import Target
from daily_batch.domain.contract import TABLES, Column, Table

# Without a UTF-8 collation, non-ASCII text is garbled.
COLLATION = "COLLATE Latin1_General_100_BIN2_UTF8"
_TYPES = {
    "BIGINT": "BIGINT",
    "BLOB": "VARBINARY(MAX)",
    "BOOLEAN": "BIT",
    "DATE": "DATE",
    "DOUBLE": "FLOAT",
    "INTEGER": "INT",
    "TIMESTAMPTZ": "DATETIME2",  # in UTC
}
# Columns whose values may exceed 8,000 bytes. VARCHAR(8000) is cheaper to read, but a longer value fails the query.
_LONG = ("content", "extras", "role", "agent_mode")


def synapse_statements(target: Target) -> list[str]:
    """Return the statements of the tenant's schema, data source and views."""
    url = target.folder
    schema = quote_transact(target.schema)
    source = f"https://{url.account}.dfs.core.windows.net/{url.bucket}/{url.path}"
    return [
        create_schema(target.schema),
        f"IF NOT EXISTS (SELECT * FROM sys.external_data_sources WHERE name = {quote_text(target.schema)})\n"
        f"CREATE EXTERNAL DATA SOURCE {schema} WITH (LOCATION = {quote_text(source)})",
        *(_view(table, target) for table in TABLES),
    ]


def create_schema(name: str) -> str:
    """Return the statement that creates a schema unless it exists; CREATE SCHEMA must be alone in a batch."""
    return f"IF SCHEMA_ID({quote_text(name)}) IS NULL EXEC({quote_text(f'CREATE SCHEMA {quote_transact(name)}')})"


def synapse_type(column: Column) -> str:
    """Return the column's type; Synapse reads lists and structs as JSON."""
    if column.type in _TYPES:
        return _TYPES[column.type]
    size = 8000 if column.type == "VARCHAR" and column.name not in _LONG else "MAX"
    return f"VARCHAR({size}) {COLLATION}"


def _view(table: Table, target: Target) -> str:
    """Return the statement of a view, whose text keeps the comments."""
    columns = ",\n".join(
        f"    -- {column.comment}\n    {quote_transact(column.name)} {synapse_type(column)}" for column in table.columns
    )
    delta = target.table_format == "delta"
    folders = "/".join(f"{name}=*" for name, *_ in PARTITIONS)
    files = f"{table.name}/" if delta else f"{table.name}/{folders}/*.parquet"
    # Compared with a string ('2025', '08'), these prune the files of other days.
    partitions = [
        f"[rows].filepath({number}) AS {quote_transact(name)}" for number, (name, *_) in enumerate(PARTITIONS, start=1)
    ]
    selected = ", ".join(["[rows].*", *([] if delta else partitions)])
    return (
        f"CREATE OR ALTER VIEW {quote_transact(target.schema)}.{quote_transact(table.name)} AS\n"
        f"-- {table.doc}\n"
        f"SELECT {selected}\n"
        f"FROM OPENROWSET(\n    BULK {quote_text(files)},\n    DATA_SOURCE = {quote_text(target.schema)},\n"
        f"    FORMAT = '{target.table_format.upper()}'\n)\n"
        f"WITH (\n{columns}\n) AS [rows]"
    )
