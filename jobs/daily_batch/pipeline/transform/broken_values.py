"""Where a broken value ends: docs/rules.md, "Records"."""

import re

import msgspec

from daily_batch.pipeline.transform.cancel import Pace
from daily_batch.pipeline.transform.json_value import OPENING, TOKENS
from daily_batch.pipeline.transform.window import Window

PIECE = 2**15
WHITE = b" \t\r"
# Before a value: white space on its line, a byte order mark of joined files, the mark of JSON text sequences.
BLANKS = re.compile(rb"[ \t\r\x1e]*+(?:\xef\xbb\xbf[ \t\r\x1e]*+)*+")
BLANK_LINES = re.compile(rb"[ \t\r\n\x1e]*+(?:\xef\xbb\xbf[ \t\r\n\x1e]*+)*+")
MARK_BYTES = 3
TEXT_REST = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
# Behind one of these, a value on the next line belongs to what is before it.
VALUE_FOLLOWS = b",[{:"
QUOTE = ord('"')


class Extent(msgspec.Struct, frozen=True, gc=False):
    """The byte behind a broken value, the line of its last one and how far that is indented; whether it was closed."""

    end: int
    line: int
    indent: int = 0
    closed: bool = False


class BrokenValue:
    """Reads a broken value leniently, from its start on, line by line.

    `stop` is the byte where strict reading stopped; `misplaced` says that it stopped there because of that byte.
    """

    def __init__(self, window: Window, pace: Pace, *, indent: int, stop: int, misplaced: bool) -> None:
        self._window = window
        self._pace = pace
        self._indent = indent
        self._stop = stop
        self._misplaced = misplaced
        self._depth = 0
        # Of the text so far: is a string open, did its last character escape the next; what was last on a line.
        self._in_text = self._escaped = self._text_was_open = False
        self._last = 0
        # The depth of an inner line that began with a bracket, and whether another one of its list did.
        self._element_depth = -1
        self._is_list = False

    def find_end(self, start: int, line: int) -> Extent:
        """Read on until the brackets close, or a line begins a record, or the text ends."""
        window, at = self._window, start
        end, end_line = start, line
        line_start, fresh, indent = start, False, self._indent
        while window.fill(at, MARK_BYTES + 1):
            held, base = window.held, window.base
            first = at - base
            if fresh:
                begin = BLANK_LINES.match(held, first).end()  # type: ignore[union-attr]  # matches always
                lines = held.count(b"\n", first, begin)
                if lines:
                    at = base + held.rfind(b"\n", first, begin) + 1
                    line, line_start, indent, first = line + lines, at, 0, at - base
                    self._pace.spend(begin - first)
                    if begin == len(held):
                        continue
            newline = held.find(b"\n", first, first + PIECE)
            behind = newline if newline >= 0 else min(first + PIECE, len(held))
            self._pace.spend(behind - first)
            if fresh:
                begin = BLANKS.match(held, first, behind).end()  # type: ignore[union-attr]  # matches always
                indent += count_indent(held, first, begin)
                if newline < 0 and first < begin and behind - begin < MARK_BYTES:
                    at = base + begin  # a byte order mark may be in view by half
                    continue
                if begin < behind:
                    fresh = False
                    if self._begins_record(held[begin], base + begin, line_start, indent):
                        return Extent(end, end_line)
                first = begin
            closing = self._read(held, first, behind)
            if closing:
                return Extent(base + closing, line, indent, closed=True)
            length = len(held[first:behind].rstrip(WHITE))
            if length:
                end, end_line, self._last = base + first + length, line, held[first + length - 1]
            at = base + behind
            if newline >= 0:
                if not fresh:
                    self._text_was_open = self._in_text
                self._in_text = self._escaped = False  # a text ends with its line
                at += 1
                line += 1
                line_start, fresh, indent = at, True, 0
        return Extent(end, end_line)

    def _begins_record(self, symbol: int, at: int, line_start: int, indent: int) -> bool:
        """Return whether a line that begins with this character begins a record; note inner lines read strictly."""
        if symbol not in OPENING or indent > self._indent:
            return False
        if at < self._stop:
            self._is_list |= self._element_depth == self._depth and self._last == ord(",")
            self._element_depth = self._depth
            return False
        misplaced = self._misplaced and line_start <= self._stop
        return not self._is_list and (misplaced or self._text_was_open or self._last not in VALUE_FOLLOWS)

    def _read(self, held: bytes, first: int, behind: int) -> int:
        """Count brackets of a part of a line; where the outermost one closes, or 0."""
        if self._in_text:
            first = self._read_text(held, first, behind)
            if self._in_text:
                return 0
        closing, text, self._depth = count_brackets(held, first, behind, self._depth)
        if text:
            self._in_text = True
            self._read_text(held, text, behind)
        return closing

    def _read_text(self, held: bytes, first: int, behind: int) -> int:
        if self._escaped and first < behind:
            self._escaped = False
            first += 1
        end = TEXT_REST.match(held, first, behind).end()  # type: ignore[union-attr]  # matches always
        if end == behind:
            return end
        self._in_text = held[end] != QUOTE
        self._escaped = self._in_text
        return end + 1


def find_end_in_line(held: bytes, first: int, stop: int) -> int:
    """Where a misplaced byte's value ends with its line, if that line and the character behind it tell; else 0.

    All places are those of what is in view. What is closed takes the rest of its line with it.
    """
    newline = held.find(b"\n", first, first + PIECE)
    if newline < 0 or stop > newline + 1 or newline + 1 == len(held):
        return 0
    line = held[first:newline].rstrip(WHITE)
    if stop <= newline:  # else the line was read strictly: it closes nothing, and what is misplaced is on the next
        text = 0
        ends = line[-1] not in VALUE_FOLLOWS
        if not ends or b"}" in line or b"]" in line:
            closing, text, _ = count_brackets(held, first, newline, 0)
            if closing:
                return first + len(line)
        if not (ends or text):
            return 0
    return first + len(line) if held[newline + 1] in OPENING else 0


def count_brackets(held: bytes, first: int, behind: int, depth: int) -> tuple[int, int, int]:
    """Where the outermost bracket closes, or 0; where a text begins that is left open, or 0; the depth behind all."""
    for token in TOKENS.finditer(held, first, behind):
        symbol = held[token.start()]
        if symbol in OPENING:
            depth += 1
        elif symbol != QUOTE:
            depth -= 1
            if depth == 0:
                return token.end(), 0, 0
        elif token.end() - token.start() == 1:
            return 0, token.end(), depth
    return 0, 0, depth


def count_indent(held: bytes, first: int, behind: int) -> int:
    """Spaces and tabs of a part."""
    return held.count(b" ", first, behind) + held.count(b"\t", first, behind)
