"""Find the end of a broken JSON value (docs/rules.md, "Records")."""

import re

import msgspec

from daily_batch.pipeline.transform.cancel import Pacer
from daily_batch.pipeline.transform.json_value import OPENING, TOKENS
from daily_batch.pipeline.transform.window import Window

SCAN_BYTES = 2**15
WHITE = b" \t\r"
# Blanks before a value: white space, a byte order mark left by joined files, the separator of JSON text sequences.
BLANKS = re.compile(rb"[ \t\r\x1e]*+(?:\xef\xbb\xbf[ \t\r\x1e]*+)*+")
BLANK_LINES = re.compile(rb"[ \t\r\n\x1e]*+(?:\xef\xbb\xbf[ \t\r\n\x1e]*+)*+")
MARK_BYTES = 3
STRING_REST = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
# After one of these bytes, a value on the next line continues the broken value.
VALUE_FOLLOWS = b",[{:"
QUOTE = ord('"')


class Extent(msgspec.Struct, frozen=True, gc=False):
    """The end of a broken value (exclusive), its last line and that line's indentation; whether its brackets close."""

    end: int
    line: int
    indent: int = 0
    closed: bool = False


class BrokenValue:
    """Reads a broken value leniently from its start, line by line.

    `stop` is the byte at which strict reading stopped; `misplaced` says that this byte is not valid JSON there.
    """

    def __init__(self, window: Window, pace: Pacer, *, indent: int, stop: int, misplaced: bool) -> None:
        self._window = window
        self._pace = pace
        self._indent = indent
        self._stop = stop
        self._misplaced = misplaced
        self._depth = 0
        # Whether a string is open, whether its last character escapes the next one, and the last byte of a line.
        self._in_string = self._escaped = self._string_was_open = False
        self._last = 0
        # The depth at which an inner line began with a bracket, and whether another line of the same list did.
        self._element_depth = -1
        self._is_list = False

    def find_end(self, start: int, line: int) -> Extent:
        """Read until the brackets close, a line begins a record, or the text ends."""
        window, at = self._window, start
        end, end_line = start, line
        line_start, only_blanks, indent = start, False, self._indent
        while window.fill(at, MARK_BYTES + 1):
            buffer, base = window.buffer, window.base
            first = at - base
            if only_blanks:
                begin = BLANK_LINES.match(buffer, first).end()  # type: ignore[union-attr]  # matches always
                lines = buffer.count(b"\n", first, begin)
                if lines:
                    at = base + buffer.rfind(b"\n", first, begin) + 1
                    line, line_start, indent, first = line + lines, at, 0, at - base
                    self._pace.spend(begin - first)
                    if begin == len(buffer):
                        continue
            newline = buffer.find(b"\n", first, first + SCAN_BYTES)
            limit = newline if newline >= 0 else min(first + SCAN_BYTES, len(buffer))
            self._pace.spend(limit - first)
            if only_blanks:
                begin = BLANKS.match(buffer, first, limit).end()  # type: ignore[union-attr]  # matches always
                indent += count_indent(buffer, first, begin)
                if newline < 0 and first < begin and limit - begin < MARK_BYTES:
                    at = base + begin  # the buffer may end within a byte order mark
                    continue
                if begin < limit:
                    only_blanks = False
                    if self._begins_record(buffer[begin], base + begin, line_start, indent):
                        return Extent(end, end_line)
                first = begin
            closing = self._scan_part(buffer, first, limit)
            if closing:
                return Extent(base + closing, line, indent, closed=True)
            length = len(buffer[first:limit].rstrip(WHITE))
            if length:
                end, end_line, self._last = base + first + length, line, buffer[first + length - 1]
            at = base + limit
            if newline >= 0:
                if not only_blanks:
                    self._string_was_open = self._in_string
                self._in_string = self._escaped = False  # a string ends with its line
                at += 1
                line += 1
                line_start, only_blanks, indent = at, True, 0
        return Extent(end, end_line)

    def _begins_record(self, symbol: int, at: int, line_start: int, indent: int) -> bool:
        """Return whether a line that begins with `symbol` begins a record; track inner lines read strictly."""
        if symbol not in OPENING or indent > self._indent:
            return False
        if at < self._stop:
            self._is_list |= self._element_depth == self._depth and self._last == ord(",")
            self._element_depth = self._depth
            return False
        misplaced = self._misplaced and line_start <= self._stop
        return not self._is_list and (misplaced or self._string_was_open or self._last not in VALUE_FOLLOWS)

    def _scan_part(self, buffer: bytes, first: int, limit: int) -> int:
        """Count the brackets in a part of a line; return the index after the outermost closing one, or 0."""
        if self._in_string:
            first = self._scan_string(buffer, first, limit)
            if self._in_string:
                return 0
        closing, string_start, self._depth = count_brackets(buffer, first, limit, self._depth)
        if string_start:
            self._in_string = True
            self._scan_string(buffer, string_start, limit)
        return closing

    def _scan_string(self, buffer: bytes, first: int, limit: int) -> int:
        if self._escaped and first < limit:
            self._escaped = False
            first += 1
        end = STRING_REST.match(buffer, first, limit).end()  # type: ignore[union-attr]  # matches always
        if end == limit:
            return end
        self._in_string = buffer[end] != QUOTE
        self._escaped = self._in_string
        return end + 1


def find_end_in_line(buffer: bytes, first: int, stop: int) -> int:
    """Return the index at which a value with an invalid byte ends within its line, or 0 if the line does not show it.

    All indexes are relative to the buffer. A value that closes includes the rest of its line.
    """
    newline = buffer.find(b"\n", first, first + SCAN_BYTES)
    if newline < 0 or stop > newline + 1 or newline + 1 == len(buffer):
        return 0
    line = buffer[first:newline].rstrip(WHITE)
    # Otherwise the whole line was read strictly: it closes nothing, and the invalid byte is on the next line.
    if stop <= newline:
        string_start = 0
        ends = line[-1] not in VALUE_FOLLOWS
        if not ends or b"}" in line or b"]" in line:
            closing, string_start, _ = count_brackets(buffer, first, newline, 0)
            if closing:
                return first + len(line)
        if not (ends or string_start):
            return 0
    return first + len(line) if buffer[newline + 1] in OPENING else 0


def count_brackets(buffer: bytes, first: int, limit: int, depth: int) -> tuple[int, int, int]:
    """Return the index after the outermost closing bracket or 0, the start of an unclosed string or 0, the depth."""
    for token in TOKENS.finditer(buffer, first, limit):
        symbol = buffer[token.start()]
        if symbol in OPENING:
            depth += 1
        elif symbol != QUOTE:
            depth -= 1
            if depth == 0:
                return token.end(), 0, 0
        elif token.end() - token.start() == 1:
            return 0, token.end(), depth
    return 0, 0, depth


def count_indent(buffer: bytes, first: int, limit: int) -> int:
    """Return the number of spaces and tabs in a part of the buffer."""
    return buffer.count(b" ", first, limit) + buffer.count(b"\t", first, limit)
