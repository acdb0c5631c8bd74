"""Invalid JSON is never published: every field with every token that a lenient parser takes for a value."""

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daily_batch.domain.codes import Reason
from daily_batch.pipeline.transform.json_value import is_json
from tests.oracle.json_text import DeepError, NotJsonError, deep_values, read_value
from tests.support.adversarial_day import message
from tests.support.adversarial_json import records
from tests.support.mapped_objects import map_objects

FIELDS = (
    *("message_id", "id", "user_id", "room_id", "chat_id", "timestamp", "role", "content"),
    *("attachments", "generated_images", "images", "context", "crawl_sources", "agent_info", "tenant_id", "unlisted"),
)
# Where a value may occur: alone, or inside a listed field.
POSITIONS = (
    "{}",
    '[{{"url": {}}}]',
    '{{"mode": {}}}',
    '{{"tokens_used": {}}}',
    '{{"rag_sources": [{{"score": {}}}]}}',
)
TOKENS = (
    *("nan", "NaN", "NAN", "-nan", "+NaN", "-NaN", "nAn"),
    *("inf", "Inf", "INF", "-inf", "+inf", "-Inf", "infinity", "Infinity", "-Infinity", "+Infinity", "INFINITY"),
    *("0x1F", "0X1f", "-0x10", "0o17", "0b11", "017", "00", "01", "-01", "007.5", "+1", "+0", "++1", "- 1", "--1"),
    *(".5", "-.5", "1.", "1.e3", "1e", "1e+", "1E-", "1_000", "1,5,", "1 2", "1f", "1n", "1L", "½", "١"),
    *("undefined", "None", "nil", "NULL", "Null", "nul", "True", "TRUE", "False", "FALSE", "tru", "yes"),
    *("'x'", "''", "`x`", '"x', "x", '"a" "b"', '"\\x41"', '"\\u12"', '"\\uZZZZ"', '"\\\'"', '"\t"', '"\x00"', "“x”"),
    *("[1,]", "[,1]", "[1 2]", '{"a":1,}', "{a:1}", "{'a':1}", "{,}", '{"a"}', '{"a":}', '{"a" 1}', "[1", '{"a":1'),
    *("/*c*/1", "1/*c*/", "1//c", "//c", "#c", "<!--c-->1", "1;", "", "=1", ":1", "(1)", "Date(1)", "/x/", "..."),
)
FOLLOWERS = ("}", ', "more": 12345}', ' , "more": [1, {"a": "b"}]}', ', "more": 1, "more": 2}', ",}", "}}")


def make_lines(field: str) -> list[bytes]:
    """Return records that would be valid except for one token in one field."""
    before = json.dumps(message(**{field: ...}), ensure_ascii=False)[:-1]
    lines = (
        f'{before}, "{field}": {position.format(token)}{after}'
        for token, position, after in itertools.product(TOKENS, POSITIONS, FOLLOWERS)
    )
    return [line.encode() for line in lines if not is_json_for_oracle(line)]  # `{"a":1` plus `}` is JSON


def test_there_are_enough_tokens_and_none_is_json() -> None:
    assert len(set(TOKENS)) == len(TOKENS) > 40
    for token in TOKENS:
        with pytest.raises(json.JSONDecodeError):
            json.loads(token, parse_constant=lambda name: json.loads(name.lower()))


@pytest.mark.parametrize("field", FIELDS)
def test_invalid_token_is_never_published(field: str) -> None:
    lines = make_lines(field)
    rows, rejects, counts = map_objects({"acme/a": b"\n".join(lines)})
    assert len(lines) > 2_500
    assert rows == []
    assert counts.rejected == len(rejects) == counts.seen
    assert set(counts.rejects) == {Reason.INVALID_JSON}
    # All bytes of all lines are in the rejects, however they are split.
    assert sorted(b"".join(row[4] for row in rejects)) == sorted(b"".join(line.rstrip() for line in lines))


@deep_values()
def is_json_for_oracle(text: str) -> bool:
    try:
        end = read_value(text.strip(" \t\r\n"), 0, 10_000).end
    except (NotJsonError, DeepError):
        return False
    return end == len(text.strip(" \t\r\n"))


PARTS = st.one_of(
    records(),
    st.sampled_from(TOKENS),
    st.sampled_from(["{", "}", "[", "]", ",", ":", '"', "\\", " ", "\n", "null", "1", '"a"', "\\u0041", "é", "\x7f"]),
)


@settings(deadline=None, max_examples=1_000)
@given(st.lists(PARTS, min_size=1, max_size=6).map("".join), st.data())
def test_strict_parser_accepts_the_same_texts_as_the_oracle(text: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text)))
    cut = data.draw(st.sampled_from([text, text[:at], text[at:], text[:at] + text[at + 1 :]]))
    raw = cut.encode("utf-8", "surrogatepass")
    if b"\\ud" in raw.lower():  # a lone surrogate is valid JSON, but only for the general path
        return
    assert is_json(raw) == is_json_for_oracle(cut)
