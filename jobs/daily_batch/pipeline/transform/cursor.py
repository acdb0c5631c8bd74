"""A place in a text that is read forward, and the ways to move on."""

from daily_batch.pipeline.transform.broken_values import BLANK_LINES, BLANKS, MARK_BYTES, PIECE, WHITE, count_indent
from daily_batch.pipeline.transform.cancel import Pace
from daily_batch.pipeline.transform.decode import Buffer
from daily_batch.pipeline.transform.fetch import CancelCheck
from daily_batch.pipeline.transform.window import Window

NEWLINE, SPACE = b"\n "
MARK = 0x80  # from here on a byte may begin a byte order mark


class Cursor:
    """Stands at the byte `offset`, on `line`; what is looked at is in `window`."""

    def __init__(self, text: Buffer, *, offset: int, line: int, check: CancelCheck) -> None:
        self.offset = offset
        self.line = line
        self.text = text
        self.window = Window(text, offset)
        self.pace = Pace(check)
        # How far the line is indented, and whether only blanks of it were read.
        self.indent = 0
        self._fresh = True

    @property
    def symbol(self) -> int:
        """The byte that it stands at; it must be in view."""
        return self.window.held[self.offset - self.window.base]

    def find_record(self, until: int) -> bool:
        """Skip blanks, and lines that begin before `until`; False if there is nothing else."""
        window = self.window
        if self._is_next(until):
            return True
        while window.end - self.offset >= MARK_BYTES or window.fill(self.offset, MARK_BYTES):
            first = self.offset - window.base
            # All lines that are blank and end before `until` at once; it may stand on one of its own.
            before = until - window.base - 1
            begin = BLANK_LINES.match(window.held, first, before).end() if first < before else first  # type: ignore[union-attr]
            if begin > before - MARK_BYTES:
                begin = BLANKS.match(window.held, begin).end()  # type: ignore[union-attr]  # both match always
            self._skip(begin)
            rest = len(window.held) - begin
            if rest and window.held[begin] == NEWLINE:
                self._skip(begin + 1)
                if self.offset >= until:
                    return False
            elif rest >= MARK_BYTES or (rest and not self._see_mark(rest)):
                return True
        return False

    def find_in_array(self) -> int:
        """Skip blanks and lines; the next character, or 0 at the end."""
        window = self.window
        if self._is_next(window.end):
            return self.symbol
        while window.fill(self.offset, MARK_BYTES):
            begin = BLANK_LINES.match(window.held, self.offset - window.base).end()  # type: ignore[union-attr]
            self._skip(begin)
            rest = len(window.held) - begin
            if rest >= MARK_BYTES or (rest and not self._see_mark(rest)):
                return self.symbol
        return 0

    def pass_to(self, offset: int) -> None:
        """Move over a value or a mark, all of it in view."""
        held, first, behind = self.window.held, self.offset - self.window.base, offset - self.window.base
        newlines = held.count(b"\n", first, behind)
        if newlines:
            self.line += newlines
            begin = held.rfind(b"\n", first, behind) + 1
            self.indent = count_indent(held, begin, BLANKS.match(held, begin).end())  # type: ignore[union-attr]
        self._fresh = False
        self.offset = offset

    def go_to_end_of_line(self) -> None:
        """Move behind what is last on the line, but for white space."""
        window, at, end = self.window, self.offset, self.offset
        if at < window.end and self.symbol == NEWLINE:
            return
        while window.fill(at, 1):
            first = at - window.base
            newline = window.held.find(b"\n", first, first + PIECE)
            piece = window.held[first : newline if newline >= 0 else first + PIECE]
            self.pace.spend(len(piece))
            text = len(piece.rstrip(WHITE))
            end = at + text if text else end
            if newline >= 0:
                break
            at += len(piece)
        self.go_to((end, self.line, self.indent))

    def place(self) -> tuple[int, int, int]:
        """Where to go back to."""
        return self.offset, self.line, self.indent

    def go_to(self, place: tuple[int, int, int]) -> None:
        """Stand behind something that is not blank."""
        self.offset, self.line, self.indent = place
        self._fresh = False
        self.window.move_to(self.offset)

    def again(self, start: int, end: int) -> bytes:
        """Bytes that were read before, and may have gone out of view."""
        if self.window.base <= start and end <= self.window.end:
            return self.window.held[start - self.window.base : end - self.window.base]
        return bytes(self.text[start:end])

    def _is_next(self, until: int) -> bool:
        """Whether something that is not blank is next, or begins the next line before `until`; move there.

        The short way for text in which this is so every few bytes.
        """
        held, first = self.window.held, self.offset - self.window.base
        if first + 1 >= len(held):
            return False
        if held[first] != NEWLINE:
            return SPACE < held[first] < MARK
        if self.offset + 1 >= until or not SPACE < held[first + 1] < MARK:
            return False
        self.offset += 1
        self.line += 1
        self.indent, self._fresh = 0, True
        return True

    def _see_mark(self, rest: int) -> bool:
        """Whether there is more to be seen where a byte order mark could be in view by half."""
        window = self.window
        return window.held[-rest:] in (b"\xef", b"\xef\xbb") and window.grow(self.offset)

    def _skip(self, behind: int) -> None:
        """Move over blanks and lines, up to an index of what is in view."""
        held, first = self.window.held, self.offset - self.window.base
        if behind == first:
            return
        self.pace.spend(behind - first)
        newlines = held.count(b"\n", first, behind)
        if newlines:
            self.line += newlines
            self.indent, self._fresh = 0, True
            first = held.rfind(b"\n", first, behind) + 1
        if self._fresh:
            self.indent += count_indent(held, first, behind)
        self.offset = self.window.base + behind
