"""Text that the fast path could not prove, read record by record in one pass forward: docs/rules.md, "Records".

Each byte is read once, and what is in view is bounded by the longest record. Reading strictly stops at the first byte
that is no JSON or is beyond a limit; from there on brackets are counted leniently until the broken value ends.
"""

import re
from collections.abc import Iterator

from daily_batch.domain.contract import Reason
from daily_batch.domain.run import Limits
from daily_batch.pipeline.transform.broken_values import WHITE, BrokenValue, Extent, find_end_in_line
from daily_batch.pipeline.transform.cancel import CancelCheck, never_cancel
from daily_batch.pipeline.transform.cursor import Cursor
from daily_batch.pipeline.transform.decode import Buffer
from daily_batch.pipeline.transform.formats import find_wrapped_in_broken
from daily_batch.pipeline.transform.json_value import OPENING, Found, Stop, build, find_end, find_too_deep, read_record

__all__ = ["Found", "Scanner", "read_record"]

SCALAR = re.compile(
    rb'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+"'
    rb"|-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?|true|false|null"
)
# Behind a number so many bytes can make it a longer one.
NUMBER_GOES_ON = 3
OF_SCALARS = b'"-0123456789tfn'
PADDING = b" " * 8
COMMA, OPEN_LIST, CLOSE_LIST = b",[]"


class Scanner(Cursor):
    """Reads records from the start of a line at `offset` on; `offset` and `line` tell where it stands."""

    def __init__(
        self, text: Buffer, *, offset: int, line: int, limits: Limits, check: CancelCheck = never_cancel
    ) -> None:
        super().__init__(text, offset=offset, line=line, check=check)
        self._limits = limits
        # A value of so many bytes meets no limit.
        self._within_limits = min(limits.max_depth, limits.max_record_bytes - 1)

    def records(self, until: int) -> Iterator[Found]:
        """Every record that begins before the first start of a line at or behind the byte `until`."""
        self.window.expect(until - self.offset)
        while self.find_record(until):
            symbol = self.symbol
            if symbol == OPEN_LIST:
                yield from self._array()
            elif symbol in OPENING:
                yield self._value(element=False)
            else:
                yield self._other()

    def _array(self) -> Iterator[Found]:
        start, line, count = self.offset, self.line, 0
        self.pass_to(start + 1)
        place = self.place()
        symbol = self.find_in_array()
        if symbol == CLOSE_LIST:
            self.pass_to(self.offset + 1)
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
            place = self.place()
            symbol = self.find_in_array()
            if symbol == CLOSE_LIST:
                self.pass_to(self.offset + 1)
                return
            if symbol != COMMA:
                break
            self.pass_to(self.offset + 1)
            scalar = False
            place = self.place()
            symbol = self.find_in_array()
        detail = f"the array that begins here is broken or never closed; {count} of its elements were read"
        yield Found(start, 1, line, reason=Reason.INVALID_JSON, detail=detail)
        if scalar and symbol and self.line == place[1]:
            yield self._other()  # behind a scalar no record begins
        else:
            self.go_to(place)

    def _value(self, *, element: bool) -> Found:
        """The object or array that begins here."""
        start, line = self.offset, self.line
        stop = self._read_strictly()
        if isinstance(stop, int):
            raw = self.again(start, stop)
            self.pass_to(stop)
            return build(raw, start=start, line=line, limits=self._limits)
        if not element and (found := self._broken_line(stop)):
            return found
        extent = self._find_extent(stop)
        self.go_to((extent.end, extent.line, extent.indent))
        if extent.closed and not (element and self._goes_on()):
            self.go_to_end_of_line()
        reason, detail = self._judge(start, extent, stop)
        return Found(start, self.offset - start, line, reason=reason, detail=detail)

    def _read_strictly(self) -> int | Stop:
        """Where the value ends; else the byte of the text where strict reading stops, and why."""
        window, start, longest = self.window, self.offset, self._limits.max_record_bytes
        while True:
            first = start - window.base
            seen = memoryview(window.held)[first : first + longest + 1]
            found = find_end(seen)
            read = found if isinstance(found, int) else found.at
            self.pace.spend(read)
            if 0 < read <= self._within_limits and read < len(seen):
                return start + read if isinstance(found, int) else Stop(start + read, detail=found.detail)
            if len(seen) > longest or read < len(seen) or isinstance(found, int) or found.reason is Reason.TOO_DEEP:
                return self._limit(found, seen)
            if not window.grow(start):
                # So that the error position of a word cut short is where the word begins.
                return self._limit(find_end(memoryview(bytes(seen) + PADDING)), seen)

    def _limit(self, found: int | Stop, seen: memoryview) -> int | Stop:
        """What was found within the part seen, as bytes of the text, or the limit that was met before it."""
        start, longest, max_depth = self.offset, self._limits.max_record_bytes, self._limits.max_depth
        whole = isinstance(found, int)
        read = found if isinstance(found, int) else min(found.at, len(seen))
        deep = None
        if isinstance(found, Stop) and found.reason is Reason.TOO_DEEP:  # deeper than Python goes
            deep = find_too_deep(seen, max_depth) or 0
        elif read > max_depth:
            deep = find_too_deep(seen[:read], max_depth)
        if deep is not None and deep < longest:
            return Stop(start + deep, Reason.TOO_DEEP, f"deeper than {max_depth}")
        if deep is not None or read > longest or (read == longest and not whole and start + read < len(self.text)):
            return Stop(start + longest, Reason.RECORD_TOO_LARGE, f"longer than {longest} bytes")
        return start + read if isinstance(found, int) else Stop(start + read, detail=found.detail)

    def _broken_line(self, stop: Stop) -> Found | None:
        """The broken value that begins here, if it ends with its line and all that tells so is in view.

        What _value does in short: text that breaks every few bytes is mostly this.
        """
        window, start = self.window, self.offset
        held, base = window.held, window.base
        if stop.reason is not Reason.INVALID_JSON:
            return None
        end = find_end_in_line(held, start - base, stop.at - base)
        if not end or held.find(b"[", start - base, end) >= 0:
            return None
        self.offset = base + end
        detail = f"{stop.detail} at byte {stop.at - start}"
        return Found(start, base + end - start, self.line, reason=Reason.INVALID_JSON, detail=detail)

    def _find_extent(self, stop: Stop) -> Extent:
        """Where the broken value that begins here ends."""
        misplaced = stop.reason is Reason.INVALID_JSON
        broken = BrokenValue(self.window, self.pace, indent=self.indent, stop=stop.at, misplaced=misplaced)
        return broken.find_end(self.offset, self.line)

    def _judge(self, start: int, extent: Extent, stop: Stop) -> tuple[Reason, str]:
        """Why a broken value is rejected."""
        longest = self._limits.max_record_bytes
        if stop.reason is Reason.INVALID_JSON:
            wrapped = find_wrapped_in_broken(self.again(start, min(extent.end, start + longest)), self.pace)
            how = "cut short" if stop.at == len(self.text) else f"{stop.detail} at byte {stop.at - start}"
            return stop.reason, f"{how}: {wrapped}" if wrapped else how
        length = extent.end - start
        if stop.reason is Reason.TOO_DEEP and extent.closed:
            # It may well be a value; then the other limits go first.
            if length > longest:
                return Reason.RECORD_TOO_LARGE, f"{length} bytes"
            try:
                self.again(start, extent.end).decode()
            except UnicodeDecodeError:
                return Reason.INVALID_UTF8, "the record holds bytes that are not UTF-8"
        return stop.reason, stop.detail

    def _goes_on(self) -> bool:
        """Whether the array does, behind a broken element."""
        place = self.place()
        symbol = self.find_in_array()
        self.go_to(place)
        return symbol in (COMMA, CLOSE_LIST)

    def _scalar(self) -> Found | None:
        """The text, number or word that begins here; None if there is none."""
        window, longest = self.window, self._limits.max_record_bytes
        while True:
            first = self.offset - window.base
            match = SCALAR.match(window.held, first)
            seen = len(window.held) - first
            self.pace.spend(0)
            if match and match.end() + NUMBER_GOES_ON <= len(window.held):
                break
            if (match is None and (seen > longest or b"\n" in window.held[first:])) or not window.grow(self.offset):
                break
        if match is None or len(match[0]) > longest:
            return None
        start = self.offset
        self.pass_to(start + len(match[0]))
        return build(match[0], start=start, line=self.line, limits=self._limits)

    def _other(self) -> Found:
        """What begins here and ends with its line: a scalar that is alone on it, or no JSON."""
        window, longest, start = self.window, self._limits.max_record_bytes, self.offset
        seen = 0
        while window.held.find(b"\n", start - window.base + seen) < 0:
            self.pace.spend(window.end - start - seen)
            seen = window.end - start
            if seen > longest or not window.grow(start):
                break
        first = start - window.base
        newline = window.held.find(b"\n", first)
        text = window.held[first : newline if newline >= 0 else len(window.held)].rstrip(WHITE)
        self.pace.spend(0)
        self.go_to((start + len(text), self.line, self.indent))
        if newline < 0:
            self.go_to_end_of_line()
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
