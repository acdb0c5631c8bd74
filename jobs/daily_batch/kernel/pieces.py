"""A batch of decoded text, cut into the pieces that are parsed one by one: whole objects, or lines."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from arro3.core import Array, DataType, Table

from daily_batch.kernel.decode import Decoded


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
    """The pieces of a batch in order, and where each begins."""

    def __init__(self, segments: Sequence[Segment], *, whole: bool) -> None:
        self.sources: list[int] = []
        self.lines: list[int] = []
        self.starts: list[int] = []
        self.lengths: list[int] = []
        self.texts: list[bytes] = []
        for segment in segments:
            self._add(segment, [bytes(segment.decoded.text)] if whole else _lines(segment))

    def _add(self, segment: Segment, texts: list[bytes]) -> None:
        count = len(texts)
        lengths = list(map(len, texts))
        self.sources += [segment.source] * count
        self.lines += range(segment.line, segment.line + count)
        self.starts += itertools.accumulate((length + 1 for length in lengths[:-1]), initial=segment.start)
        self.lengths += lengths
        self.texts += texts

    def count(self, source: int) -> int:
        """How many pieces an object has in the batch."""
        return self.sources.count(source)

    def to_table(self, *, longest: int) -> Table:
        """The columns that the fast path reads; text that is not UTF-8, or longer than `longest` bytes, is null."""
        texts: list[bytes | None] = [*self.texts]
        if max(self.lengths, default=0) > longest:
            texts = [text if len(text) <= longest else None for text in self.texts]
        return Table.from_pydict(
            {
                "piece": Array(range(len(texts)), DataType.int32()),
                "source": Array(self.sources, DataType.int32()),
                "line": Array(self.lines, DataType.int64()),
                "start": Array(self.starts, DataType.int64()),
                "length": Array(self.lengths, DataType.int64()),
                "quotes": Array([text.count(b'"') for text in self.texts], DataType.int64()),
                "text": Array(texts, DataType.binary()).cast(DataType.utf8()),
            }
        )


def _lines(segment: Segment) -> list[bytes]:
    lines = bytes(segment.decoded.text[segment.start : segment.end]).split(b"\n")
    if not lines[-1]:
        lines.pop()
    return lines
