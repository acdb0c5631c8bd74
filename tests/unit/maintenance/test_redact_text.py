"""Test that a cut removes a subject's records and no byte of another."""

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daily_batch.domain.run import Limits
from daily_batch.maintenance.redact_text import find_cuts, holds_exactly, kept_blocks, may_hold
from daily_batch.maintenance.subject import Subject

CAROL = Subject("acme", "user", frozenset({"carol"}))
LIMITS = Limits()


def cut(text: bytes, subject: Subject = CAROL) -> bytes:
    cuts = find_cuts(text, subject, limits=LIMITS)
    assert cuts.doubt == ""
    new = b"".join(kept_blocks(text, cuts, block_bytes=3))
    assert holds_exactly(new, cuts, limits=LIMITS)
    return new


def record(user: str, number: int = 1) -> bytes:
    return json.dumps({"user_id": user, "n": number}).encode()


C, D, E = record("carol"), record("dave"), record("eve", 2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (C + b"\n" + D + b"\n", D + b"\n"),
        (D + b"\r\n" + C + b"\r\n" + E + b"\r\n", D + b"\r\n" + E + b"\r\n"),
        (D + b"\n" + C, D + b"\n"),
        (b"\n  " + C + b"  \n\n" + D, b"\n\n" + D),
        (C + D + C + E, D + E),
        (b"\x1e" + C + b"\n\x1e" + D + b"\n", b"\x1e" + D + b"\n"),
        (b"\xef\xbb\xbf" + C + b"\n" + D, b"\xef\xbb\xbf\n" + D),
        (b"[" + C + b", " + D + b"]", b"[" + D + b"]"),
        (b"[" + D + b", " + C + b"]", b"[" + D + b"]"),
        (b"[\n  " + D + b",\n  " + C + b",\n  " + C + b",\n  " + E + b"\n]", b"[\n  " + D + b",\n  " + E + b"\n]"),
        (b"[" + C + b"]\n" + D, b"[]\n" + D),
        (b"[" + C + b"," + C + b"]\n[" + D + b"]", b"[]\n[" + D + b"]"),
        (D + b"\nno json, of Dave's\n" + C + b"\n", D + b"\nno json, of Dave's\n"),
    ],
)
def test_cut_keeps_the_bytes_of_every_other_record(text: bytes, expected: bytes) -> None:
    assert cut(text) == expected


@pytest.mark.parametrize("broken", [b'{"user_id": "carol", "n": ', b'{"user_id": "c\\u0061rol", "n": }', b"carol,1,x"])
def test_broken_record_that_names_the_id_is_a_doubt(broken: bytes) -> None:
    assert find_cuts(D + b"\n" + broken + b"\n", CAROL, limits=LIMITS).doubt == "a broken record names the id"


def test_wrong_cut_is_noticed() -> None:
    text = D + b"\n" + C + b"\n" + E
    cuts = find_cuts(text, CAROL, limits=LIMITS)
    for wrong in (text, D, D + b"\n" + E.replace(b"2", b"3"), D + b"\n" + E + E):
        assert not holds_exactly(wrong, cuts, limits=LIMITS)


@pytest.mark.parametrize("user", ["carol", "佐藤 花子", 'o\'brien "x"', "a/b", "4711"])
def test_quick_search_misses_no_spelling(user: str) -> None:
    subject = Subject("acme", "user", frozenset({user}))
    escaped = json.dumps(user)
    everywhere = "".join(f"\\u{ord(character):04X}" for character in user)
    upper = re.sub(r"\\u(....)", lambda code: rf"\u{code[1].upper()}", escaped)
    for each in (escaped, json.dumps(user, ensure_ascii=False), f'"{everywhere}"', upper, escaped.replace("/", "\\/")):
        text = f'{{"user_id": {each}}}'
        assert json.loads(text) == {"user_id": user}
        assert may_hold(text.encode(), subject)
    assert user.isdigit() or not may_hold(b'{"user_id": "dave"}', subject)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text(max_size=8), lambda inner: st.lists(inner, max_size=3)
)
RECORDS = st.lists(
    st.fixed_dictionaries({"user_id": st.sampled_from(["carol", "dave", "carol2"]), "v": VALUES}),
    min_size=1,
    max_size=6,
)


@settings(max_examples=300, deadline=None)
@given(RECORDS, st.sampled_from(["lines", "array", "pretty", "joined"]), st.booleans())
def test_any_text_keeps_the_other_records(records: list[dict[str, Any]], form: str, ascii_only: bool) -> None:
    texts = [json.dumps(each, ensure_ascii=ascii_only) for each in records]
    kept = [text for text, each in zip(texts, records, strict=True) if each["user_id"] != "carol"]
    if form == "pretty":
        text = json.dumps(records, indent=2, ensure_ascii=ascii_only)
    else:
        text = {"lines": "\n".join(texts), "array": f"[{','.join(texts)}]", "joined": "".join(texts)}[form]
    new = cut(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")
    if form in ("array", "pretty"):
        assert json.loads(new) == [each for each in records if each["user_id"] != "carol"]
    else:
        assert new.replace("\n", "") == "".join(kept)
