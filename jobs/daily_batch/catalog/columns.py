"""The contract's columns as DDL for Hive and Spark, whose types follow from Delta's."""

from deltalake.schema import ArrayType, DataType, PrimitiveType, StructType

from daily_batch.catalog.names import quote_name, quote_value
from daily_batch.domain.contract import Table
from daily_batch.pipeline.publish.schema import delta_type

# Types whose names differ from Delta's.
_RENAMED = {"long": "bigint", "integer": "int"}
# Partition folders of plain Parquet: name, digits, first and last value. Athena enumerates all years of the range.
PARTITIONS = (("year", 4, 2020, 2039), ("month", 2, 1, 12), ("day", 2, 1, 31))


def hive_type(name: str) -> str:
    """Return the Hive and Spark type of a DuckDB type.

    >>> hive_type("STRUCT(role VARCHAR, messages BIGINT)[]")
    'array<struct<role:string,messages:bigint>>'
    """
    return _hive(delta_type(name))


def define_columns(table: Table) -> str:
    """Return the columns with their comments, one per line."""
    return ",\n".join(
        f"  {quote_name(column.name)} {hive_type(column.type)} COMMENT {quote_value(column.comment)}"
        for column in table.columns
    )


def _hive(kind: DataType) -> str:
    match kind:
        case ArrayType():
            return f"array<{_hive(kind.element_type)}>"
        case StructType():
            return f"struct<{','.join(f'{field.name}:{_hive(field.type)}' for field in kind.fields)}>"
        case PrimitiveType():
            return _RENAMED.get(kind.type, kind.type)
    raise AssertionError("delta_type returns no other")
