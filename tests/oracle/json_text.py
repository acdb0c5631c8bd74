"""A parser of RFC 8259, one value at a time, that keeps numbers as written."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

# The part of a broken number that is read: it may be truncated anywhere.
PARTIAL_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)?(?:(?<=[0-9])\.[0-9]*)?(?:(?<=[0-9])[eE][+-]?[0-9]*)?")
NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
SPACE = re.compile(r"[ \t\r\n]*")
UNESCAPED = re.compile(r'[^"\\\x00-\x1f]*')
PARTIAL_HEX = re.compile(r"[0-9a-fA-F]*")
HEX = re.compile(r"[0-9a-fA-F]{4}")
ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
LITERALS = {"true": True, "false": False, "null": None}
# The depth of the deepest value in any test.
MAX_DEPTH = 600


@dataclass(frozen=True)
class Number:
    """A number with its digits as written."""

    text: str


class NotJsonError(Exception):
    """The text is not valid JSON at index `at`."""

    def __init__(self, at: int) -> None:
        super().__init__(at)
        self.at = at


class DeepError(Exception):
    """The bracket at index `at` opens deeper than the limit."""

    def __init__(self, at: int) -> None:
        super().__init__(at)
        self.at = at


@dataclass
class Value:
    """A value, its end, and whether an object in it has a duplicate key."""

    value: Any
    end: int
    repeats: bool


@contextmanager
def deep_values() -> Iterator[None]:
    """Raise the recursion limit for deep values, only here: the kernel must work with Python's default."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(limit + 6 * MAX_DEPTH)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def read_value(text: str, at: int, max_depth: int) -> Value:
    reader = _Reader(text, max_depth)
    value, end = reader.value(at, 1)
    return Value(value, end, reader.repeats)


def read_scalar(text: str, at: int) -> Value | None:
    """Return the string, number or literal that begins here, or None; a number ends where it stops being one."""
    if number := NUMBER.match(text, at):
        return Value(Number(number[0]), number.end(), repeats=False)
    try:
        return None if text[at : at + 1] in ("{", "[") else read_value(text, at, 1)
    except NotJsonError:
        return None


class _Reader:
    def __init__(self, text: str, max_depth: int) -> None:
        self.text = text
        self.max_depth = max_depth
        self.repeats = False

    def value(self, at: int, depth: int) -> tuple[Any, int]:
        mark = self.text[at : at + 1]
        if mark == '"':
            return self.string(at)
        if mark and mark in "{[":
            if depth > self.max_depth:
                raise DeepError(at)
            return self.object(at, depth) if mark == "{" else self.array(at, depth)
        for literal, value in LITERALS.items():
            if self.text.startswith(literal, at):
                return value, at + len(literal)
        if mark and mark in "tfn":
            raise NotJsonError(at + 1)  # an invalid literal is reported after its first letter
        number, partial = NUMBER.match(self.text, at), PARTIAL_NUMBER.match(self.text, at)
        assert partial
        if number is None or partial.end() > number.end():
            raise NotJsonError(partial.end())
        return Number(number[0]), number.end()

    def object(self, at: int, depth: int) -> tuple[Any, int]:
        found: dict[str, Any] = {}
        at = self.space(at + 1)
        if self.text[at : at + 1] == "}":
            return found, at + 1
        while True:
            if self.text[at : at + 1] != '"':
                raise NotJsonError(at)
            key, at = self.string(at)
            at = self.space(at)
            if self.text[at : at + 1] != ":":
                raise NotJsonError(at)
            value, at = self.value(self.space(at + 1), depth + 1)
            # Keys that differ only in lone surrogates are equal once these are replaced.
            self.repeats |= replace_surrogates(key) in map(replace_surrogates, found)
            found[key] = value
            at = self.space(at)
            if self.text[at : at + 1] == "}":
                return found, at + 1
            if self.text[at : at + 1] != ",":
                raise NotJsonError(at)
            at = self.space(at + 1)

    def array(self, at: int, depth: int) -> tuple[Any, int]:
        found: list[Any] = []
        at = self.space(at + 1)
        if self.text[at : at + 1] == "]":
            return found, at + 1
        while True:
            value, at = self.value(at, depth + 1)
            found.append(value)
            at = self.space(at)
            if self.text[at : at + 1] == "]":
                return found, at + 1
            if self.text[at : at + 1] != ",":
                raise NotJsonError(at)
            at = self.space(at + 1)

    def string(self, at: int) -> tuple[str, int]:
        parts: list[str] = []
        at += 1
        while True:
            plain = UNESCAPED.match(self.text, at)
            assert plain
            parts.append(plain[0])
            at = plain.end()
            mark = self.text[at : at + 1]
            if mark == '"':
                # Two escapes that form a surrogate pair are one character; a lone surrogate stays as it is.
                joined = "".join(parts)
                return joined.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass"), at + 1
            if mark != "\\":
                raise NotJsonError(at)
            escape = self.text[at + 1 : at + 2]
            if escape == "u":
                digits = HEX.match(self.text, at + 2)
                if digits is None:  # reported after the first character that is not a digit
                    partial = PARTIAL_HEX.match(self.text, at + 2)
                    assert partial
                    raise NotJsonError(min(partial.end() + 1, len(self.text)))
                parts.append(chr(int(digits[0], 16)))
                at = digits.end()
            elif escape in ESCAPES:
                parts.append(ESCAPES[escape])
                at += 2
            else:
                raise NotJsonError(at + 1)

    def space(self, at: int) -> int:
        space = SPACE.match(self.text, at)
        assert space
        return space.end()


def replace_surrogates(value: Any) -> Any:
    """Return the value with U+FFFD for each lone surrogate."""
    if isinstance(value, str):
        return "".join("\ufffd" if "\ud800" <= letter <= "\udfff" else letter for letter in value)
    if isinstance(value, list):
        return [replace_surrogates(element) for element in value]
    if isinstance(value, dict):
        return {replace_surrogates(key): replace_surrogates(element) for key, element in value.items()}
    return value
