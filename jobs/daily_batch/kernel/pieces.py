"""A batch of decoded text, cut into the pieces that are parsed one by one: whole objects, or lines that are not blank.

Whether a piece is JSON is decided here, by a strict parser (RFC 8259), before anything lenient sees it. msgspec accepts
none of the n_ files of JSONTestSuite and refuses none of its y_ files. It also refuses half of a surrogate pair, as
DuckDB does; it does not look at UTF-8, which Arrow does.
"""

from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import msgspec
import nanoarrow  # type: ignore[import-untyped]  # it ships no types
from arro3.core import Array, DataType, RecordBatch, Table

from daily_batch.kernel.decode import Decoded
from daily_batch.kernel.value import READER, SPACE, is_json

# Of so many lines one that is no JSON has the others looked at one by one.
CHECKED_AT_ONCE = 64


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
    """A part of an object that lies in the batch: bytes `start` to `end`, the first of them on `line`."""

    source: int
    decoded: Decoded
    start: int
    end: int
    line: int

    @property
    def size(self) -> int:
        """Bytes of text."""
        return self.end - self.start


class Pieces:
    """The pieces of a batch in order, and where each begins. `lines_of` counts lines, blank ones too, by object."""

    def __init__(self, segments: Sequence[Segment], *, whole: bool, longest: int) -> None:
        self.sources: list[int] = []
        self.lines: list[int] = []
        self.starts: list[int] = []
        self.lengths: list[int] = []
        self.texts: list[bytes] = []
        self._doubtful: list[int] = []
        # Pieces that follow each other in the text of their object: the first, the one behind the last, the text.
        self._as_read: list[tuple[int, int, bytes]] = []
        self.lines_of: dict[int, int] = {}
        for segment in segments:
            self._add(segment, whole=whole, longest=longest)

    def _add(self, segment: Segment, *, whole: bool, longest: int) -> None:
        text = bytes(segment.decoded.text[segment.start : segment.end])
        lines = [text] if whole else text.split(b"\n")
        if not lines[-1]:
            lines.pop()
        count = len(lines)
        lengths = list(map(len, lines))
        starts = list(accumulate((length + 1 for length in lengths[:-1]), initial=segment.start))
        numbers: Sequence[int] = range(segment.line, segment.line + count)
        doubtful = _find_doubtful(lines)
        if max(lengths, default=0) > longest:
            doubtful = sorted({*doubtful, *(at for at, length in enumerate(lengths) if length > longest)})
        if blank := {at for at in doubtful if not lines[at].strip(SPACE)}:  # blank lines are no pieces
            kept = [at for at in range(count) if at not in blank]
            renumbered = {at: number for number, at in enumerate(kept)}
            lines, numbers = [lines[at] for at in kept], [numbers[at] for at in kept]
            lengths, starts = [lengths[at] for at in kept], [starts[at] for at in kept]
            doubtful = [renumbered[at] for at in doubtful if at not in blank]
        elif not whole:
            self._as_read.append((len(self.texts), len(self.texts) + count, text))
        self.lines_of[segment.source] = count
        self._doubtful += (at + len(self.texts) for at in doubtful)
        self.sources += [segment.source] * len(lines)
        self.lines += numbers
        self.starts += starts
        self.lengths += lengths
        self.texts += lines

    def runs(self, unproven: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Yield the first and last piece of each run of pieces that the general path reads together.

        Consecutive ones of an object that are no JSON are one run; any other piece is a run of its own.
        """
        doubtful = set(self._doubtful)
        first = last = -1
        for piece in sorted(doubtful.union(unproven)):
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
        if len(self._doubtful) == len(self.texts):
            return EMPTY
        integers = {
            "piece": array("i", range(len(self.texts))),
            "source": array("i", self.sources),
            "line": array("q", self.lines),
            "start": array("q", self.starts),
            "length": array("q", self.lengths),
        }
        columns = [Array.from_buffer(values) for values in integers.values()]
        batches = [
            RecordBatch.from_arrays(
                [*(column.slice(first, end - first) for column in columns), self._to_array(first, end, data)],
                schema=EMPTY.schema,
            )
            for first, end, data in self._parts()
        ]
        return Table.from_batches(batches)

    def _parts(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield runs of pieces, from one to before another, with bytes in which each ends where the next begins.

        The text of an object without blank lines is taken as it is; other pieces are joined, for a copy costs less than
        an object of Arrow's for each.
        """
        first = 0
        for begin, end, text in (*self._as_read, (len(self.texts), len(self.texts), b"")):
            if first < begin:
                yield first, begin, b"\n".join((*self.texts[first:begin], b""))
            if begin < end:
                yield begin, end, text
            first = end

    def _to_array(self, first: int, end: int, data: bytes) -> Array:
        offsets = array("i", accumulate((length + 1 for length in self.lengths[first:end]), initial=0))
        offsets[-1] = min(offsets[-1], len(data))  # no line feed behind the last one
        valid = bytearray(b"\xff" * ((end - first) // 8 + 1))
        low, high = bisect_left(self._doubtful, first), bisect_left(self._doubtful, end)
        for at in self._doubtful[low:high]:
            valid[(at - first) // 8] &= ~(1 << (at - first) % 8)
        built = nanoarrow.c_array_from_buffers(nanoarrow.binary(), end - first, [valid, offsets, data])
        return Array.from_arrow(built).cast(DataType.utf8())


def _find_doubtful(lines: Sequence[bytes]) -> list[int]:
    """Return the lines that are not exactly one JSON value, by index."""
    found: list[int] = []
    for first in range(0, len(lines), CHECKED_AT_ONCE):
        part = lines[first : first + CHECKED_AT_ONCE]
        try:
            deque(map(READER.decode, part), maxlen=0)
        except (msgspec.DecodeError, RecursionError):
            found += (first + at for at, line in enumerate(part) if not is_json(line))
    return found
