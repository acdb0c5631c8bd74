"""Records: rules "Records" 1 to 5, over the whole text of an object at once."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from daily_batch.plan import Limits
from oracle.json_text import DeepError, NotJsonError, read_value, replace_surrogates

BLANK = re.compile("[ \t\r\n\ufeff]*")


@dataclass(frozen=True)
class Record:
    """A record from `start` to `end` of the text: a value, or the reason why there is none."""

    start: int
    end: int
    value: Any = None
    reason: str = ""
    replaced: bool = False


def split(text: str, *, alone: bool, limits: Limits) -> list[Record]:
    """Every record of a text; `alone` is the messages layout."""
    return list(_Splitter(text, alone, limits).records())


class _Splitter:
    def __init__(self, text: str, alone: bool, limits: Limits) -> None:
        self.text = text
        self.alone = alone
        self.limits = limits
        self.at = 0

    def records(self) -> Iterator[Record]:
        while self.next_mark():
            if self.text[self.at] == "[":
                yield from self.array()
            else:
                yield self.record()

    def next_mark(self) -> str:
        """The next character that is neither white space nor a mark of joined files; empty at the end."""
        blank = BLANK.match(self.text, self.at)
        assert blank
        self.at = blank.end()
        return self.text[self.at : self.at + 1]

    def array(self) -> Iterator[Record]:
        start = self.at
        self.at += 1
        if self.next_mark() == "]":
            self.at += 1
            yield Record(start, self.at, value=[])
            return
        while self.next_mark():
            yield self.record()
            mark = self.next_mark()
            if mark in (",", "]"):
                self.at += 1
            if mark and mark != ",":
                return
        yield Record(start, start + 1, reason="invalid_json")

    def record(self) -> Record:
        start = self.at
        try:
            found = read_value(self.text, start)
        except NotJsonError:
            self.at = self.end_of_broken(start)
            return Record(start, self.at, reason="invalid_json")
        except DeepError:
            closing = self.closing(start)
            self.at = self.end_of_broken(start) if closing is None else closing
            return Record(start, self.at, reason="too_deep" if closing else "invalid_json")
        self.at = found.end
        raw = self.text[start : found.end]
        if len(raw.encode("utf-8", "surrogateescape")) > self.limits.max_record_bytes:
            return Record(start, found.end, reason="record_too_large")
        if any("\ud800" <= letter <= "\udfff" for letter in raw):
            return Record(start, found.end, reason="invalid_utf8")
        if found.depth > self.limits.max_depth:
            return Record(start, found.end, reason="too_deep")
        if found.repeats:
            return Record(start, found.end, reason="duplicate_key")
        value = replace_surrogates(found.value)
        return Record(start, found.end, value=value, replaced=value != found.value)

    def end_of_broken(self, start: int) -> int:
        """Rule 2: how far the text goes that is rejected with a broken value."""
        if self.text[start] in "{[":
            closing = self.closing(start)
            if closing is not None and not self.holds_objects(start, closing):
                return closing
            if self.alone and not self.holds_objects(start, len(self.text)):
                return len(self.text)
            return self.end_of_line(start)
        end = self.end_of_line(start)
        at = self.text.find("{", start, end)
        return at if at >= 0 and self.is_object(at) else end

    def closing(self, start: int) -> int | None:
        """Where the brackets that open at `start` close; None where they do not, or a text does not end on its line."""
        depth, at, inside = 0, start, False
        while at < len(self.text):
            mark = self.text[at]
            if inside:
                if mark == "\n" or self.text.startswith("\\\n", at):
                    return None
                at += mark == "\\"
                inside = mark != '"'
            elif mark == '"':
                inside = True
            elif mark in "{[":
                depth += 1
            elif mark in "}]":
                depth -= 1
                if depth == 0:
                    return at + 1
            at += 1
        return None

    def holds_objects(self, start: int, end: int) -> bool:
        """Whether whole objects on lines of their own lie between, but for the line where the text begins."""
        lines = self.text[start:end].split("\n")[1:]
        return any(_is_whole_object(line.strip(" \t\r").rstrip(",").rstrip(" \t\r")) for line in lines)

    def is_object(self, at: int) -> bool:
        try:
            read_value(self.text, at)
        except (NotJsonError, DeepError):
            return False
        return True

    def end_of_line(self, start: int) -> int:
        end = self.text.find("\n", start)
        return len(self.text) if end < 0 else end


def _is_whole_object(line: str) -> bool:
    if not line.startswith("{"):
        return False
    try:
        return read_value(line, 0).end == len(line)
    except (NotJsonError, DeepError):
        return False
