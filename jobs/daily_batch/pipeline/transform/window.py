"""The part of a text that is in view, while it is read forward."""

from daily_batch.pipeline.transform.decode import Buffer

LARGEST_STEP = 2**16
SMALLEST_STEP = 2**6


class Window:
    """Bytes from `base` on; each is taken from the text once, but for what lies behind a step back."""

    def __init__(self, text: Buffer, offset: int) -> None:
        self.held = b""
        self.base = self.end = offset  # `end` is the byte behind the last one in view
        self._text = text
        self._size = len(text)
        self._step = SMALLEST_STEP

    def expect(self, size: int) -> None:
        """Read about so many bytes at once."""
        self._step = min(max(self._step, size), LARGEST_STEP)

    def move_to(self, offset: int) -> None:
        """Have `offset` in view, or next to it."""
        if not self.base <= offset <= self.end:
            self.held = b""
            self.base = self.end = offset

    def grow(self, start: int) -> bool:
        """See more, and forget what is before `start`; False at the end of the text."""
        end = self.end
        if end >= self._size:
            return False
        kept = self.held[start - self.base :]
        # In doubling steps: what a long value takes to be copied stays in proportion to its length.
        taken = min(max(self._step, len(kept)), self._size - end)
        self.held = kept + bytes(self._text[end : end + taken])
        self.base = start
        self.end = end + taken
        self._step = min(2 * self._step, LARGEST_STEP)
        return True

    def fill(self, start: int, size: int) -> bool:
        """See at least `size` bytes from `start`, or what is left of the text; whether that is any."""
        while self.end - start < size and self.grow(start):
            pass
        return self.end > start
