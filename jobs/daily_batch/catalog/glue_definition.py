"""A table's definition in the Glue Data Catalog (TableInput), as Athena's own DDL makes it. Pure."""

import re
from collections.abc import Mapping
from typing import Any

from daily_batch.catalog.athena import projection
from daily_batch.catalog.columns import PARTITIONS, hive_type
from daily_batch.catalog.target import Target
from daily_batch.domain.contract import DATE, Column, Table

Definition = dict[str, Any]
# The members of GetTable's answer that UpdateTable takes.
_INPUT = (
    *("Name", "Description", "Owner", "LastAccessTime", "LastAnalyzedTime", "Retention", "StorageDescriptor"),
    *("PartitionKeys", "ViewOriginalText", "ViewExpandedText", "TableType", "Parameters", "TargetTable"),
)
_PARQUET = {
    "InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
    "OutputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
    "SerdeInfo": {
        "SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe",
        "Parameters": {"serialization.format": "1"},
    },
}


def define_table(table: Table, target: Target) -> Definition:
    """Return the definition of a tenant's table."""
    return _define_delta(table, target) if target.table_format == "delta" else _define_parquet(table, target)


def is_same_table(found: Mapping[str, Any], wanted: Definition) -> bool:
    """Return whether a definition of the catalog is of the files of `wanted`, in their format."""
    locations = [_plain(each.get("StorageDescriptor", {}).get("Location", "")) for each in (found, wanted)]
    return locations[0] == locations[1] and _is_delta(found) == _is_delta(wanted)


def merge_definitions(found: Mapping[str, Any], wanted: Definition) -> Definition | None:
    """Return the definition of the catalog changed to `wanted`, or None if it says all of that already.

    What it says beyond `wanted` stays, such as columns of an earlier contract and parameters of other programs.
    """
    known = {name: value for name, value in found.items() if name in _INPUT}
    merged = _overlay(known, wanted)
    partitions = {key["Name"] for key in wanted["PartitionKeys"]}
    kept = [each for each in known["StorageDescriptor"].get("Columns", []) if each["Name"] not in partitions]
    merged["StorageDescriptor"]["Columns"] = _merge_columns(kept, wanted["StorageDescriptor"]["Columns"])
    return None if merged == known else merged


def _define_delta(table: Table, target: Target) -> Definition:
    """Return the definition of a Delta table: Athena reads its log, Lake Formation and views read these columns."""
    location = f"{target.table_url(table)}/"
    storage = {
        "InputFormat": "org.apache.hadoop.mapred.SequenceFileInputFormat",
        "OutputFormat": "org.apache.hadoop.hive.ql.io.HiveSequenceFileOutputFormat",
        "SerdeInfo": {
            "SerializationLibrary": "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe",
            "Parameters": {"serialization.format": "1", "path": location},
        },
    }
    return _define(
        table,
        columns=[_column(each) for each in table.columns if each.name != DATE.name],
        partitions=[_column(DATE)],
        storage={"Location": location, **storage},
        # Spark with this catalog recognizes a Delta table by its provider and path, Athena by its type.
        parameters={"table_type": "DELTA", "spark.sql.sources.provider": "delta"},
    )


def _define_parquet(table: Table, target: Target) -> Definition:
    return _define(
        table,
        columns=[_column(each) for each in table.columns],
        partitions=[{"Name": name, "Type": "int"} for name, *_ in PARTITIONS],
        storage={"Location": f"{target.table_url(table)}/", **_PARQUET},
        parameters=projection(table, target),
    )


def _define(
    table: Table,
    *,
    columns: list[dict[str, str]],
    partitions: list[dict[str, str]],
    storage: Mapping[str, Any],
    parameters: Mapping[str, str],
) -> Definition:
    return {
        "Name": table.name,
        "Description": table.doc,
        "TableType": "EXTERNAL_TABLE",
        "Parameters": {"EXTERNAL": "TRUE", "comment": table.doc, **parameters},
        "PartitionKeys": partitions,
        "StorageDescriptor": {"Columns": columns, **storage},
    }


def _column(column: Column) -> dict[str, str]:
    return {"Name": column.name, "Type": hive_type(column.type), "Comment": column.comment}


def _merge_columns(found: list[dict[str, Any]], wanted: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Return the found columns in their order, changed to the wanted ones; new columns follow, as in a Delta log."""
    by_name = {column["Name"]: column for column in wanted}
    kept = [{**column, **by_name.pop(column["Name"], {})} for column in found]
    return [*kept, *by_name.values()]


def _overlay(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(found)
    for name, value in wanted.items():
        before = found.get(name)
        merged[name] = _overlay(before, value) if isinstance(value, Mapping) and isinstance(before, Mapping) else value
    return merged


def _is_delta(definition: Mapping[str, Any]) -> bool:
    parameters = definition.get("Parameters", {})
    return "delta" in (parameters.get("table_type", "").lower(), parameters.get("spark.sql.sources.provider", ""))


def _plain(location: str) -> str:
    """Return the location without its scheme and last slash, in which spellings of one location differ."""
    return re.sub(r"^s3[an]?://", "", location).rstrip("/")
