"""Parse text that the fast path could not verify, record by record in one forward pass (docs/rules.md, "Records").

Each byte is read once, and the longest record bounds the buffer. The strict parse stops at the first byte that is not
JSON or exceeds a limit; from there brackets are counted leniently to the end of the broken value.
"""

import re
from collections.abc import Iterator

from daily_batch.domain.codes import Reason
from daily_batch.domain.run import Limits
from daily_batch.pipeline.transform.broken_values import WHITE, BrokenValue, Extent, find_end_in_line
from daily_batch.pipeline.transform.cancel import CancelCheck, never_cancel
from daily_batch.pipeline.transform.cursor import Cursor
from daily_batch.pipeline.transform.decode import Buffer
from daily_batch.pipeline.transform.formats import describe_broken_wrapper
from daily_batch.pipeline.transform.json_value import (
    OPENING,
    ParsedRecord,
    Stop,
    build,
    find_end,
    find_too_deep,
    read_record,
)

SCALAR = re.compile(
    rb'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+"'
    rb"|-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?|true|false|null"
)
# Bytes after a number that can extend it.
NUMBER_LOOKAHEAD = 3
SCALAR_STARTS = b'"-0123456789tfn'
PADDING = b" " * 8
COMMA, OPEN_LIST, CLOSE_LIST = b",[]"


class Scanner(Cursor):
    """Reads records from byte `offset`, the start of line `line`; both attributes follow the position."""

    def __init__(
        self, text: Buffer, *, offset: int, line: int, limits: Limits, check: CancelCheck = never_cancel
    ) -> None:
        super().__init__(text, offset=offset, line=line, check=check)
        self._limits = limits
        # A value of at most this size exceeds no limit.
        self._within_limits = min(limits.max_depth, limits.max_record_bytes - 1)

    def records(self, until: int) -> Iterator[ParsedRecord]:
        """Yield every record that begins before the first line start at or after byte `until`."""
        self.window.expect(until - self.offset)
        while self.find_record(until):
            symbol = self.symbol
            if symbol == OPEN_LIST:
                yield from self._array()
            elif symbol in OPENING:
                yield self._value(element=False)
            else:
                yield self._rest_of_line()

    def _array(self) -> Iterator[ParsedRecord]:
        start, line, count = self.offset, self.line, 0
        self.advance_to(start + 1)
        position = self.position()
        symbol = self.find_in_array()
        if symbol == CLOSE_LIST:
            self.advance_to(self.offset + 1)
            yield ParsedRecord(start, self.offset - start, line, value=[])
            return
        scalar = False
        while symbol:
            found = self._value(element=True) if symbol in OPENING else self._scalar()
            if found is None:
                break
            yield found
            count += 1
            scalar = symbol not in OPENING
            position = self.position()
            symbol = self.find_in_array()
            if symbol == CLOSE_LIST:
                self.advance_to(self.offset + 1)
                return
            if symbol != COMMA:
                break
            self.advance_to(self.offset + 1)
            scalar = False
            position = self.position()
            symbol = self.find_in_array()
        detail = f"the array that begins here is broken or never closed; {count} of its elements were read"
        yield ParsedRecord(start, 1, line, reason=Reason.INVALID_JSON, detail=detail)
        if scalar and symbol and self.line == position[1]:
            yield self._rest_of_line()  # no record begins directly after a scalar
        else:
            self.seek(position)

    def _value(self, *, element: bool) -> ParsedRecord:
        """Return the object or array that begins here."""
        start, line = self.offset, self.line
        stop = self._read_strictly()
        if isinstance(stop, int):
            raw = self.reread(start, stop)
            self.advance_to(stop)
            return build(raw, start=start, line=line, limits=self._limits)
        if not element and (found := self._value_broken_in_line(stop)):
            return found
        extent = self._find_extent(stop)
        self.seek((extent.end, extent.line, extent.indent))
        if extent.closed and not (element and self._array_continues()):
            self.seek_end_of_line()
        reason, detail = self._explain(start, extent, stop)
        return ParsedRecord(start, self.offset - start, line, reason=reason, detail=detail)

    def _read_strictly(self) -> int | Stop:
        """Return the end of the value, or where and why the strict parse stopped, in bytes of the text."""
        window, start, max_bytes = self.window, self.offset, self._limits.max_record_bytes
        while True:
            first = start - window.base
            view = memoryview(window.buffer)[first : first + max_bytes + 1]
            found = find_end(view)
            read = found if isinstance(found, int) else found.at
            self.pace.spend(read)
            if 0 < read <= self._within_limits and read < len(view):
                return start + read if isinstance(found, int) else Stop(start + read, detail=found.detail)
            if len(view) > max_bytes or read < len(view) or isinstance(found, int) or found.reason is Reason.TOO_DEEP:
                return self._apply_limits(found, view)
            if not window.grow(start):
                # The padding places the error position at the start of a truncated word.
                return self._apply_limits(find_end(memoryview(bytes(view) + PADDING)), view)

    def _apply_limits(self, found: int | Stop, view: memoryview) -> int | Stop:
        """Convert a result within the view to bytes of the text, or return the limit that was exceeded before it."""
        start, max_bytes, max_depth = self.offset, self._limits.max_record_bytes, self._limits.max_depth
        whole = isinstance(found, int)
        read = found if isinstance(found, int) else min(found.at, len(view))
        deep = None
        if isinstance(found, Stop) and found.reason is Reason.TOO_DEEP:  # deeper than Python's recursion limit
            deep = find_too_deep(view, max_depth) or 0
        elif read > max_depth:
            deep = find_too_deep(view[:read], max_depth)
        if deep is not None and deep < max_bytes:
            return Stop(start + deep, Reason.TOO_DEEP, f"deeper than {max_depth}")
        if deep is not None or read > max_bytes or (read == max_bytes and not whole and start + read < len(self.text)):
            return Stop(start + max_bytes, Reason.RECORD_TOO_LARGE, f"longer than {max_bytes} bytes")
        return start + read if isinstance(found, int) else Stop(start + read, detail=found.detail)

    def _value_broken_in_line(self, stop: Stop) -> ParsedRecord | None:
        """Return the broken value that begins here if it ends with its line and the buffer shows that; else None.

        A shortcut of `_value` for text that breaks every few bytes, which mostly looks like this.
        """
        window, start = self.window, self.offset
        buffer, base = window.buffer, window.base
        if stop.reason is not Reason.INVALID_JSON:
            return None
        end = find_end_in_line(buffer, start - base, stop.at - base)
        if not end or buffer.find(b"[", start - base, end) >= 0:
            return None
        self.offset = base + end
        detail = f"{stop.detail} at byte {stop.at - start}"
        return ParsedRecord(start, base + end - start, self.line, reason=Reason.INVALID_JSON, detail=detail)

    def _find_extent(self, stop: Stop) -> Extent:
        """Find the end of the broken value that begins here."""
        misplaced = stop.reason is Reason.INVALID_JSON
        broken = BrokenValue(self.window, self.pace, indent=self.indent, stop=stop.at, misplaced=misplaced)
        return broken.find_end(self.offset, self.line)

    def _explain(self, start: int, extent: Extent, stop: Stop) -> tuple[Reason, str]:
        """Return the reject reason and detail of a broken value."""
        max_bytes = self._limits.max_record_bytes
        if stop.reason is Reason.INVALID_JSON:
            wrapped = describe_broken_wrapper(self.reread(start, min(extent.end, start + max_bytes)), self.pace)
            how = "cut short" if stop.at == len(self.text) else f"{stop.detail} at byte {stop.at - start}"
            return stop.reason, f"{how}: {wrapped}" if wrapped else how
        length = extent.end - start
        if stop.reason is Reason.TOO_DEEP and extent.closed:
            # The value may be well-formed; then the other limits take precedence.
            if length > max_bytes:
                return Reason.RECORD_TOO_LARGE, f"{length} bytes"
            try:
                self.reread(start, extent.end).decode()
            except UnicodeDecodeError:
                return Reason.INVALID_UTF8, "the record holds bytes that are not UTF-8"
        return stop.reason, stop.detail

    def _array_continues(self) -> bool:
        """Return whether the array continues after a broken element."""
        position = self.position()
        symbol = self.find_in_array()
        self.seek(position)
        return symbol in (COMMA, CLOSE_LIST)

    def _scalar(self) -> ParsedRecord | None:
        """Return the string, number or literal that begins here, or None."""
        window, max_bytes = self.window, self._limits.max_record_bytes
        while True:
            first = self.offset - window.base
            match = SCALAR.match(window.buffer, first)
            available = len(window.buffer) - first
            self.pace.spend(0)
            if match and match.end() + NUMBER_LOOKAHEAD <= len(window.buffer):
                break
            if (match is None and (available > max_bytes or b"\n" in window.buffer[first:])) or not window.grow(
                self.offset
            ):
                break
        if match is None or len(match[0]) > max_bytes:
            return None
        start = self.offset
        self.advance_to(start + len(match[0]))
        return build(match[0], start=start, line=self.line, limits=self._limits)

    def _rest_of_line(self) -> ParsedRecord:
        """Return the rest of the line as one record: a scalar that stands alone on it, or invalid JSON."""
        window, max_bytes, start = self.window, self._limits.max_record_bytes, self.offset
        scanned = 0
        while window.buffer.find(b"\n", start - window.base + scanned) < 0:
            self.pace.spend(window.end - start - scanned)
            scanned = window.end - start
            if scanned > max_bytes or not window.grow(start):
                break
        first = start - window.base
        newline = window.buffer.find(b"\n", first)
        text = window.buffer[first : newline if newline >= 0 else len(window.buffer)].rstrip(WHITE)
        self.pace.spend(0)
        self.seek((start + len(text), self.line, self.indent))
        if newline < 0:
            self.seek_end_of_line()
        length = self.offset - start
        if length > max_bytes:
            detail = f"a line of more than {max_bytes} bytes that begins with no object"
            return ParsedRecord(start, length, self.line, reason=Reason.RECORD_TOO_LARGE, detail=detail)
        if text[0] in SCALAR_STARTS:
            found = read_record(text, start=start, line=self.line, limits=self._limits)
            if found is not None:
                return found
        detail = "no object or array begins here: the rest of the line"
        return ParsedRecord(start, length, self.line, reason=Reason.INVALID_JSON, detail=detail)
