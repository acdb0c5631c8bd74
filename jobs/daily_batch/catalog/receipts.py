"""The run history: each receipt, a file of one line of JSON, as a row of the view `receipts`.

Every engine reads the line as text and takes the columns out of it by path, so that one definition holds for all, and a
field that is added to the receipt breaks no reader. The view `latest_runs` has the last run of each day.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

from daily_batch.catalog import Engine
from daily_batch.catalog.dialects import DIALECTS
from daily_batch.catalog.names import quote_name, quote_text, quote_value
from daily_batch.catalog.synapse import COLLATION
from daily_batch.catalog.target import Target
from daily_batch.domain.receipt import Objects, Records
from daily_batch.storage.stores import spark_path

RECEIPTS, LATEST_RUNS, LINES = "receipts", "latest_runs", "receipt_lines"
FOLDER = "_receipts"


@dataclass(frozen=True)
class ReceiptColumn:
    """A column of `receipts`: its name, DuckDB type, and path in the JSON. Maps and lists are JSON texts."""

    name: str
    type: str
    path: str
    is_json: bool = False


def _counts(group: str, kind: type[Objects] | type[Records]) -> tuple[ReceiptColumn, ...]:
    return tuple(ReceiptColumn(f"{group}_{each.name}", "BIGINT", f"{group}.{each.name}") for each in fields(kind))


def _json(*names: str) -> tuple[ReceiptColumn, ...]:
    return tuple(ReceiptColumn(name, "VARCHAR", name, is_json=True) for name in names)


def _texts(*names: str) -> tuple[ReceiptColumn, ...]:
    return tuple(ReceiptColumn(name, "VARCHAR", name) for name in names)


COLUMNS = (
    *_texts("tenant"),
    ReceiptColumn("date", "DATE", "date"),
    *_texts("run_id"),
    ReceiptColumn("processed_at", "TIMESTAMPTZ", "processed_at"),
    *_texts("status", "runner", "format", "layout"),
    *_counts("objects", Objects),
    *_counts("records", Records),
    ReceiptColumn("seconds", "DOUBLE", "seconds.total"),
    ReceiptColumn("messages_version", "BIGINT", "tables.messages.version"),
    ReceiptColumn("other_unknown_fields", "BIGINT", "other_unknown_fields"),
    *_json("rejects", "flags", "unknown_fields", "quality", "erased"),
    *_texts("input", "fingerprint"),
)


def receipts_statements(engine: Engine, target: Target) -> list[str]:
    """Return the statements of the views, and of Athena's table of lines. The tenant's schema exists."""
    dialect = DIALECTS[engine]
    schema = dialect.qualify(target.catalog, target.schema)
    lines, select, source = _READERS[engine](target, schema)
    columns = [f"{select(column)} AS {dialect.quote(column.name)}" for column in COLUMNS]
    receipts, latest_runs = (f"{schema}.{dialect.quote(name)}" for name in (RECEIPTS, LATEST_RUNS))
    day = f"{dialect.quote('tenant')}, {dialect.quote('date')}"
    order = f"{dialect.quote('processed_at')} DESC, {dialect.quote('run_id')} DESC"
    return [
        *lines,
        f"{dialect.create_view} {receipts} AS\nSELECT\n"
        + ",\n".join(f"    {each}" for each in columns)
        + f"\n{source}",
        f"{dialect.create_view} {latest_runs} AS\n"
        f"SELECT {', '.join(dialect.quote(column.name) for column in COLUMNS)}\n"
        f"FROM (\n    SELECT *, row_number() OVER (PARTITION BY {day} ORDER BY {order}) AS place\n    FROM {receipts}\n"
        ") AS runs\nWHERE place = 1",
    ]


# What comes before the views, the expression of a column, and the clause that reads the lines.
_Reader = tuple[list[str], Callable[[ReceiptColumn], str], str]


def _read_with_athena(target: Target, schema: str) -> _Reader:
    kinds = {"DATE": "date", "BIGINT": "bigint", "DOUBLE": "double"}

    def select(column: ReceiptColumn) -> str:
        path = f"json_extract{'' if column.is_json else '_scalar'}(line, '$.{column.path}')"
        if column.is_json:
            return f"json_format({path})"
        if column.type == "TIMESTAMPTZ":
            return DIALECTS["athena"].moment.format(f"from_iso8601_timestamp({path})")
        return f"CAST({path} AS {kinds[column.type]})" if column.type in kinds else path

    # The table's DDL is Hive's, the views' Trino's; they quote names differently.
    table = f"{quote_name(target.schema)}.{quote_name(LINES)}"
    folder = quote_value(f"{target.folder.child(FOLDER)}/")
    # JSON has no control characters, so a line is one field.
    lines = (
        f"CREATE EXTERNAL TABLE IF NOT EXISTS {table} (`line` string)\n"
        f"ROW FORMAT DELIMITED FIELDS TERMINATED BY '\\001'\nSTORED AS TEXTFILE\nLOCATION {folder}"
    )
    return [lines], select, f"FROM {schema}.{LINES}"


def _read_with_databricks(target: Target, schema: str) -> _Reader:
    """Read the files in place: each query lists the folder again."""
    kinds = {"DATE": "date", "BIGINT": "bigint", "DOUBLE": "double", "TIMESTAMPTZ": "timestamp"}

    def select(column: ReceiptColumn) -> str:
        path = f"get_json_object(value, '$.{column.path}')"
        return f"CAST({path} AS {kinds[column.type]})" if column.type in kinds else path

    return [], select, f"FROM text.{quote_name(f'{spark_path(target.folder.child(FOLDER))}/*/*.json')}"


def _read_with_synapse(target: Target, schema: str) -> _Reader:
    kinds = {"DATE": "DATE", "BIGINT": "BIGINT", "DOUBLE": "FLOAT", "TIMESTAMPTZ": "DATETIME2"}

    def select(column: ReceiptColumn) -> str:
        if column.is_json:
            return f"JSON_QUERY([line], '$.{column.path}')"
        path = f"JSON_VALUE([line], '$.{column.path}')"
        return f"CAST({path} AS {kinds[column.type]})" if column.type in kinds else path

    # A line is one field: JSON has no vertical tab.
    source = (
        f"FROM OPENROWSET(\n    BULK '{FOLDER}/*/*.json',\n    DATA_SOURCE = {quote_text(target.schema)},\n"
        "    FORMAT = 'CSV',\n"
        "    FIELDTERMINATOR = '0x0b',\n    FIELDQUOTE = '0x0b',\n    ROWTERMINATOR = '0x0a'\n)\n"
        f"WITH (\n    [line] VARCHAR(MAX) {COLLATION}\n) AS [rows]"
    )
    return [], select, source


_READERS: Mapping[Engine, Callable[[Target, str], _Reader]] = {
    "athena": _read_with_athena,
    "databricks": _read_with_databricks,
    "synapse": _read_with_synapse,
}
