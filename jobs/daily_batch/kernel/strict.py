"""Strict JSON (RFC 8259) record by record, for the text that the fast path could not prove right.

The rule: at the start of a line, and behind each value, the next value is read, however many lines it takes; an array
at the top is a list of records. Text that is no value is rejected up to the end of the broken value, where its
brackets close, else up to the end of an object that holds one message, else up to the next whole object on the line,
else up to the end of the line.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

import msgspec

from daily_batch.contract import Reason
from daily_batch.kernel.decode import Buffer
from daily_batch.plan import Limits

BLANK = re.compile(r"[ \t\r\ufeff]*")  # a mark in the text comes from joined files
SPACE = re.compile(r"[ \t\r\n\ufeff]*")
BRACKETS = re.compile(r'"(?:[^"\\\n]|\\.)*"|[\[\]{}]|"')
SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
# A pair, half of one, or any other escape.
ESCAPES = re.compile(r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u[dD][89a-fA-F]..|\\.")
LONE_ESCAPE = len(r"\ud800")
LONE_SURROGATE = re.compile("[\ud800-\udfff]")
FIRST_WINDOW = 2**16


@dataclass(frozen=True, slots=True)
class Found:
    """A record, or what stands where one should be. `start` and `length` are bytes of the decoded text.

    Numbers in `value` are `msgspec.Raw`: their digits as sent. With a `reason` there is no value.
    """

    start: int
    length: int
    line: int
    value: object = None
    reason: Reason | None = None
    detail: str = ""
    replaced_surrogate: bool = False


class _BrokenError(Exception):
    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class _Objects:
    """Builds objects and notes whether one named a key twice. No part of the scanner: the two would hold each other,
    and with them the text of an object, until the garbage collector comes."""

    def __init__(self) -> None:
        self.duplicate = False

    def build(self, pairs: list[tuple[str, object]]) -> dict[str, object]:
        built = dict(pairs)
        if len(built) != len(pairs):
            self.duplicate = True
        return built


class Scanner:
    """Reads records from `offset` on; `offset` and `line` tell where it stands.

    `alone` says that the text is meant to be one record, so that one that is cut off ends with the text.
    """

    def __init__(self, text: Buffer, *, offset: int, line: int, limits: Limits, alone: bool) -> None:
        self._alone = alone
        self.offset = offset
        self.line = line
        self._buffer = text
        self._limits = limits
        self._objects = _Objects()
        self._decoder = json.JSONDecoder(
            object_pairs_hook=self._objects.build,
            parse_float=_raw_number,
            parse_int=_raw_number,
            parse_constant=_refuse_constant,
        )
        self._window = ""
        self._at = 0
        self._end = offset

    def records(self, until: int) -> Iterator[Found]:
        """Every record up to the first start of a line at or behind the byte `until`."""
        self._load(min(until - self.offset, FIRST_WINDOW))
        while self._find_record(until):
            if self._window[self._at] == "[":
                yield from self._array()
            else:
                yield self._record()

    def _find_record(self, until: int) -> bool:
        while True:
            self._move(BLANK.match(self._window, self._at).end())  # type: ignore[union-attr]  # matches always
            if self._at == len(self._window):
                if not self._grow():
                    return False
            elif self._window[self._at] == "\n":
                self._move(self._at + 1)
                if self.offset >= until:
                    return False
            else:
                return True

    def _skip_space(self) -> str:
        """The next character that is no white space, or an empty text at the end."""
        while True:
            self._move(SPACE.match(self._window, self._at).end())  # type: ignore[union-attr]  # matches always
            if self._at < len(self._window):
                return self._window[self._at]
            if not self._grow():
                return ""

    def _array(self) -> Iterator[Found]:
        start, line, count = self.offset, self.line, 0
        self._move(self._at + 1)
        if self._skip_space() == "]":
            self._move(self._at + 1)
            yield Found(start, self.offset - start, line, value=[])
            return
        while self._skip_space():
            yield self._record()
            count += 1
            mark = self._skip_space()
            if mark == ",":
                self._move(self._at + 1)
            elif mark == "]":
                self._move(self._at + 1)
                return
            elif mark:
                return  # what follows is no part of an array: it is read for itself, or rejected
        yield Found(start, 1, line, reason=Reason.INVALID_JSON, detail=f"an array of {count} is never closed")

    def _record(self) -> Found:
        start, line = self.offset, self.line
        try:
            value, end = self._parse()
            raw = self._window[self._at : end]
            self._move(end)
            length = self.offset - start
            self._check(raw, length)
        except _BrokenError as broken:
            if self.offset == start:
                self._skip_broken()
            return Found(start, self.offset - start, line, reason=broken.reason, detail=broken.detail)
        if SURROGATE_ESCAPE.search(raw) is None:
            return Found(start, length, line, value=value)
        # In the text, for Python's own recursion through a value ends before max_depth does.
        mended = ESCAPES.sub(_mend, raw)
        if mended == raw:
            return Found(start, length, line, value=value)
        value, _ = self._decoder.raw_decode(mended)
        if self._objects.duplicate:
            detail = "two keys are alike but for a lone surrogate"
            return Found(start, length, line, reason=Reason.DUPLICATE_KEY, detail=detail)
        return Found(start, length, line, value=value, replaced_surrogate=True)

    def _parse(self) -> tuple[object, int]:
        while True:
            self._objects.duplicate = False
            try:
                value, end = self._decoder.raw_decode(self._window, self._at)
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated") or error.pos >= len(self._window.rstrip()) - 8
                if cut and self._grow():
                    continue
                if cut and self._end < len(self._buffer):
                    limit = self._limits.max_record_bytes
                    raise _BrokenError(Reason.RECORD_TOO_LARGE, f"longer than {limit} bytes") from error
                raise _BrokenError(Reason.INVALID_JSON, f"{error.msg} at character {error.pos - self._at}") from error
            except RecursionError as error:
                raise _BrokenError(Reason.TOO_DEEP, f"deeper than {self._limits.max_depth}") from error
            if end < len(self._window) or not self._grow():  # a number may go on behind the window
                return value, end

    def _check(self, raw: str, length: int) -> None:
        if length > self._limits.max_record_bytes:
            raise _BrokenError(Reason.RECORD_TOO_LARGE, f"{length} bytes")
        if not raw.isascii() and LONE_SURROGATE.search(raw):  # what bytes that are not UTF-8 were decoded to
            raise _BrokenError(Reason.INVALID_UTF8, "the record holds bytes that are not UTF-8")
        if raw.count("{") + raw.count("[") > self._limits.max_depth and _depth(raw) > self._limits.max_depth:
            raise _BrokenError(Reason.TOO_DEEP, f"deeper than {self._limits.max_depth}")
        if self._objects.duplicate:
            raise _BrokenError(Reason.DUPLICATE_KEY, "an object names a key twice")

    def _skip_broken(self) -> None:
        """Move behind the broken value where its brackets close, unless whole records would go with it."""
        self._see_line()
        end = self._closing()
        if end is not None and not self._holds_records(self._window[self._at : end]):
            self._move(end)
            return
        if self._alone and self._window[self._at] in "{[" and not self._holds_records(self._rest()):
            self._end_here(len(self._buffer))
            return
        next_object = self._next_object()
        if next_object is not None:
            self._move(next_object)
            return
        newline = self._buffer.find(b"\n", self.offset)
        self._end_here(newline if newline >= 0 else len(self._buffer))

    def _see_line(self) -> None:
        """See what is searched, the line or FIRST_WINDOW, whatever was in view: what is read must not depend on it."""
        newline = self._buffer.find(b"\n", self.offset)
        line = (newline if newline >= 0 else len(self._buffer)) - self.offset
        self._load(min(max(line, FIRST_WINDOW), 4 * self._limits.max_record_bytes))

    def _rest(self) -> str:
        return bytes(self._buffer[self.offset :]).decode("utf-8", "surrogateescape")

    def _end_here(self, offset: int) -> None:
        self.line += bytes(self._buffer[self.offset : offset]).count(b"\n")
        self.offset = offset
        self._load(FIRST_WINDOW)

    def _closing(self) -> int | None:
        if self._window[self._at] not in "{[":
            return None
        depth = 0
        for mark in BRACKETS.finditer(self._window, self._at):
            symbol = mark[0]
            if symbol == '"':  # a text that does not end on its line
                return None
            depth += (symbol in "{[") - (symbol in "}]")
            if depth == 0:
                return mark.end()
        return None

    def _next_object(self) -> int | None:
        if self._window[self._at] in "{[":  # what is inside of a broken value is no record of its own
            return None
        start = self._window.find("{", self._at)
        newline = self._window.find("\n", self._at)
        if start < 0 or 0 <= newline < start:
            return None
        try:
            self._decoder.raw_decode(self._window, start)
        except (ValueError, RecursionError, _BrokenError):
            return None
        return start

    def _holds_records(self, broken: str) -> bool:
        for line in broken.split("\n")[1:]:
            text = line.strip().rstrip(",")
            if text.startswith("{"):
                try:
                    json.loads(text, parse_constant=_refuse_constant)
                except (ValueError, RecursionError, _BrokenError):
                    continue
                return True
        return False

    def _move(self, at: int) -> None:
        passed = self._window[self._at : at]
        self.line += passed.count("\n")
        self.offset += len(passed) if passed.isascii() else len(passed.encode("utf-8", "surrogateescape"))
        self._at = at

    def _grow(self) -> bool:
        if self._end == len(self._buffer):
            return False
        size = max(2 * (self._end - self.offset), FIRST_WINDOW)
        if size > 4 * self._limits.max_record_bytes:
            return False
        self._load(size)
        return True

    def _load(self, size: int) -> None:
        self._end = min(self.offset + size, len(self._buffer))
        self._window = bytes(self._buffer[self.offset : self._end]).decode("utf-8", "surrogateescape")
        self._at = 0


def _raw_number(digits: str) -> msgspec.Raw:
    return msgspec.Raw(digits.encode())


def _refuse_constant(name: str) -> NoReturn:
    raise _BrokenError(Reason.INVALID_JSON, f"{name} is no JSON number")


def _mend(escape: re.Match[str]) -> str:
    return "\\ufffd" if len(escape[0]) == LONE_ESCAPE else escape[0]


def _depth(raw: str) -> int:
    depth = deepest = 0
    for mark in BRACKETS.finditer(raw):
        depth += (mark[0] in "{[") - (mark[0] in "}]")
        deepest = max(depth, deepest)
    return deepest
