"""Delta schemas: types from DuckDB names, and evolution of older tables."""

import json

import pytest
from deltalake import Schema
from deltalake.schema import Field, PrimitiveType

from daily_batch.domain.contract import MESSAGES, TABLES
from daily_batch.pipeline.publish.schema import delta_type, evolve_schema, table_schema


def test_nested_types_are_read_from_their_duckdb_names():
    assert json.loads(delta_type("STRUCT(a VARCHAR, b STRUCT(c DOUBLE, d BIGINT)[], e VARCHAR[])[]").to_json()) == {
        "type": "array",
        "containsNull": True,
        "elementType": {
            "type": "struct",
            "fields": [
                {"name": "a", "type": "string", "nullable": True, "metadata": {}},
                {
                    "name": "b",
                    "nullable": True,
                    "metadata": {},
                    "type": {
                        "type": "array",
                        "containsNull": True,
                        "elementType": {
                            "type": "struct",
                            "fields": [
                                {"name": "c", "type": "double", "nullable": True, "metadata": {}},
                                {"name": "d", "type": "long", "nullable": True, "metadata": {}},
                            ],
                        },
                    },
                },
                {
                    "name": "e",
                    "nullable": True,
                    "metadata": {},
                    "type": {"type": "array", "containsNull": True, "elementType": "string"},
                },
            ],
        },
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("TIMESTAMPTZ", "timestamp"),
        ("DATE", "date"),
        ("INTEGER", "integer"),
        ("BIGINT", "long"),
        ("BLOB", "binary"),
        ("BOOLEAN", "boolean"),
        ("DOUBLE", "double"),
        ("VARCHAR", "string"),
    ],
)
def test_plain_types_are_converted(name: str, expected: str):
    assert delta_type(name) == PrimitiveType(expected)


@pytest.mark.parametrize("name", ["TIMESTAMP", "UBIGINT", "HUGEINT", ""])
def test_type_unknown_to_old_readers_is_refused(name: str):
    with pytest.raises(KeyError):
        delta_type(name)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_table_has_its_columns_in_order(table):
    assert [field.name for field in table_schema(table).fields] == list(table.names)


def test_old_table_gets_the_new_columns_and_keeps_its_own():
    target = table_schema(MESSAGES)
    old = Schema([*target.fields[:3], Field("theirs", PrimitiveType("string"))])
    evolved = [field.name for field in evolve_schema(old, target).fields]
    assert evolved == [*MESSAGES.names[:3], "theirs", *MESSAGES.names[3:]]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_comments_say_the_meaning_and_what_is_never_null(table):
    comments = {field.name: field.metadata["comment"] for field in table_schema(table).fields}
    assert all(comments[column.name].startswith(column.doc) for column in table.columns)
    never_null = {name for name, comment in comments.items() if comment.endswith("; never null")}
    assert never_null == {column.name for column in table.columns if column.required}
    assert never_null >= {"date", "tenant_id", "run_id", "processed_at"}


def test_old_table_gets_the_comments_and_keeps_other_metadata():
    target = table_schema(MESSAGES)
    theirs = Field("theirs", PrimitiveType("string"), metadata={"comment": "not ours"})
    room = Field("room_id", PrimitiveType("string"), metadata={"comment": "outdated", "owner": "them"})
    evolved = {field.name: field for field in evolve_schema(Schema([room, theirs]), target).fields}
    comments = {field.name: field.metadata["comment"] for field in target.fields}
    assert evolved["room_id"].metadata == {"comment": comments["room_id"], "owner": "them"}
    assert evolved["theirs"] == theirs
    assert {name: evolved[name].metadata["comment"] for name in comments} == comments


def test_current_table_keeps_its_schema():
    current = Schema([*table_schema(MESSAGES).fields, Field("theirs", PrimitiveType("string"))])
    assert evolve_schema(current, table_schema(MESSAGES)) == current


def test_column_of_another_type_is_refused_by_name():
    with pytest.raises(ValueError, match="room_id"):
        evolve_schema(Schema([Field("room_id", PrimitiveType("long"))]), table_schema(MESSAGES))
