"""The pieces of a batch are those of a reader that splits at line feeds and parses each line by itself."""

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


def split_lines(text: bytes, start: int) -> list[tuple[int, int, int, bool]]:
    """Return line, start and length of each non-blank line, and whether it is JSON."""
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
def test_lines_are_split_and_checked_one_by_one(
    parts: list[bytes], block: int, zero_copy: int, part_bytes: int
) -> None:
    text = b"".join(parts)
    segments = [Segment(source, Decoded(text), 0, len(text), 1, text.count(b"\n")) for source in (3, 4)]
    with (
        patch.object(split, "BLOCK_BYTES", block),
        patch.object(split, "ZERO_COPY_BYTES", zero_copy),
        patch.object(text_arrays, "PART_BYTES", part_bytes),
    ):
        batch = TextBatch(segments, whole=False, max_length=1_000)
        arrow_table = batch.to_table()
    expected = split_lines(text, 0)
    assert list(zip(batch.lines, batch.starts, batch.lengths, strict=True)) == 2 * [each[:3] for each in expected]
    assert list(batch.sources) == [3] * len(expected) + [4] * len(expected)
    assert [batch.text(piece) for piece in range(len(expected))] == [
        text[at : at + size] for _, at, size, _ in expected
    ]
    rows = (
        duckdb.sql("SELECT piece, source, line, start, length, text FROM arrow_table").fetchall()
        if arrow_table.num_rows
        else []
    )
    rows_by_piece = {row[0]: row[1:] for row in rows}
    for piece, (line, at, size, valid) in enumerate(2 * expected):
        source, *location, read = rows_by_piece.get(piece, (batch.sources[piece], line, at, size, None))
        assert (source, location) == (batch.sources[piece], [line, at, size])
        assert (read is not None) == (valid and b"\xff" not in text[at : at + size])
        assert read is None or read.removesuffix("\n").encode() == text[at : at + size]


def test_batch_begins_where_the_previous_one_ended() -> None:
    text = b'{"a":1}\n{"a":2}\n\n{"a":3}'
    batch = TextBatch([Segment(0, Decoded(text), 8, len(text), 2, 2)], whole=False, max_length=1_000)
    assert (list(batch.starts), list(batch.lines), batch.lines_of) == ([8, 17], [2, 4], {0: 3})


@pytest.mark.parametrize("max_length", [6, 7])
def test_line_that_is_too_long_takes_the_general_path(max_length: int) -> None:
    text = b'{"a":1}\n{}\n'
    batch = TextBatch([Segment(0, Decoded(text), 0, len(text), 1, 2)], whole=False, max_length=max_length)
    assert list(batch.runs(())) == ([(0, 0)] if max_length == 6 else [])
