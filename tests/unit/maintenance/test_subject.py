"""Test how a subject is validated, identified and matched in rejects."""

import gzip
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daily_batch.errors import UsageError
from daily_batch.maintenance.subject import Subject


@pytest.mark.parametrize("text", ["", "x" * 513, "a\x00b"])
def test_invalid_id_is_rejected(text: str) -> None:
    with pytest.raises(UsageError, match="no user can have this id"):
        Subject("acme", "user", frozenset({text}))


def test_ids_are_limited_for_a_pass() -> None:
    many = frozenset(f"user{number}" for number in range(101))
    assert Subject("acme", "user", many).mention_condition is None
    with pytest.raises(UsageError, match="101 ids are too many for one pass with --mentions"):
        Subject("acme", "user", many, mentions=True)
    with pytest.raises(UsageError, match="10,001 ids are too many for one pass"):
        Subject("acme", "user", frozenset(map(str, range(10_001))))


def test_several_ids_are_found_by_one_search() -> None:
    ids = ("user_1", "a.b@example.com", "佐藤 花子", 'o\'brien "x"')
    subject = Subject("acme", "user", frozenset(ids))
    for each in ids:
        assert subject.is_named_in(json.dumps({"user_id": each}))
        assert subject.is_named_in(f"by {each}, later")
        assert not subject.is_named_in(f"x{each}x")
        assert subject.owns_key(f"acme/chat/{each}/r/messages/2025/08/12/x.json")
    assert not subject.is_named_in("user_10, b@example.com and 佐藤")


@settings(max_examples=40, deadline=None)
@given(st.text(min_size=1, max_size=12).filter(lambda text: "\x00" not in text))
def test_id_matches_in_every_spelling_but_not_inside_a_longer_word(text: str) -> None:
    subject = Subject("acme", "user", frozenset({text}))
    for ascii_only in (True, False):
        body = json.dumps({"user_id": text, "n": 1}, ensure_ascii=ascii_only)
        for raw in (body.encode("utf-8", "replace"), body.encode("utf-16-le", "surrogatepass")):
            if text.encode("utf-8", "replace").decode() == text:
                match = subject.match_reject(key="acme/exports/x", line=1, detail="", raw=raw, truncated=False)
                assert match == "match"
        longer = json.dumps({"user_id": f"x{text}x"}, ensure_ascii=ascii_only)
        if not subject.is_named_in(f"x{text}x") and not subject.is_named_in(json.dumps({"user_id": "xx"})):
            raw = longer.encode("utf-8", "replace")
            assert subject.match_reject(key="acme/exports/x", line=1, detail="", raw=raw, truncated=False) is None


@pytest.mark.parametrize("text", [" ", ":", ": ", "{"])
def test_id_of_json_syntax_characters_matches_every_reject_that_contains_them(text: str) -> None:
    subject = Subject("acme", "user", frozenset({text}))
    raw = b'{"user_id": "xx"}'
    assert subject.match_reject(key="acme/exports/x", line=1, detail="", raw=raw, truncated=False) == "match"


def test_reject_with_inconclusive_bytes_is_doubtful() -> None:
    subject = Subject("acme", "user", frozenset({"user_1"}))
    packed = gzip.compress(b'{"user_id": "other"}' * 2000)
    reject: dict[str, Any] = {"key": "acme/exports/x.gz", "detail": "", "truncated": True}
    assert subject.match_reject(line=0, raw=packed, **reject) is None
    assert subject.match_reject(line=0, raw=packed[:40] + b"\xff" * 20, **reject) == "doubtful"
    assert subject.match_reject(line=0, raw=gzip.compress(b'{"user_id": "user_1"}'), **reject) == "match"
    assert subject.match_reject(line=3, raw=b'{"content": "aaaaaa', **reject) == "doubtful"
    assert subject.match_reject(line=3, raw=b'{"user_id": "other", "content": "aaa', **reject) is None
    assert subject.match_reject(line=3, raw=b'{"a": [{"b": 1}], "user_id" : "o\\"r", "content": "aaa', **reject) is None
    for nested in (b'{"reply_to": {"user_id": "other"}, "content": "aaa', b'{"a": "user_id", "b": "x", "content": "a'):
        assert subject.match_reject(line=3, raw=nested, **reject) == "doubtful"
    assert subject.match_reject(line=3, raw=b'{"user_id": "us', **reject) == "doubtful"
    assert subject.match_reject(line=3, raw=b"{", key="acme/chat/other/r/messages/x", detail="", truncated=True) is None
