"""The text column of a batch: Arrow arrays over the objects' text, without copying it where possible."""

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import nanoarrow
from arro3.core import Array, DataType

from daily_batch.pipeline.transform.decode import Buffer

# Size of the text in one array: the cast to UTF-8 takes twice as long for an array that holds an invalid byte.
PART_BYTES = 2**21
# The length of a line with its line feed.
with_line_feed = (1).__add__


@dataclass(slots=True)
class _Part:
    """Pieces from number `first` on, each followed by a line feed: a view of a text, or copied blocks to join."""

    first: int
    text: Buffer | None = None
    start: int = 0
    end: int = 0
    blocks: list[bytes] = field(default_factory=list)

    @property
    def is_full(self) -> bool:
        return self.end - self.start >= PART_BYTES

    def data(self) -> memoryview:
        """Return the text of the pieces."""
        if self.text is None:
            return memoryview(b"\n".join(self.blocks))
        return memoryview(self.text)[self.start : self.end]


class TextColumn:
    """Collects the texts of pieces in order."""

    def __init__(self) -> None:
        self._parts: list[_Part] = []

    def add_view(self, text: Buffer, start: int, end: int, *, first: int) -> None:
        """Add pieces, the first of them numbered `first`, as a view of a text that does not change."""
        last = self._parts[-1] if self._parts else None
        if last and last.text is text and last.end == start and not last.is_full:
            last.end = end
        else:
            self._parts.append(_Part(first, text, start, end))

    def add_copy(self, block: bytes, *, first: int) -> None:
        """Add copied pieces that are separated by line feeds, without one at the end."""
        last = self._parts[-1] if self._parts else None
        if last is None or last.text is not None or last.is_full:
            last = _Part(first)
            self._parts.append(last)
        last.blocks.append(block)
        last.end += len(block) + 1

    def to_arrays(self, lengths: "array[int]", nulls: Sequence[int]) -> Iterator[tuple[int, Array]]:
        """Yield each array with the number of its first piece.

        A text is null if its number is in `nulls`, or if it is not UTF-8.
        """
        ends = [part.first for part in self._parts[1:]]
        for part, end in zip(self._parts, [*ends, len(lengths)], strict=True):
            yield part.first, _to_array(part.data(), lengths[part.first : end], first=part.first, nulls=nulls)


def _to_array(data: memoryview, lengths: "array[int]", *, first: int, nulls: Sequence[int]) -> Array:
    count = len(lengths)
    offsets = array("i", accumulate(map(with_line_feed, lengths), initial=0))
    offsets[-1] = min(offsets[-1], len(data))  # the last piece has no line feed
    valid = bytearray(b"\xff" * (count // 8 + 1))
    for index in nulls[bisect_left(nulls, first) : bisect_left(nulls, first + count)]:
        valid[(index - first) // 8] &= ~(1 << (index - first) % 8)
    built = nanoarrow.c_array_from_buffers(nanoarrow.binary(), count, [valid, offsets, data])
    return Array.from_arrow(built).cast(DataType.utf8())
