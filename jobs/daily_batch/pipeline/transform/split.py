"""A batch of decoded text, cut into the pieces that are parsed one by one: whole objects, or lines that are not blank.

Whether a piece is JSON is decided here, by a strict parser (RFC 8259), before anything lenient sees it. msgspec accepts
none of the n_ files of JSONTestSuite and refuses none of its y_ files. It also refuses half of a surrogate pair, as
DuckDB does; it does not look at UTF-8, which Arrow does.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, compress

import msgspec
from arro3.core import Array, DataType, RecordBatch, Table

from daily_batch.pipeline.transform.decode import Buffer, Decoded
from daily_batch.pipeline.transform.json_value import READER, SPACE
from daily_batch.pipeline.transform.text_arrays import Texts, with_line_feed

# Lines of so many bytes are checked at once; where one of them is no JSON, one by one.
BLOCK_BYTES = 2**17
# Text of so many bytes is parsed where it stands: for less, a copy costs less than arrays of its own.
LAID_OVER_BYTES = 2**16
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
    """A part of an object that lies in the batch: bytes `start` to `end`, the first of them on `line`.

    `feeds` is how many line feeds are among them; of an object that is one piece whole it is not looked at.
    """

    source: int
    decoded: Decoded
    start: int
    end: int
    line: int
    feeds: int

    @property
    def size(self) -> int:
        """Bytes of text."""
        return self.end - self.start


class TextBatch:
    """The pieces of a batch in order, and where each begins. `lines_of` counts lines, blank ones too, by object.

    No piece is an object of the interpreter's: there are four numbers of each, and their text stays where it is.
    """

    def __init__(self, segments: Sequence[Segment], *, whole: bool, longest: int) -> None:
        self.sources = array("i")
        self.lines = array("q")
        self.starts = array("q")
        self.lengths = array("q")
        self.lines_of: dict[int, int] = {}
        self._longest = longest
        self._decoded = {segment.source: segment.decoded for segment in segments}
        self._doubtful: list[int] = []
        self._texts = Texts()
        for segment in segments:
            if whole:
                text = bytes(segment.decoded.text[segment.start : segment.end])
                self.lines_of[segment.source] = self._add_lines(segment, [text], segment.start, segment.line)
            else:
                self.lines_of[segment.source] = self._add_segment(segment)

    def text(self, piece: int) -> bytes:
        """The bytes of a piece."""
        start = self.starts[piece]
        return bytes(self._decoded[self.sources[piece]].text[start : start + self.lengths[piece]])

    def _add_segment(self, segment: Segment) -> int:
        """Add the lines of a segment; return how many there are."""
        text, line = segment.decoded.text, segment.line
        for at, end, lengths in _measure(segment):
            if lengths is None:
                lines = bytes(text[at:end]).removesuffix(b"\n").split(b"\n")
                line += self._add_lines(segment, lines, at, line)
                continue
            first = len(self.starts)
            if segment.size >= LAID_OVER_BYTES:
                self._texts.lay_over(text, at, end, first=first)
            else:
                self._texts.join(bytes(text[at:end]).removesuffix(b"\n"), first=first)
            starts = accumulate(map(with_line_feed, lengths[:-1]), initial=at)
            self._add(segment.source, lengths, starts, range(line, line + len(lengths)))
            line += len(lengths)
        return line - segment.line

    def _add_lines(self, segment: Segment, lines: Sequence[bytes], at: int, line: int) -> int:
        """Add lines that may be no JSON, or blank; return how many there are."""
        count = len(lines)
        starts: Iterable[int] = accumulate((len(text) + 1 for text in lines[:-1]), initial=at)
        numbers: Iterable[int] = range(line, line + count)
        filled = [text.strip(SPACE) for text in lines]
        if not all(filled):
            starts, numbers = compress(starts, filled), compress(numbers, filled)
            lines = list(compress(lines, filled))
        if lines:
            self._texts.join(b"\n".join(lines), first=len(self.starts))
            self._add(segment.source, array("q", map(len, lines)), starts, numbers, _find_doubtful(lines))
        return count

    def _add(
        self,
        source: int,
        lengths: "array[int]",
        starts: Iterable[int],
        numbers: Iterable[int],
        doubtful: Sequence[int] = (),
    ) -> None:
        first = len(self.starts)
        if max(lengths) > self._longest:
            doubtful = sorted({*doubtful, *(at for at, length in enumerate(lengths) if length > self._longest)})
        self._doubtful += (first + at for at in doubtful)
        self.sources.extend(array("i", (source,)) * len(lengths))
        self.lines.extend(numbers)
        self.starts.extend(starts)
        self.lengths.extend(lengths)

    def runs(self, unproven: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Yield the first and last piece of each run of pieces that the general path reads together.

        Consecutive ones of an object that are no JSON are one run; any other piece is a run of its own.
        """
        doubtful = set(self._doubtful)
        first = last = -1
        for piece in sorted(doubtful.union(unproven)) if unproven else self._doubtful:
            joins = piece == last + 1 and last in doubtful and piece in doubtful
            if first >= 0 and joins and self.sources[first] == self.sources[piece]:
                last = piece
                continue
            if first >= 0:
                yield first, last
            first = last = piece
        if first >= 0:
            yield first, last

    def to_table(self) -> Table:
        """The columns that the fast path reads; `text` is null where it is no strict JSON or no UTF-8.

        Without a row where no piece is JSON.
        """
        if len(self._doubtful) == len(self.starts):
            return EMPTY
        integers = (array("i", range(len(self.starts))), self.sources, self.lines, self.starts, self.lengths)
        columns = [Array.from_buffer(values) for values in integers]
        batches = [
            RecordBatch.from_arrays(
                [*(column.slice(first, len(texts)) for column in columns), texts], schema=EMPTY.schema
            )
            for first, texts in self._texts.to_arrays(self.lengths, self._doubtful)
        ]
        return Table.from_batches(batches)


def _measure(segment: Segment) -> list[tuple[int, int, "array[int] | None"]]:
    """Return blocks of lines, and the lengths of the lines where each is exactly one JSON value."""
    text, at, feeds = segment.decoded.text, segment.start, 0
    found = []
    while at < segment.end:
        end = end_of_block(text, at, segment.end)
        block = bytes(text[at:end])
        lengths = _measure_values(block)
        feeds += block.count(b"\n") if lengths is None else len(lengths) - (not block.endswith(b"\n"))
        found.append((at, end, lengths))
        at = end
    if feeds != segment.feeds:  # there are values over several lines
        return [(at, end, None) for at, end, _ in found]
    return found


def end_of_block(text: Buffer, start: int, end: int) -> int:
    """Where a block of whole lines ends that begins at a byte: at most BLOCK_BYTES further, or with its one line."""
    if end - start <= BLOCK_BYTES:
        return end
    behind = text.rfind(b"\n", start, start + BLOCK_BYTES) + 1
    return behind or text.find(b"\n", start + BLOCK_BYTES, end) + 1 or end


def _measure_values(block: bytes) -> "array[int] | None":
    """Return the lengths of JSON values with exactly one line feed behind each; None if the block is anything else.

    The parser reads values with any white space between. So: were the values laid down from the start with one byte
    behind each, would all of the block be filled, and would these bytes be line feeds? Then that is how they lie. For a
    value that stood one byte further right would end in a line feed, which none does; and one that stood still further
    right would have more white space before it than there is in all.
    """
    try:
        lengths = array("q", map(len, READER.decode_lines(block)))
    except (msgspec.DecodeError, RecursionError):
        return None
    ends = list(accumulate(map(with_line_feed, lengths), initial=-1))
    if ends[-1] == len(block):
        ends.pop()  # no line feed behind the last one
    elif ends[-1] != len(block) - 1:
        return None
    between = bytes(map(block.__getitem__, ends[1:]))
    return lengths if between.count(LINE_FEED) == len(between) else None


def _find_doubtful(lines: Sequence[bytes]) -> list[int]:
    """Return the lines that are not exactly one JSON value, by index."""
    found: list[int] = []
    for index, line in enumerate(lines):
        try:
            READER.decode(line)
        except (msgspec.DecodeError, RecursionError):
            found.append(index)
    return found
