"""The part of a text that a forward reader holds in memory."""

from daily_batch.pipeline.transform.decode import Buffer

MAX_READ_BYTES = 2**16
MIN_READ_BYTES = 2**6


class Window:
    """Buffers the text from byte `base` on.

    Each byte is read from the text once, except after a step back.
    """

    def __init__(self, text: Buffer, offset: int) -> None:
        self.buffer = b""
        self.base = self.end = offset  # `end` is exclusive
        self._text = text
        self._size = len(text)
        self._step = MIN_READ_BYTES

    def expect(self, size: int) -> None:
        """Announce that about `size` bytes will be read, so that they are read in one step."""
        self._step = min(max(self._step, size), MAX_READ_BYTES)

    def move_to(self, offset: int) -> None:
        """Have `offset` in the buffer, or at its end."""
        if not self.base <= offset <= self.end:
            self.buffer = b""
            self.base = self.end = offset

    def grow(self, start: int) -> bool:
        """Read more text and drop what precedes `start`; return False at the end of the text."""
        end = self.end
        if end >= self._size:
            return False
        retained = self.buffer[start - self.base :]
        # Steps double, so that the cost of copying a long value stays proportional to its length.
        size_read = min(max(self._step, len(retained)), self._size - end)
        self.buffer = retained + bytes(self._text[end : end + size_read])
        self.base = start
        self.end = end + size_read
        self._step = min(2 * self._step, MAX_READ_BYTES)
        return True

    def fill(self, start: int, size: int) -> bool:
        """Buffer at least `size` bytes from `start`, or the rest of the text; return whether there are any."""
        while self.end - start < size and self.grow(start):
            pass
        return self.end > start
