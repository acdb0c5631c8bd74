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


def test_digest_depends_on_tenant_kind_and_id_only() -> None:
    digest = Subject("acme", "user", frozenset({"user_1"})).digest
    assert digest == Subject("acme", "user", frozenset({"user_1"}), mentions=True).digest
    assert (
        len(
            {
                digest,
                Subject("acme", "room", frozenset({"user_1"})).digest,
                Subject("globex", "user", frozenset({"user_1"})).digest,
            }
        )
        == 3
    )


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
        if not subject.is_named_in(f"x{text}x"):
            raw = longer.encode("utf-8", "replace")
            assert subject.match_reject(key="acme/exports/x", line=1, detail="", raw=raw, truncated=False) is None


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
