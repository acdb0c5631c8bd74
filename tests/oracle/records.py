"""Records: section "Records", applied to the whole text of an object at once."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from daily_batch.domain.run import Limits
from tests.oracle.json_text import DeepError, NotJsonError, Value, read_scalar, read_value, replace_surrogates

BLANKS = re.compile("[ \t\r\x1e\ufeff]*")
BLANK_LINES = re.compile("[ \t\r\n\x1e\ufeff]*")
WHITE_SPACE = " \t\r"


@dataclass(frozen=True)
class Record:
    """A record from `start` to `end` of the text: a value, or the reason why there is none."""

    start: int
    end: int
    value: Any = None
    reason: str = ""
    replaced: bool = False


class Ending(NamedTuple):
    """The end of a broken value, and whether its brackets close there."""

    at: int
    closed: bool


def split(text: str, *, limits: Limits) -> list[Record]:
    """Return every record of a text."""
    return list(_Splitter(text, limits).records())


class _Splitter:
    def __init__(self, text: str, limits: Limits) -> None:
        self.text = text
        self.limits = limits
        self.at = 0

    def records(self) -> Iterator[Record]:
        while mark := self.next_mark():
            if mark == "[":
                yield from self.array()
            else:
                yield self.value(element=False) if mark == "{" else self.rest_of_line()

    def next_mark(self) -> str:
        """Return the next character that is not blank; empty at the end."""
        self.at = _skip(BLANK_LINES, self.text, self.at)
        return self.text[self.at : self.at + 1]

    def array(self) -> Iterator[Record]:
        start = self.at
        self.at += 1
        if self.next_mark() == "]":
            self.at += 1
            yield Record(start, self.at, value=[])
            return
        while mark := self.next_mark():
            if mark in "{[":
                yield self.value(element=True)
            else:
                scalar = self.scalar()
                if scalar is None:
                    break
                yield scalar
            rest = self.at
            end = self.next_mark()
            if end == "]":
                self.at += 1
                return
            if end != ",":
                yield Record(start, start + 1, reason="invalid_json")
                if mark not in "{[" and end and "\n" not in self.text[rest : self.at]:
                    yield self.rest_of_line()  # no record begins directly after a scalar
                return
            self.at += 1
        yield Record(start, start + 1, reason="invalid_json")

    def scalar(self) -> Record | None:
        found = read_scalar(self.text, self.at)
        if found is None or self.bytes_to(self.at, found.end) > self.limits.max_record_bytes:
            return None
        return self.make_record(found)

    def rest_of_line(self) -> Record:
        """Return the rest of the line, where no record begins."""
        start, end = self.at, self.end_of_line(self.at)
        self.at = end
        if self.bytes_to(start, end) > self.limits.max_record_bytes:
            return Record(start, end, reason="record_too_large")
        found = read_scalar(self.text, start)
        if found is None or found.end != end:
            return Record(start, end, reason="invalid_json")
        self.at = start
        return self.make_record(found)

    def value(self, *, element: bool) -> Record:
        """Return the record that begins with a bracket."""
        start, max_bytes = self.at, self.limits.max_record_bytes
        try:
            found = read_value(self.text, start, self.limits.max_depth)
            stop, reason = found.end, ""
        except NotJsonError as error:
            stop, reason = error.at, "invalid_json"
        except DeepError as error:
            stop, reason = error.at, "too_deep"
        size = self.bytes_to(start, stop)
        if size > max_bytes or (reason and size == max_bytes and stop < len(self.text)):
            stop, reason = self.too_large_at(start), "record_too_large"
        if not reason:
            return self.make_record(found)
        ending = self.end_of_broken(start, stop, misplaced=reason == "invalid_json")
        if reason == "too_deep" and ending.closed:
            if self.bytes_to(start, ending.at) > max_bytes:
                reason = "record_too_large"
            elif not _is_utf8(self.text[start : ending.at]):
                reason = "invalid_utf8"
        self.at = ending.at
        if ending.closed and not (element and self.text[_skip(BLANK_LINES, self.text, ending.at) :][:1] in (",", "]")):
            self.at = self.end_of_line(ending.at)
        return Record(start, self.at, reason=reason)

    def make_record(self, found: Value) -> Record:
        """Return the record of a value that was read to its end."""
        start, self.at = self.at, found.end
        if not _is_utf8(self.text[start : found.end]):
            return Record(start, found.end, reason="invalid_utf8")
        if found.repeats:
            return Record(start, found.end, reason="duplicate_key")
        value = replace_surrogates(found.value)
        return Record(start, found.end, value=value, replaced=value != found.value)

    def end_of_broken(self, start: int, stop: int, *, misplaced: bool) -> Ending:
        line_start = self.text.rfind("\n", 0, start) + 1
        allowed = self.indent(line_start)
        depth, end, at = 0, start, start
        last, ends_in_string = "", False
        element_depth, is_list = -1, False
        while at < len(self.text):
            newline = self.text.find("\n", at)
            line_end = len(self.text) if newline < 0 else newline
            first = _skip(BLANKS, self.text, at) if at > start else at
            if at > start and self.text[first:line_end][:1] in ("{", "[") and self.indent(at) <= allowed:
                if first < stop:
                    is_list = is_list or (element_depth == depth and last == ",")
                    element_depth = depth
                elif not is_list and ((misplaced and at <= stop) or ends_in_string or last not in ",[{:"):
                    return Ending(end, closed=False)
            if first < line_end:
                in_string = False
                position = first
                while position < line_end:
                    mark = self.text[position]
                    if in_string:
                        position += mark == "\\"
                        in_string = mark != '"'
                    elif mark == '"':
                        in_string = True
                    elif mark in "{[":
                        depth += 1
                    elif mark in "}]":
                        depth -= 1
                        if depth == 0:
                            return Ending(position + 1, closed=True)
                    position += 1
                ends_in_string = in_string
                visible = self.text[first:line_end].rstrip(WHITE_SPACE)
                if visible:
                    last, end = visible[-1], first + len(visible)
            at = line_end + 1
        return Ending(end, closed=False)

    def indent(self, line_start: int) -> int:
        blanks = self.text[line_start : _skip(BLANKS, self.text, line_start)]
        return blanks.count(" ") + blanks.count("\t")

    def end_of_line(self, start: int) -> int:
        newline = self.text.find("\n", start)
        line = self.text[start:] if newline < 0 else self.text[start:newline]
        return start + len(line.rstrip(WHITE_SPACE))

    def bytes_to(self, start: int, end: int) -> int:
        return len(self.text[start:end].encode("utf-8", "surrogateescape"))

    def too_large_at(self, start: int) -> int:
        prefix = self.text[start : start + self.limits.max_record_bytes].encode("utf-8", "surrogateescape")
        return start + len(prefix[: self.limits.max_record_bytes].decode("utf-8", "surrogateescape"))


def _skip(blanks: re.Pattern[str], text: str, at: int) -> int:
    match = blanks.match(text, at)
    assert match
    return match.end()


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)
