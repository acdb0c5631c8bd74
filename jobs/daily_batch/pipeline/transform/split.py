"""Split a batch of decoded text into the pieces that are parsed one by one: non-blank lines, or whole objects.

A strict parser (RFC 8259) decides here whether a piece is JSON, before any lenient parser sees it. msgspec accepts none
of the n_ files of JSONTestSuite and refuses none of its y_ files. Like DuckDB it refuses a lone surrogate; it does not
check UTF-8, which Arrow does.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, compress

import msgspec
from arro3.core import Array, DataType, RecordBatch, Table

from daily_batch.pipeline.transform.decode import Buffer, Decoded
from daily_batch.pipeline.transform.json_value import READER, SPACE
from daily_batch.pipeline.transform.text_arrays import TextColumn, with_line_feed

# Lines are checked in blocks of this size, and one by one where a block holds a line that is not JSON.
BLOCK_BYTES = 2**17
# Text of at least this size is parsed in place; for less, a copy is cheaper than an Arrow array of its own.
ZERO_COPY_BYTES = 2**16
LINE_FEED = ord("\n")

_COLUMNS = {
    "piece": DataType.int32(),
    "source": DataType.int32(),
    "line": DataType.int64(),
    "start": DataType.int64(),
    "length": DataType.int64(),
    "text": DataType.utf8(),
}
EMPTY = Table.from_arrays([Array([], kind) for kind in _COLUMNS.values()], names=list(_COLUMNS))


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of an object within a batch: bytes `start` to `end`, the first of them on line `line`.

    `line_feeds` counts the line feeds in it; it is not used where the whole object is one piece.
    """

    source: int
    decoded: Decoded
    start: int
    end: int
    line: int
    line_feeds: int

    @property
    def size(self) -> int:
        """Size of the text in bytes."""
        return self.end - self.start


class TextBatch:
    """The pieces of a batch in order, with the start of each.

    A piece is no Python object: it is four numbers in arrays, and its text stays where it was read. `lines_of` counts
    each object's lines, blank ones included.
    """

    def __init__(self, segments: Sequence[Segment], *, whole: bool, max_length: int) -> None:
        self.sources = array("i")
        self.lines = array("q")
        self.starts = array("q")
        self.lengths = array("q")
        self.lines_of: dict[int, int] = {}
        self._max_length = max_length
        self._decoded = {segment.source: segment.decoded for segment in segments}
        self._deferred: list[int] = []
        self._texts = TextColumn()
        for segment in segments:
            if whole:
                text = bytes(segment.decoded.text[segment.start : segment.end])
                self.lines_of[segment.source] = self._add_lines(segment, [text], segment.start, segment.line)
            else:
                self.lines_of[segment.source] = self._add_segment(segment)

    def text(self, piece: int) -> bytes:
        """Return the bytes of a piece."""
        start = self.starts[piece]
        return bytes(self._decoded[self.sources[piece]].text[start : start + self.lengths[piece]])

    def _add_segment(self, segment: Segment) -> int:
        """Add the lines of a segment, and return their number."""
        text, line = segment.decoded.text, segment.line
        for at, end, lengths in _measure(segment):
            if lengths is None:
                lines = bytes(text[at:end]).removesuffix(b"\n").split(b"\n")
                line += self._add_lines(segment, lines, at, line)
                continue
            first = len(self.starts)
            if segment.size >= ZERO_COPY_BYTES:
                self._texts.add_view(text, at, end, first=first)
            else:
                self._texts.add_copy(bytes(text[at:end]).removesuffix(b"\n"), first=first)
            starts = accumulate(map(with_line_feed, lengths[:-1]), initial=at)
            self._add(segment.source, lengths, starts, range(line, line + len(lengths)))
            line += len(lengths)
        return line - segment.line

    def _add_lines(self, segment: Segment, lines: Sequence[bytes], at: int, line: int) -> int:
        """Add lines that may be blank or not JSON, and return their number."""
        count = len(lines)
        starts: Iterable[int] = accumulate((len(text) + 1 for text in lines[:-1]), initial=at)
        numbers: Iterable[int] = range(line, line + count)
        stripped = [text.strip(SPACE) for text in lines]
        if not all(stripped):
            starts, numbers = compress(starts, stripped), compress(numbers, stripped)
            lines = list(compress(lines, stripped))
        if lines:
            self._texts.add_copy(b"\n".join(lines), first=len(self.starts))
            self._add(segment.source, array("q", map(len, lines)), starts, numbers, _find_invalid(lines))
        return count

    def _add(
        self,
        source: int,
        lengths: "array[int]",
        starts: Iterable[int],
        numbers: Iterable[int],
        deferred: Sequence[int] = (),
    ) -> None:
        first = len(self.starts)
        if max(lengths) > self._max_length:
            deferred = sorted({*deferred, *(at for at, length in enumerate(lengths) if length > self._max_length)})
        self._deferred += (first + at for at in deferred)
        self.sources.extend(array("i", (source,)) * len(lengths))
        self.lines.extend(numbers)
        self.starts.extend(starts)
        self.lengths.extend(lengths)

    def runs(self, unverified: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Yield the first and last piece of each run of pieces that the general path reads together.

        Consecutive pieces of one object that are not JSON form one run; any other piece is a run of its own.
        """
        deferred = set(self._deferred)
        first = last = -1
        for piece in sorted(deferred.union(unverified)) if unverified else self._deferred:
            joins = piece == last + 1 and last in deferred and piece in deferred
            if first >= 0 and joins and self.sources[first] == self.sources[piece]:
                last = piece
                continue
            if first >= 0:
                yield first, last
            first = last = piece
        if first >= 0:
            yield first, last

    def to_table(self) -> Table:
        """Return the columns that the fast path reads; `text` is null where a piece is not strict JSON or not UTF-8.

        The table is empty if no piece is JSON.
        """
        if len(self._deferred) == len(self.starts):
            return EMPTY
        integers = (array("i", range(len(self.starts))), self.sources, self.lines, self.starts, self.lengths)
        columns = [Array.from_buffer(values) for values in integers]
        batches = [
            RecordBatch.from_arrays(
                [*(column.slice(first, len(texts)) for column in columns), texts], schema=EMPTY.schema
            )
            for first, texts in self._texts.to_arrays(self.lengths, self._deferred)
        ]
        return Table.from_batches(batches)


def _measure(segment: Segment) -> list[tuple[int, int, "array[int] | None"]]:
    """Return blocks of lines, each with the lengths of its lines if every line is exactly one JSON value."""
    text, at, line_feeds = segment.decoded.text, segment.start, 0
    blocks = []
    while at < segment.end:
        end = end_of_block(text, at, segment.end)
        block = bytes(text[at:end])
        lengths = _measure_values(block)
        line_feeds += block.count(b"\n") if lengths is None else len(lengths) - (not block.endswith(b"\n"))
        blocks.append((at, end, lengths))
        at = end
    if line_feeds != segment.line_feeds:  # some values span several lines
        return [(at, end, None) for at, end, _ in blocks]
    return blocks


def end_of_block(text: Buffer, start: int, end: int) -> int:
    """Return the end of a block of whole lines: at most BLOCK_BYTES long, or a single longer line."""
    if end - start <= BLOCK_BYTES:
        return end
    block_end = text.rfind(b"\n", start, start + BLOCK_BYTES) + 1
    return block_end or text.find(b"\n", start + BLOCK_BYTES, end) + 1 or end


def _measure_values(block: bytes) -> "array[int] | None":
    """Return the lengths of JSON values that are separated by exactly one line feed each; None for any other block.

    The parser accepts any white space between values. So lay the values out from the start with one byte after each:
    if they fill the block exactly and each of these bytes is a line feed, this is how they are stored. Otherwise a
    value that is stored one byte further right would end in a line feed, which no value does, and one that is stored
    still further right would have more white space before it than the block holds in all.
    """
    try:
        lengths = array("q", map(len, READER.decode_lines(block)))
    except (msgspec.DecodeError, RecursionError):
        return None
    ends = list(accumulate(map(with_line_feed, lengths), initial=-1))
    if ends[-1] == len(block):
        ends.pop()  # the last value has no line feed
    elif ends[-1] != len(block) - 1:
        return None
    between = bytes(map(block.__getitem__, ends[1:]))
    return lengths if between.count(LINE_FEED) == len(between) else None


def _find_invalid(lines: Sequence[bytes]) -> list[int]:
    """Return the indexes of the lines that are not exactly one JSON value."""
    invalid: list[int] = []
    for index, line in enumerate(lines):
        try:
            READER.decode(line)
        except (msgspec.DecodeError, RecursionError):
            invalid.append(index)
    return invalid
