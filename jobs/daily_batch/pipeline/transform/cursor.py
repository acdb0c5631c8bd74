"""A position in a text that is read forward."""

from daily_batch.pipeline.transform.broken_values import (
    BLANK_LINES,
    BLANKS,
    MARK_BYTES,
    SCAN_BYTES,
    WHITE,
    count_indent,
)
from daily_batch.pipeline.transform.cancel import CancelCheck, Pacer
from daily_batch.pipeline.transform.decode import Buffer
from daily_batch.pipeline.transform.window import Window

NEWLINE, SPACE = b"\n "
MARK = 0x80  # the first byte value that may start a byte order mark


class Cursor:
    """Points at byte `offset` on line `line`; `window` buffers the text around it."""

    def __init__(self, text: Buffer, *, offset: int, line: int, check: CancelCheck) -> None:
        self.offset = offset
        self.line = line
        self.text = text
        self.window = Window(text, offset)
        self.pace = Pacer(check)
        # Indentation of the line, and whether only blanks of the line were read so far.
        self.indent = 0
        self._only_blanks = True

    @property
    def symbol(self) -> int:
        """The byte at the cursor, which must be buffered."""
        return self.window.buffer[self.offset - self.window.base]

    def find_record(self, until: int) -> bool:
        """Skip blanks and line ends to the next record that begins before `until`; return False if there is none."""
        window = self.window
        if self._skip_newline(until):
            return True
        while window.end - self.offset >= MARK_BYTES or window.fill(self.offset, MARK_BYTES):
            first = self.offset - window.base
            # Skip all blank lines that end before `until` at once; the cursor may stand on one of them.
            before = until - window.base - 1
            begin = BLANK_LINES.match(window.buffer, first, before).end() if first < before else first  # type: ignore[union-attr]
            if begin > before - MARK_BYTES:
                begin = BLANKS.match(window.buffer, begin).end()  # type: ignore[union-attr]  # both match always
            self._skip(begin)
            remaining = len(window.buffer) - begin
            if remaining and window.buffer[begin] == NEWLINE:
                self._skip(begin + 1)
                if self.offset >= until:
                    return False
            elif remaining >= MARK_BYTES or (remaining and not self._grow_past_partial_mark(remaining)):
                return True
        return False

    def find_in_array(self) -> int:
        """Skip blanks and line ends; return the next byte, or 0 at the end of the text."""
        window = self.window
        if self._skip_newline(window.end):
            return self.symbol
        while window.fill(self.offset, MARK_BYTES):
            begin = BLANK_LINES.match(window.buffer, self.offset - window.base).end()  # type: ignore[union-attr]
            self._skip(begin)
            remaining = len(window.buffer) - begin
            if remaining >= MARK_BYTES or (remaining and not self._grow_past_partial_mark(remaining)):
                return self.symbol
        return 0

    def advance_to(self, offset: int) -> None:
        """Move over a buffered value or punctuation mark."""
        buffer, first, limit = self.window.buffer, self.offset - self.window.base, offset - self.window.base
        newlines = buffer.count(b"\n", first, limit)
        if newlines:
            self.line += newlines
            begin = buffer.rfind(b"\n", first, limit) + 1
            self.indent = count_indent(buffer, begin, BLANKS.match(buffer, begin).end())  # type: ignore[union-attr]
        self._only_blanks = False
        self.offset = offset

    def seek_end_of_line(self) -> None:
        """Move to the end of the line, before any trailing white space."""
        window, at, end = self.window, self.offset, self.offset
        if at < window.end and self.symbol == NEWLINE:
            return
        while window.fill(at, 1):
            first = at - window.base
            newline = window.buffer.find(b"\n", first, first + SCAN_BYTES)
            part = window.buffer[first : newline if newline >= 0 else first + SCAN_BYTES]
            self.pace.spend(len(part))
            text = len(part.rstrip(WHITE))
            end = at + text if text else end
            if newline >= 0:
                break
            at += len(part)
        self.seek((end, self.line, self.indent))

    def position(self) -> tuple[int, int, int]:
        """Return the position, to be passed to `seek`."""
        return self.offset, self.line, self.indent

    def seek(self, position: tuple[int, int, int]) -> None:
        """Move to a position directly after a non-blank byte."""
        self.offset, self.line, self.indent = position
        self._only_blanks = False
        self.window.move_to(self.offset)

    def reread(self, start: int, end: int) -> bytes:
        """Return bytes that were read before and may have left the buffer."""
        if self.window.base <= start and end <= self.window.end:
            return self.window.buffer[start - self.window.base : end - self.window.base]
        return bytes(self.text[start:end])

    def _skip_newline(self, until: int) -> bool:
        """Return whether the next byte, or the first byte of the next line before `until`, is not blank; move to it.

        A shortcut for text in which this holds every few bytes.
        """
        buffer, first = self.window.buffer, self.offset - self.window.base
        if first + 1 >= len(buffer):
            return False
        if buffer[first] != NEWLINE:
            return SPACE < buffer[first] < MARK
        if self.offset + 1 >= until or not SPACE < buffer[first + 1] < MARK:
            return False
        self.offset += 1
        self.line += 1
        self.indent, self._only_blanks = 0, True
        return True

    def _grow_past_partial_mark(self, remaining: int) -> bool:
        """Return whether more text was read because the buffer may end within a byte order mark."""
        window = self.window
        return window.buffer[-remaining:] in (b"\xef", b"\xef\xbb") and window.grow(self.offset)

    def _skip(self, limit: int) -> None:
        """Move over blanks and line ends to index `limit` of the buffer."""
        buffer, first = self.window.buffer, self.offset - self.window.base
        if limit == first:
            return
        self.pace.spend(limit - first)
        newlines = buffer.count(b"\n", first, limit)
        if newlines:
            self.line += newlines
            self.indent, self._only_blanks = 0, True
            first = buffer.rfind(b"\n", first, limit) + 1
        if self._only_blanks:
            self.indent += count_indent(buffer, first, limit)
        self.offset = self.window.base + limit
