"""Delta schemas, derived from the contract's DuckDB type names."""

from collections.abc import Iterator

from deltalake import Schema
from deltalake.schema import ArrayType, DataType, Field, PrimitiveType, StructType

from daily_batch.domain.contract import Table

# TIMESTAMPTZ only: Delta's type for a plain TIMESTAMP needs reader 3 and writer 7.
PRIMITIVES = {
    "BIGINT": "long",
    "BLOB": "binary",
    "BOOLEAN": "boolean",
    "DATE": "date",
    "DOUBLE": "double",
    "INTEGER": "integer",
    "TIMESTAMPTZ": "timestamp",
    "VARCHAR": "string",
}


def delta_type(name: str) -> DataType:
    """Return the Delta type of a DuckDB type name such as `STRUCT(a VARCHAR, b BIGINT)[]`.

    Raises:
        KeyError: a type that protocol reader 1, writer 2 does not have, or that the contract never used.
    """
    if name.endswith("[]"):
        return ArrayType(delta_type(name[:-2]), contains_null=True)
    if name.startswith("STRUCT(") and name.endswith(")"):
        members = (member.split(" ", 1) for member in _split_members(name[len("STRUCT(") : -1]))
        return StructType([Field(member, delta_type(kind), nullable=True) for member, kind in members])
    return PrimitiveType(PRIMITIVES[name])


def table_schema(table: Table) -> Schema:
    """Return the table's columns as Delta's schema; every column is nullable."""
    return Schema([Field(column.name, delta_type(column.type), nullable=True) for column in table.columns])


def evolve_schema(existing: Schema, wanted: Schema) -> Schema:
    """Return `existing` with the columns it lacks added at its end; columns that only it has stay.

    Raises:
        ValueError: a column has another type than wanted; the message names it.
    """
    known = {field.name: field for field in existing.fields}
    for field in wanted.fields:
        if field.name in known and known[field.name].type.to_json() != field.type.to_json():
            raise ValueError(f"column {field.name} is {known[field.name].type}, not {field.type}")
    added = [field for field in wanted.fields if field.name not in known]
    return Schema([*existing.fields, *added]) if added else existing


def _split_members(text: str) -> Iterator[str]:
    """Split at the commas that are inside no parentheses."""
    depth = start = 0
    for position, character in enumerate(text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            yield text[start:position].strip()
            start = position + 1
    yield text[start:].strip()
