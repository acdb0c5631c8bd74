"""Pieces of lines are those that a reader gets who cuts at line feeds and parses each line by itself."""

from unittest.mock import patch

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daily_batch.pipeline.transform import split, text_arrays
from daily_batch.pipeline.transform.decode import Decoded
from daily_batch.pipeline.transform.json_value import is_json
from daily_batch.pipeline.transform.split import Segment, TextBatch

BLANKS = b" \t\r\n"
VALUES = (b'{"a":1}', b"{}", b"[]", b"1", b'"x"', b"null", '"é"'.encode(), b'{"a":"\\ud800"}', b'"\xff"')
OVER_LINES = (b'{"a":\n1}', b'{"a":1\n}', b"[\n]", b"[1,\n 2]")
BROKEN = (b"{", b"}", b"x", b'"', b"\xff", b"\x1e", b"\xef\xbb\xbf", b"1 2")
PARTS = st.one_of(
    *(st.sampled_from(kind) for kind in (VALUES, OVER_LINES, BROKEN, (b"\n", b" ", b"\r\n", b"\t"))), st.just(b"\n")
)


def cut(text: bytes, start: int) -> list[tuple[int, int, int, bool]]:
    """Line, start and length of each that is not blank, and whether it is JSON."""
    found, at = [], start
    for number, line in enumerate(text[start:].split(b"\n"), 1):
        if line.strip(BLANKS):
            found.append((number, at, len(line), is_json(line)))
        at += len(line) + 1
    return found


@settings(deadline=None, max_examples=600)
@given(
    st.lists(PARTS, max_size=20), st.sampled_from([1, 8, 2**17]), st.sampled_from([1, 2**16]), st.sampled_from([1, 9])
)
def test_lines_are_cut_and_checked_as_one_by_one(parts: list[bytes], block: int, laid_over: int, full: int) -> None:
    text = b"".join(parts)
    segments = [Segment(source, Decoded(text), 0, len(text), 1, text.count(b"\n")) for source in (3, 4)]
    with (
        patch.object(split, "BLOCK_BYTES", block),
        patch.object(split, "LAID_OVER_BYTES", laid_over),
        patch.object(text_arrays, "PART_BYTES", full),
    ):
        made = TextBatch(segments, whole=False, longest=1_000)
        batch = made.to_table()
    wanted = cut(text, 0)
    assert list(zip(made.lines, made.starts, made.lengths, strict=True)) == 2 * [each[:3] for each in wanted]
    assert list(made.sources) == [3] * len(wanted) + [4] * len(wanted)
    assert [made.text(piece) for piece in range(len(wanted))] == [text[at : at + size] for _, at, size, _ in wanted]
    rows = duckdb.sql("SELECT piece, source, line, start, length, text FROM batch").fetchall() if batch.num_rows else []
    shown = {row[0]: row[1:] for row in rows}
    for piece, (line, at, size, proper) in enumerate(2 * wanted):
        source, *place, read = shown.get(piece, (made.sources[piece], line, at, size, None))
        assert (source, place) == (made.sources[piece], [line, at, size])
        assert (read is not None) == (proper and b"\xff" not in text[at : at + size])
        assert read is None or read.removesuffix("\n").encode() == text[at : at + size]


def test_text_of_several_batches_begins_where_the_one_before_ended() -> None:
    text = b'{"a":1}\n{"a":2}\n\n{"a":3}'
    made = TextBatch([Segment(0, Decoded(text), 8, len(text), 2, 2)], whole=False, longest=1_000)
    assert (list(made.starts), list(made.lines), made.lines_of) == ([8, 17], [2, 4], {0: 3})


@pytest.mark.parametrize("longest", [6, 7])
def test_a_line_that_is_too_long_is_left_to_the_general_path(longest: int) -> None:
    text = b'{"a":1}\n{}\n'
    made = TextBatch([Segment(0, Decoded(text), 0, len(text), 1, 2)], whole=False, longest=longest)
    assert list(made.runs(())) == ([(0, 0)] if longest == 6 else [])
