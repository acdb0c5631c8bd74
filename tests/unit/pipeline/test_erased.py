"""Test how erased ids are recognized: in rows and keys by digest, in the bytes of a reject in every spelling."""

import gzip
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daily_batch.domain.erased import DIGEST_LENGTH, ErasedIds, digest_id
from daily_batch.pipeline.transform.erased import RejectFilter

KEY = "0123456789abcdef" * 2
IDS = ("carol", "a.b@example.com", "佐藤 花子", 'o\'brien "x"', "50%_off")


def erased(*users: str, rooms: tuple[str, ...] = ()) -> ErasedIds:
    def digests(kind: str, ids: tuple[str, ...]) -> frozenset[str]:
        return frozenset(digest_id(KEY, kind, each) for each in ids)  # type: ignore[arg-type]

    return ErasedIds(key=KEY, users=digests("user", users), rooms=digests("room", rooms))


def match(
    raw: bytes, ids: ErasedIds, *, truncated: bool = False, whole: bool = False, owner: bool = False
) -> str | None:
    return RejectFilter(ids).match(raw, truncated=truncated, whole_object=whole, has_owner=owner)


def test_digest_depends_on_key_kind_and_id() -> None:
    digests = {digest_id(KEY, "user", "a"), digest_id(KEY, "room", "a"), digest_id(KEY, "user", "b")}
    digests.add(digest_id(KEY[::-1], "user", "a"))
    assert [len(each) for each in digests] == [DIGEST_LENGTH] * 4
    assert "carol" not in repr(erased("carol")) + str(digests)


def test_fingerprint_changes_with_the_list_and_only_with_it() -> None:
    assert ErasedIds().mix("ab") == "ab"
    mixed = [each.mix("ab") for each in (erased("a"), erased("b"), erased("a", "b"), erased(rooms=("a",)))]
    assert len({*mixed, "ab", erased("a").mix("ac")}) == 6
    assert erased("a", "b").mix("ab") == erased("b", "a").mix("ab")


@pytest.mark.parametrize("user", IDS)
def test_broken_record_of_an_erased_user_is_recognized(user: str) -> None:
    ids = erased(*IDS)
    for ascii_only in (True, False):
        text = json.dumps({"user_id": user, "n": 1}, ensure_ascii=ascii_only)
        for raw in (text[:-2].encode(), text.encode("utf-16-le"), gzip.compress(text.encode()), f"{user},1\n".encode()):
            assert match(raw, ids) == "erased" or (raw == f"{user},1\n".encode() and '"' in user)
        assert match(json.dumps({"user_id": f"x{user}x"}, ensure_ascii=ascii_only).encode(), ids) is None
    assert match(json.dumps({"user_id": user}).encode(), ErasedIds()) is None


def test_bytes_that_could_hide_an_id_are_doubtful() -> None:
    ids = erased("carol")
    assert match(b'{"content": "aaa', ids, truncated=True) == "doubtful"
    assert match(b'{"user_id": "dave", "content": "aaa', ids, truncated=True) is None
    assert match(b'{"content": "aaa', ids, truncated=True, owner=True) is None
    assert match(b'{"content": "aaa', ids, truncated=True, whole=True) is None
    assert match(gzip.compress(b"dave" * 99)[:20] + b"\xff" * 20, ids, whole=True) == "doubtful"
    assert match(b'{"user_id": "dave", "content": "a', erased(rooms=("r1",)), truncated=True) == "doubtful"
    assert match(b'{"room_id": "r1"', erased(rooms=("r1",))) == "erased"
    assert match(b'{"user_id": "r1"', erased("x", rooms=("r2",))) is None


@settings(max_examples=100, deadline=None)
@given(st.text(min_size=1, max_size=9).filter(lambda text: text.encode("utf-8", "replace").decode() == text))
def test_any_id_is_recognized_in_a_json_string(user: str) -> None:
    for ascii_only in (True, False):
        assert match(json.dumps({"user_id": user}, ensure_ascii=ascii_only).encode()[:-1], erased(user)) == "erased"
