"""The text column of a batch: Arrow's arrays over the text of objects as it was read, wherever that is possible."""

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import nanoarrow  # type: ignore[import-untyped]  # it ships no types
from arro3.core import Array, DataType

from daily_batch.pipeline.transform.decode import Buffer

# Text of about so many bytes becomes one array, for the cast to UTF-8 takes twice as long where a byte of it is none.
PART_BYTES = 2**21
# Lengths of lines to those with their line feed.
with_line_feed = (1).__add__


@dataclass(slots=True)
class _Part:
    """Pieces from `first` on, each with one line feed behind it: a part of a text, or blocks that are to be joined."""

    first: int
    text: Buffer | None = None
    start: int = 0
    end: int = 0
    blocks: list[bytes] = field(default_factory=list)

    @property
    def is_full(self) -> bool:
        return self.end - self.start >= PART_BYTES

    def data(self) -> memoryview:
        """The text of the pieces."""
        if self.text is None:
            return memoryview(b"\n".join(self.blocks))
        return memoryview(self.text)[self.start : self.end]


class Texts:
    """The texts of pieces in order."""

    def __init__(self) -> None:
        self._parts: list[_Part] = []

    def lay_over(self, text: Buffer, start: int, end: int, *, first: int) -> None:
        """Take pieces, the first of them of this number, as they stand in a text that does not change."""
        last = self._parts[-1] if self._parts else None
        if last and last.text is text and last.end == start and not last.is_full:
            last.end = end
        else:
            self._parts.append(_Part(first, text, start, end))

    def join(self, block: bytes, *, first: int) -> None:
        """Take pieces that are copied, with a line feed between them and none behind."""
        last = self._parts[-1] if self._parts else None
        if last is None or last.text is not None or last.is_full:
            last = _Part(first)
            self._parts.append(last)
        last.blocks.append(block)
        last.end += len(block) + 1

    def to_arrays(self, lengths: "array[int]", nulls: Sequence[int]) -> Iterator[tuple[int, Array]]:
        """Yield the first piece of each array, and the array; a text is null as asked, or because it is no UTF-8."""
        ends = [part.first for part in self._parts[1:]]
        for part, end in zip(self._parts, [*ends, len(lengths)], strict=True):
            yield part.first, _to_array(part.data(), lengths[part.first : end], first=part.first, nulls=nulls)


def _to_array(data: memoryview, lengths: "array[int]", *, first: int, nulls: Sequence[int]) -> Array:
    count = len(lengths)
    offsets = array("i", accumulate(map(with_line_feed, lengths), initial=0))
    offsets[-1] = min(offsets[-1], len(data))  # no line feed behind the last one
    valid = bytearray(b"\xff" * (count // 8 + 1))
    for at in nulls[bisect_left(nulls, first) : bisect_left(nulls, first + count)]:
        valid[(at - first) // 8] &= ~(1 << (at - first) % 8)
    built = nanoarrow.c_array_from_buffers(nanoarrow.binary(), count, [valid, offsets, data])
    return Array.from_arrow(built).cast(DataType.utf8())
