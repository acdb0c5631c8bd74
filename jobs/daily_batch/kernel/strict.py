"""Text that the fast path could not prove, read record by record in one pass forward: docs/rules.md, "Records".

Each byte is read once, and what is in view is bounded by the longest record. Reading strictly stops at the first byte
that is no JSON or is beyond a limit; from there on brackets are counted leniently until the broken value ends.
"""

import re
from collections.abc import Iterator

from daily_batch.contract import Reason
from daily_batch.kernel.broken import BLANK_LINES, BLANKS, MARK_BYTES, PIECE, WHITE, BrokenValue, Extent, count_indent
from daily_batch.kernel.decode import Buffer
from daily_batch.kernel.fetch import Check, go_on
from daily_batch.kernel.pace import Pace
from daily_batch.kernel.value import OPENING, Found, Stop, build, find_end, find_too_deep, read_record
from daily_batch.kernel.window import Window
from daily_batch.kernel.wrappers import find_wrapped_in_broken
from daily_batch.plan import Limits

__all__ = ["Found", "Scanner", "read_record"]

SCALAR = re.compile(
    rb'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+"'
    rb"|-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?|true|false|null"
)
# Behind a number so many bytes can make it a longer one.
NUMBER_GOES_ON = 3
OF_SCALARS = b'"-0123456789tfn'
PADDING = b" " * 8
NEWLINE, COMMA, OPEN_LIST, CLOSE_LIST = b"\n,[]"


class Scanner:
    """Reads records from the start of a line at `offset` on; `offset` and `line` tell where it stands."""

    def __init__(self, text: Buffer, *, offset: int, line: int, limits: Limits, check: Check = go_on) -> None:
        self.offset = offset
        self.line = line
        self._text = text
        self._limits = limits
        self._pace = Pace(check)
        self._window = Window(text, offset)
        # Of the line: how far it is indented, and whether only blanks of it were read.
        self._indent = 0
        self._fresh = True

    def records(self, until: int) -> Iterator[Found]:
        """Every record that begins before the first start of a line at or behind the byte `until`."""
        self._window.expect(until - self.offset)
        while self._find_record(until):
            symbol = self._symbol
            if symbol == OPEN_LIST:
                yield from self._array()
            elif symbol in OPENING:
                yield self._value(element=False)
            else:
                yield self._other()

    @property
    def _symbol(self) -> int:
        return self._window.held[self.offset - self._window.base]

    def _find_record(self, until: int) -> bool:
        window = self._window
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

    def _see_mark(self, rest: int) -> bool:
        """Whether there is more to be seen where a byte order mark could be in view by half."""
        window = self._window
        return window.held[-rest:] in (b"\xef", b"\xef\xbb") and window.grow(self.offset)

    def _find_in_array(self) -> int:
        """Skip blanks and lines; the next character, or 0 at the end."""
        window = self._window
        while window.fill(self.offset, MARK_BYTES):
            begin = BLANK_LINES.match(window.held, self.offset - window.base).end()  # type: ignore[union-attr]
            self._skip(begin)
            rest = len(window.held) - begin
            if rest >= MARK_BYTES or (rest and not self._see_mark(rest)):
                return self._symbol
        return 0

    def _array(self) -> Iterator[Found]:
        start, line, count = self.offset, self.line, 0
        self._pass(start + 1)
        place = self._place()
        symbol = self._find_in_array()
        if symbol == CLOSE_LIST:
            self._pass(self.offset + 1)
            yield Found(start, self.offset - start, line, value=[])
            return
        scalar = False
        while symbol:
            found = self._value(element=True) if symbol in OPENING else self._scalar()
            if found is None:
                break
            yield found
            count += 1
            scalar = symbol not in OPENING
            place = self._place()
            symbol = self._find_in_array()
            if symbol == CLOSE_LIST:
                self._pass(self.offset + 1)
                return
            if symbol != COMMA:
                break
            self._pass(self.offset + 1)
            scalar = False
            place = self._place()
            symbol = self._find_in_array()
        detail = f"the array that begins here is broken or never closed; {count} of its elements were read"
        yield Found(start, 1, line, reason=Reason.INVALID_JSON, detail=detail)
        if scalar and symbol and self.line == place[1]:
            yield self._other()  # behind a scalar no record begins
        else:
            self._go_to(place)

    def _value(self, *, element: bool) -> Found:
        """The object or array that begins here."""
        start, line = self.offset, self.line
        stop = self._read_strictly()
        if isinstance(stop, int):
            raw = self._again(start, stop)
            self._pass(stop)
            return build(raw, start=start, line=line, limits=self._limits)
        misplaced = stop.reason is Reason.INVALID_JSON
        if misplaced and (end := self._end_before(stop.at)):
            self._go_to((end, line, self._indent))
            return Found(
                start, end - start, line, reason=stop.reason, detail=f"{stop.detail} at byte {stop.at - start}"
            )
        broken = BrokenValue(self._window, self._pace, indent=self._indent, stop=stop.at, misplaced=misplaced)
        extent = broken.find_end(start, line)
        self._go_to((extent.end, extent.line, extent.indent))
        if extent.closed and not (element and self._goes_on()):
            self._go_to_end_of_line()
        reason, detail = self._judge(start, extent, stop)
        return Found(start, self.offset - start, line, reason=reason, detail=detail)

    def _read_strictly(self) -> int | Stop:
        """Where the value ends; else the byte of the text where strict reading stops, and why."""
        window, start, longest = self._window, self.offset, self._limits.max_record_bytes
        while True:
            first = start - window.base
            seen = memoryview(window.held)[first : first + longest + 1]
            found = find_end(seen)
            read = found if isinstance(found, int) else found.at
            self._pace.spend(read)
            if isinstance(found, int) or found.reason is Reason.TOO_DEEP or read < len(seen) or read > longest:
                break
            if not window.grow(start):
                found = find_end(memoryview(bytes(seen) + PADDING))  # so that a word cut short ends where it begins
                read = min(found if isinstance(found, int) else found.at, len(seen))
                break
        whole = isinstance(found, int)
        too_deep = not whole and found.reason is Reason.TOO_DEEP
        deepest = self._limits.max_depth
        deep = find_too_deep(seen if too_deep else seen[:read], deepest)
        if too_deep or deep is not None:
            return Stop(start + (deep or 0), Reason.TOO_DEEP, f"deeper than {deepest}")
        if read >= longest and (read > longest or (not whole and start + read < len(self._text))):
            return Stop(start + longest, Reason.RECORD_TOO_LARGE, f"longer than {longest} bytes")
        return start + read if whole else Stop(start + read, detail=found.detail)

    def _end_before(self, stop: int) -> int:
        """Where the value's first line ends, if a record begins at `stop`, on the next: the usual case, in short."""
        held, base = self._window.held, self._window.base
        if stop >= self._window.end or held[stop - base] not in OPENING:
            return 0
        text = held[self.offset - base : stop - base]
        first, _, rest = text.partition(b"\n")
        if len(first) == len(text) or rest.strip(b" \t\r\n") or len(rest) - rest.rfind(b"\n") - 1 > self._indent:
            return 0
        return self.offset + len(first.rstrip(WHITE))

    def _judge(self, start: int, extent: Extent, stop: Stop) -> tuple[Reason, str]:
        """Why a broken value is rejected."""
        length, longest = extent.end - start, self._limits.max_record_bytes
        if stop.reason is Reason.TOO_DEEP and extent.closed:
            # It may well be a value; then the other limits go first.
            if length > longest:
                return Reason.RECORD_TOO_LARGE, f"{length} bytes"
            try:
                self._again(start, extent.end).decode()
            except UnicodeDecodeError:
                return Reason.INVALID_UTF8, "the record holds bytes that are not UTF-8"
        if stop.reason is not Reason.INVALID_JSON:
            return stop.reason, stop.detail
        wrapped = find_wrapped_in_broken(self._again(start, min(extent.end, start + longest)), self._pace)
        how = "cut short" if stop.at == len(self._text) else f"{stop.detail} at byte {stop.at - start}"
        return stop.reason, f"{how}: {wrapped}" if wrapped else how

    def _goes_on(self) -> bool:
        """Whether the array does, behind a broken element."""
        place = self._place()
        symbol = self._find_in_array()
        self._go_to(place)
        return symbol in (COMMA, CLOSE_LIST)

    def _scalar(self) -> Found | None:
        """The text, number or word that begins here; None if there is none."""
        window, longest = self._window, self._limits.max_record_bytes
        while True:
            first = self.offset - window.base
            match = SCALAR.match(window.held, first)
            seen = len(window.held) - first
            self._pace.spend(0)
            if match and match.end() + NUMBER_GOES_ON <= len(window.held):
                break
            if (match is None and (seen > longest or b"\n" in window.held[first:])) or not window.grow(self.offset):
                break
        if match is None or len(match[0]) > longest:
            return None
        start = self.offset
        self._pass(start + len(match[0]))
        return build(match[0], start=start, line=self.line, limits=self._limits)

    def _other(self) -> Found:
        """What begins here and ends with its line: a scalar that is alone on it, or no JSON."""
        window, longest, start = self._window, self._limits.max_record_bytes, self.offset
        seen = 0
        while window.held.find(b"\n", start - window.base + seen) < 0:
            seen = window.end - start
            if seen > longest or not window.grow(start):
                break
        first = start - window.base
        newline = window.held.find(b"\n", first)
        text = window.held[first : newline if newline >= 0 else len(window.held)].rstrip(WHITE)
        self._pace.spend(len(text))
        self._go_to((start + len(text), self.line, self._indent))
        if newline < 0:
            self._go_to_end_of_line()
        length = self.offset - start
        if length > longest:
            detail = f"a line of more than {longest} bytes that begins with no object"
            return Found(start, length, self.line, reason=Reason.RECORD_TOO_LARGE, detail=detail)
        if text[0] in OF_SCALARS:
            found = read_record(text, start=start, line=self.line, limits=self._limits)
            if found is not None:
                return found
        detail = "no object or array begins here: the rest of the line"
        return Found(start, length, self.line, reason=Reason.INVALID_JSON, detail=detail)

    def _go_to_end_of_line(self) -> None:
        """Move behind what is last on the line, but for white space."""
        window, at, end = self._window, self.offset, self.offset
        while window.fill(at, 1):
            first = at - window.base
            newline = window.held.find(b"\n", first, first + PIECE)
            piece = window.held[first : newline if newline >= 0 else first + PIECE]
            self._pace.spend(len(piece))
            text = len(piece.rstrip(WHITE))
            end = at + text if text else end
            if newline >= 0:
                break
            at += len(piece)
        self._go_to((end, self.line, self._indent))

    def _again(self, start: int, end: int) -> bytes:
        """Bytes that were read before, and may have gone out of view."""
        if self._window.base <= start and end <= self._window.end:
            return self._window.held[start - self._window.base : end - self._window.base]
        return bytes(self._text[start:end])

    def _place(self) -> tuple[int, int, int]:
        return self.offset, self.line, self._indent

    def _go_to(self, place: tuple[int, int, int]) -> None:
        """Stand behind something that is not blank."""
        self.offset, self.line, self._indent = place
        self._fresh = False
        self._window.move_to(self.offset)

    def _skip(self, behind: int) -> None:
        """Move over blanks and lines, up to an index of what is in view."""
        held, first = self._window.held, self.offset - self._window.base
        if behind == first:
            return
        self._pace.spend(behind - first)
        newlines = held.count(b"\n", first, behind)
        if newlines:
            self.line += newlines
            self._indent, self._fresh = 0, True
            first = held.rfind(b"\n", first, behind) + 1
        if self._fresh:
            self._indent += count_indent(held, first, behind)
        self.offset = self._window.base + behind

    def _pass(self, offset: int) -> None:
        """Move over a value or a mark, all of it in view."""
        held, first, behind = self._window.held, self.offset - self._window.base, offset - self._window.base
        newlines = held.count(b"\n", first, behind)
        if newlines:
            self.line += newlines
            begin = held.rfind(b"\n", first, behind) + 1
            self._indent = count_indent(held, begin, BLANKS.match(held, begin).end())  # type: ignore[union-attr]
        self._fresh = False
        self.offset = offset
