"""Derive Delta schemas from the contract's DuckDB type names."""

from collections.abc import Iterator

from deltalake import Schema
from deltalake.schema import ArrayType, DataType, Field, PrimitiveType, StructType

from daily_batch.domain.contract import Table

# No plain TIMESTAMP: Delta's type for it (timestamp_ntz) needs reader 3 and writer 7.
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
        KeyError: Reader 1 and writer 2 do not support the type, or the contract does not use it.
    """
    if name.endswith("[]"):
        return ArrayType(delta_type(name[:-2]), contains_null=True)
    if name.startswith("STRUCT(") and name.endswith(")"):
        members = (member.split(" ", 1) for member in _split_members(name[len("STRUCT(") : -1]))
        return StructType([Field(member, delta_type(kind), nullable=True) for member, kind in members])
    return PrimitiveType(PRIMITIVES[name])


def table_schema(table: Table) -> Schema:
    """Return the table's Delta schema. Every column is nullable, and has its comment in the metadata."""
    return Schema(
        [
            Field(column.name, delta_type(column.type), nullable=True, metadata={"comment": column.comment})
            for column in table.columns
        ]
    )


def evolve_schema(existing: Schema, target: Schema) -> Schema:
    """Return `existing` with `target`'s comments, and its missing columns appended.

    Further columns of `existing`, and further metadata of a column, stay.

    Raises:
        ValueError: A column's type differs from the target's; the message names the column.
    """
    fields = {field.name: field for field in existing.fields}
    for field in target.fields:
        if field.name in fields and fields[field.name].type.to_json() != field.type.to_json():
            raise ValueError(f"column {field.name} is {fields[field.name].type}, not {field.type}")
        kept = fields.get(field.name, field)
        metadata = {**kept.metadata, **field.metadata}
        fields[field.name] = Field(field.name, kept.type, nullable=kept.nullable, metadata=metadata)
    return Schema(list(fields.values()))


def _split_members(text: str) -> Iterator[str]:
    """Split at the commas outside of parentheses."""
    depth = start = 0
    for position, character in enumerate(text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            yield text[start:position].strip()
            start = position + 1
    yield text[start:].strip()
