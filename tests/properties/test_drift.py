"""The fast path verifies common schema drift, and the general path reads verified records identically."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daily_batch.domain.run import Limits
from daily_batch.pipeline.transform import fast_parser
from daily_batch.pipeline.transform.coerce import InvalidRecordError, coerce_record
from daily_batch.pipeline.transform.decode import decode
from daily_batch.pipeline.transform.duckdb_session import connect
from daily_batch.pipeline.transform.fields import ARRAYS, FIELDS
from daily_batch.pipeline.transform.json_value import read_record
from daily_batch.pipeline.transform.split import Segment, TextBatch
from daily_batch.pipeline.transform.write import typed_array
from tests.support.adversarial_day import message, raw_line
from tests.support.drifted_json import drifted
from tests.support.run_specs import sample_spec

SPEC = sample_spec()
TYPED_COLUMNS = ", ".join(f"{typed_array(name)} AS {name}" if name in ARRAYS else name for name in FIELDS)
Fields = dict[str, Any]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    with connect(scratch=tmp_path_factory.mktemp("scratch"), spec=SPEC) as connection:
        fast_parser.prepare(connection, SPEC.tenant)
        yield connection


def parse_fast(database: duckdb.DuckDBPyConnection, texts: Sequence[bytes]) -> list[Fields | None]:
    """Return the fields of each text on the fast path, or None where it cannot verify them."""
    body = b"\n".join(texts)
    decoded = decode(body, key="a", limits=Limits(), scratch=Path("unused"))
    batch = TextBatch([Segment(0, decoded, 0, len(body), 1, body.count(b"\n"))], whole=False, max_length=len(body))
    database.register("batch", batch.to_table())
    database.execute(f"CREATE OR REPLACE TEMP TABLE parsed AS {fast_parser.QUERY}")
    database.unregister("batch")
    found = database.execute(f"SELECT piece, {TYPED_COLUMNS} FROM parsed WHERE verified").fetchall()
    verified = {piece: dict(zip(FIELDS, values, strict=True)) for piece, *values in found}
    return [verified.get(piece) for piece in range(len(texts))]


def parse_general(database: duckdb.DuckDBPyConnection, text: bytes) -> Fields | None:
    """Return the fields of a text on the general path, or None where it rejects the record."""
    found = read_record(text, start=0, line=1, limits=Limits())
    if not found or not isinstance(found.value, dict) or not found.value:
        return None
    try:
        fields = coerce_record(found.value, tenant=SPEC.tenant)
    except InvalidRecordError:
        return None
    columns = ", ".join(f"?::{kind} AS {name}" for name, kind in FIELDS.items())
    ((*values,),) = database.execute(
        f"SELECT {TYPED_COLUMNS} FROM (SELECT {columns})", list(fields.values())
    ).fetchall()
    return dict(zip(fields, values, strict=True))


def in_field_order(fields: Fields | None) -> Fields | None:
    return fields and {name: fields[name] for name in FIELDS}


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(drifted(), min_size=1, max_size=30))
def test_general_path_reads_verified_records_identically(database: duckdb.DuckDBPyConnection, texts: list[str]) -> None:
    lines = [text.encode() for text in texts]
    for line, verified in zip(lines, parse_fast(database, lines), strict=True):
        if verified:
            # Compare representations: -0.0 equals 0.0.
            assert repr(verified) == repr(in_field_order(parse_general(database, line))), line


SOURCE = {"title": 'a,"content":', "source": "s", "text": 'x "content": {"content":1}', "score": 0.75}
RENAMED = {"content" if name == "text" else name: value for name, value in SOURCE.items()}
CLIENT = {"version": "4.5", "build": 12, "tags": ["a", None, True], "locale": "ja-JP"}
VERIFIED: dict[str, tuple[dict[str, object], list[str]]] = {
    "images": ({"images": [{"url": "u"}]}, ["aliased_field"]),
    "empty images": ({"images": []}, ["aliased_field"]),
    "null images": ({"images": None, "generated_images": [{"url": "u"}]}, []),
    "images for null": ({"images": [{"url": "u"}], "generated_images": None}, ["aliased_field"]),
    "crawl_sources": ({"context": {"crawl_sources": [SOURCE, SOURCE]}}, ["aliased_field"]),
    "top crawl_sources": ({"crawl_sources": [SOURCE]}, ["aliased_field"]),
    "content of sources": ({"context": {"rag_sources": [RENAMED, SOURCE]}}, ["aliased_field"]),
    "content of crawl_sources": ({"crawl_sources": [RENAMED]}, ["aliased_field"]),
    "usual sources": ({"context": {"rag_sources": [SOURCE]}}, []),
    "null content": ({"content": None}, []),
    "nulls": (dict.fromkeys(("id", "chat_id", "attachments", "context", "agent_info", "crawl_sources")), []),
    "unlisted": ({"client": CLIENT, "feedback": None, "パーソナ": {"名前": "ア"}, "a.b/*": -12, "zero": 0}, []),
    "numeric ids": (
        {"message_id": 10**24, "id": -12, "room_id": 7, "images": []},
        ["aliased_field", "numeric_id"],
    ),
    "ids that look like numbers": ({"message_id": "12", "user_id": "-0", "id": "1.5", "content": "{}"}, []),
    "large number": ({"nonce": 10**30}, []),
    "own tenant": ({"tenant_id": "acme"}, []),
    "another tenant": ({"tenant_id": "globex"}, ["tenant_conflict"]),
    "no tenant": ({"tenant_id": None}, ["tenant_conflict"]),
    "all": (
        {"tenant_id": "globex", "images": [], "crawl_sources": [RENAMED], "client": CLIENT, "chat_id": None},
        ["aliased_field", "tenant_conflict"],
    ),
}


@pytest.mark.parametrize("name", VERIFIED)
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_common_drift_stays_on_the_fast_path(
    database: duckdb.DuckDBPyConnection, name: str, separators: tuple[str, str]
) -> None:
    sent, flags = VERIFIED[name]
    text = json.dumps(message(**sent), ensure_ascii=False, separators=separators).encode()
    (verified,) = parse_fast(database, [text])
    assert verified
    assert verified["parse_flags"] == ",".join(flags)
    assert repr(verified) == repr(in_field_order(parse_general(database, text)))


@pytest.mark.parametrize(
    "insert",
    [
        '"x":1,"x":1',
        '"x":{"a":1,"a":2}',
        '"x":{"a":1,"\\u0061":2}',
        '"x":[{"a":1}]',
        '"x":{"a":{"b":1}}',
        '"x":1.0',
        '"x":{"a":0.10}',
        '"x":1e5',
        '"x":-0',
        '"x":[-0 ]',
        '"x":"a\\nb"',
        '"a\\"b":1',
        '"a\\":1,\\"b":1',
        '"a\\u0000b":1',
        '"images":[],"generated_images":[]',
        '"images":{}',
        '"context":{"rag_sources":[]},"crawl_sources":[]',
        '"context":{"rag_sources":[],"crawl_sources":[]}',
        '"crawl_sources":[{"text":"a","content":"b"}]',
        '"crawl_sources":[{"content":null}]',
        '"crawl_sources":[{"content":1}]',
        '"crawl_sources":[{"score":1e-400}]',
        '"crawl_sources":[{"score":0.1000000000000000055}]',
        '"message_id":null',
        '"id":-0',
        '"id":0',
        '"id":1.0',
        '"id":1e3',
        '"id":true',
        '"id":[1]',
        '"chat_id":12,"id":{}',
    ],
)
def test_drift_that_cannot_be_verified_takes_the_general_path(database: duckdb.DuckDBPyConnection, insert: str) -> None:
    assert parse_fast(database, [raw_line(insert)]) == [None]


def test_object_that_may_wrap_a_list_takes_the_general_path(
    database: duckdb.DuckDBPyConnection,
) -> None:
    assert parse_fast(database, [b'{"user_id":"u1","room_id":"r1","x":[1]}']) == [None]


def test_record_with_very_many_fields_takes_the_general_path(database: duckdb.DuckDBPyConnection) -> None:
    many = ",".join(f'"k{number}":1' for number in range(1_000))
    assert parse_fast(database, [raw_line(many)]) == [None]
