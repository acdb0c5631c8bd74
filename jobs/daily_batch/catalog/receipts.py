"""The run history: each receipt, a file of one line of JSON, as a row of the view `receipts`.

Every engine reads the line as text and takes the columns out of it by path, so that one definition holds for all, and a
field that is added to the receipt breaks no reader. The view `latest_runs` has the last run of each day.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

from daily_batch.catalog.names import quote_name, quote_standard, quote_text, quote_transact, quote_value
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


def athena_receipts(target: Target) -> list[str]:
    """Return Athena's statements: a table of lines, and the views."""
    database = quote_name(target.schema)
    folder = quote_value(f"{target.folder.child(FOLDER)}/")
    kinds = {"DATE": "date", "BIGINT": "bigint", "DOUBLE": "double"}

    def select(column: ReceiptColumn) -> str:
        path = f"json_extract{'' if column.is_json else '_scalar'}(line, '$.{column.path}')"
        if column.is_json:
            return f"json_format({path})"
        if column.type == "TIMESTAMPTZ":
            # A column of a view in Glue has a type of Hive, which has no time zone.
            return f"CAST(from_iso8601_timestamp({path}) AT TIME ZONE 'UTC' AS timestamp)"
        return f"CAST({path} AS {kinds[column.type]})" if column.type in kinds else path

    # JSON has no control characters, so a line is one field.
    lines = (
        f"CREATE EXTERNAL TABLE IF NOT EXISTS {database}.{quote_name(LINES)} (`line` string)\n"
        f"ROW FORMAT DELIMITED FIELDS TERMINATED BY '\\001'\nSTORED AS TEXTFILE\nLOCATION {folder}"
    )
    # Views are Trino's SQL, whose quotes are not Hive's.
    schema = f"{quote_standard(target.schema)}."
    return [lines, *_views(quote_standard, schema, [select(column) for column in COLUMNS], f"FROM {schema}{LINES}")]


def databricks_receipts(target: Target, schema: str) -> list[str]:
    """Return Databricks' statements: the views, which list the folder again in each query."""
    files = f"text.{quote_name(f'{spark_path(target.folder.child(FOLDER))}/*/*.json')}"
    kinds = {"DATE": "date", "BIGINT": "bigint", "DOUBLE": "double", "TIMESTAMPTZ": "timestamp"}

    def select(column: ReceiptColumn) -> str:
        path = f"get_json_object(value, '$.{column.path}')"
        return f"CAST({path} AS {kinds[column.type]})" if column.type in kinds else path

    return _views(quote_name, f"{schema}.", [select(column) for column in COLUMNS], f"FROM {files}")


def synapse_receipts(target: Target) -> list[str]:
    """Return Synapse's statements: the views."""
    kinds = {"DATE": "DATE", "BIGINT": "BIGINT", "DOUBLE": "FLOAT", "TIMESTAMPTZ": "DATETIME2"}

    def select(column: ReceiptColumn) -> str:
        if column.is_json:
            return f"JSON_QUERY([line], '$.{column.path}')"
        path = f"JSON_VALUE([line], '$.{column.path}')"
        return f"CAST({path} AS {kinds[column.type]})" if column.type in kinds else path

    # A line is one field: JSON has no vertical tab.
    lines = (
        f"FROM OPENROWSET(\n    BULK '{FOLDER}/*/*.json',\n    DATA_SOURCE = {quote_text(target.schema)},\n"
        "    FORMAT = 'CSV',\n"
        "    FIELDTERMINATOR = '0x0b',\n    FIELDQUOTE = '0x0b',\n    ROWTERMINATOR = '0x0a'\n)\n"
        "WITH (\n    [line] VARCHAR(MAX) COLLATE Latin1_General_100_BIN2_UTF8\n) AS [rows]"
    )
    views = _views(quote_transact, f"{quote_transact(target.schema)}.", [select(column) for column in COLUMNS], lines)
    return [view.replace("OR REPLACE", "OR ALTER", 1) for view in views]


def _views(quote: Callable[[str], str], schema: str, selected: Sequence[str], source: str) -> list[str]:
    """Return the statements of both views, with names quoted for the engine."""
    receipts, latest_runs = (f"{schema}{quote(name)}" for name in (RECEIPTS, LATEST_RUNS))
    columns = ",\n".join(f"    {each} AS {quote(column.name)}" for each, column in zip(selected, COLUMNS, strict=True))
    day = f"{quote('tenant')}, {quote('date')}"
    order = f"{quote('processed_at')} DESC, {quote('run_id')} DESC"
    return [
        f"CREATE OR REPLACE VIEW {receipts} AS\nSELECT\n{columns}\n{source}",
        f"CREATE OR REPLACE VIEW {latest_runs} AS\n"
        f"SELECT {', '.join(quote(column.name) for column in COLUMNS)}\n"
        f"FROM (\n    SELECT *, row_number() OVER (PARTITION BY {day} ORDER BY {order}) AS place\n    FROM {receipts}\n"
        ") AS runs\nWHERE place = 1",
    ]
