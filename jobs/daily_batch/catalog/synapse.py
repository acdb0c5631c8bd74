"""DDL for Synapse serverless SQL: an external data source and one view per table."""

from daily_batch.catalog.columns import PARTITIONS
from daily_batch.catalog.receipts import synapse_receipts
from daily_batch.catalog.target import Target
from daily_batch.domain.contract import TABLES, Column, Table

# Without a UTF-8 collation, non-ASCII text is garbled.
_TEXT = "VARCHAR({size}) COLLATE Latin1_General_100_BIN2_UTF8"
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
    """Return the statements of the tenant's schema, data source and views, with its run history.

    Raises:
        UsageError: the tables are not in Azure Storage.
    """
    if target.output.kind != "abfss":
        raise target.refuse("Synapse", "an abfss:// output")
    url = target.folder
    schema = _quote(target.schema)
    source = f"https://{url.account}.dfs.core.windows.net/{url.bucket}/{url.path}"
    return [
        f"IF SCHEMA_ID({_text(target.schema)}) IS NULL EXEC({_text(f'CREATE SCHEMA {schema}')})",
        f"IF NOT EXISTS (SELECT * FROM sys.external_data_sources WHERE name = {_text(target.schema)})\n"
        f"CREATE EXTERNAL DATA SOURCE {schema} WITH (LOCATION = {_text(source)})",
        *(_view(table, target) for table in TABLES),
        *synapse_receipts(target),
    ]


def synapse_type(column: Column) -> str:
    """Return the column's type; Synapse reads lists and structs as JSON."""
    if column.type in _TYPES:
        return _TYPES[column.type]
    return _TEXT.format(size=8000 if column.type == "VARCHAR" and column.name not in _LONG else "MAX")


def _view(table: Table, target: Target) -> str:
    columns = ",\n".join(f"    {_quote(column.name)} {synapse_type(column)}" for column in table.columns)
    delta = target.table_format == "delta"
    folders = "/".join(f"{name}=*" for name, *_ in PARTITIONS)
    files = f"{table.name}/" if delta else f"{table.name}/{folders}/*.parquet"
    # Compared with a string ('2025', '08'), these prune the files of other days.
    partitions = [
        f"[rows].filepath({number}) AS {_quote(name)}" for number, (name, *_) in enumerate(PARTITIONS, start=1)
    ]
    selected = ", ".join(["[rows].*", *([] if delta else partitions)])
    return (
        f"CREATE OR ALTER VIEW {_quote(target.schema)}.{_quote(table.name)} AS\n"
        f"SELECT {selected}\n"
        f"FROM OPENROWSET(\n    BULK {_text(files)},\n    DATA_SOURCE = {_text(target.schema)},\n"
        f"    FORMAT = '{target.table_format.upper()}'\n)\n"
        f"WITH (\n{columns}\n) AS [rows]"
    )


def _quote(name: str) -> str:
    return f"[{name.replace(']', ']]')}]"


def _text(value: str) -> str:
    escaped = value.replace("'", "''")
    return f"'{escaped}'"
