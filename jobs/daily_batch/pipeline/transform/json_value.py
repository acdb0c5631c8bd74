"""One JSON value (RFC 8259): where strict reading of it ends or stops, and what stands there."""

import json
import re
from typing import NoReturn

import msgspec

from daily_batch.domain.contract import Reason
from daily_batch.domain.run import Limits

# Reads a value without building it, and refuses what is no strict JSON, but for bytes that are no UTF-8 inside of text.
READER = msgspec.json.Decoder(msgspec.Raw)
AT_BYTE = " (byte "
TRUNCATED = "the text ends too early"
MALFORMED = "JSON is malformed: "
TRAILING = "trailing characters"
CLOSES = {ord("{"): b"}", ord("["): b"]"}
SPACE = b" \t\r\n"
# Each match is the start of a text, the whole of one, or a bracket.
TOKENS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["\[\]{}]', re.DOTALL)
OPENING = b"{["
SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
# A pair, half of one, or any other escape.
ESCAPES = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2}|\\.", re.DOTALL
)
LONE_ESCAPE = len(rb"\ud800")
MENDED_FIRST = 2**7


class Found(msgspec.Struct, frozen=True, gc=False):
    """A record, or what stands where one should be. `start` and `length` are bytes of the decoded text.

    Numbers in `value` are `msgspec.Raw`: their digits as sent. With a `reason` there is no value. A struct is made in a
    tenth of the time of a frozen dataclass, and hostile text makes one every two bytes.
    """

    start: int
    length: int
    line: int
    value: object = None
    reason: Reason | None = None
    detail: str = ""
    replaced_surrogate: bool = False


class Stop(msgspec.Struct, frozen=True, gc=False):
    """Where strict reading of a text stopped: `at` is a byte of it, its length where the text ends too early."""

    at: int
    reason: Reason = Reason.INVALID_JSON
    detail: str = ""


class _DuplicateError(Exception):
    pass


def is_json(text: bytes) -> bool:
    """Return whether a text is exactly one JSON value; bytes that are no UTF-8 are not looked at."""
    try:
        READER.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def read_record(raw: bytes, *, start: int, line: int, limits: Limits) -> Found | None:
    """A text that is exactly one object or scalar of strict JSON; None if it is not, which is the Scanner's to read.

    `raw` begins at the byte `start` of its object, on `line`; JSON white space around the value is no part of it.
    """
    if not is_json(raw) and not (SURROGATE.search(raw) and is_json(mend(raw))):
        return None
    text = raw.strip(SPACE)
    if text[0] == ord("["):
        return None
    if len(text) != len(raw):
        before = len(raw) - len(raw.lstrip(SPACE))
        start, line = start + before, line + raw.count(b"\n", 0, before)
    return build(text, start=start, line=line, limits=limits)


def build(raw: bytes, *, start: int, line: int, limits: Limits) -> Found:
    """The record of a text that is one strict value, or why it is refused."""
    reason, detail = Reason.INVALID_JSON, ""
    if len(raw) > limits.max_record_bytes:
        reason, detail = Reason.RECORD_TOO_LARGE, f"{len(raw)} bytes"
    else:
        try:
            text = raw.decode()
            if find_too_deep(raw, limits.max_depth) is None:
                mended = mend(raw).decode() if SURROGATE.search(raw) else text
                value = _DECODER.decode(mended)
                return Found(start, len(raw), line, value, replaced_surrogate=mended != text)
            reason, detail = Reason.TOO_DEEP, f"deeper than {limits.max_depth}"
        except UnicodeDecodeError:
            reason, detail = Reason.INVALID_UTF8, "the record holds bytes that are not UTF-8"
        except _DuplicateError:
            reason, detail = Reason.DUPLICATE_KEY, "an object names a key twice"
    return Found(start, len(raw), line, reason=reason, detail=detail)


def find_end(text: memoryview) -> int | Stop:
    """Where the object or array ends with which a text begins, whatever stands behind; else where reading stopped."""
    answer = _find_end(text)
    if isinstance(answer, int) or answer.at < LONE_ESCAPE or not SURROGATE.search(text[: answer.at + LONE_ESCAPE]):
        return answer
    # The reader takes no lone surrogates, so it is given the text without; no more of it than about the value's length.
    size = max(MENDED_FIRST, 2 * answer.at if answer.at < len(text) else 0)
    while True:
        answer = _find_end(memoryview(mend(bytes(text[:size]))))
        if isinstance(answer, int) or answer.at < min(size, len(text)) or size >= len(text):
            return answer
        size *= 2


def find_too_deep(raw: bytes | memoryview, max_depth: int) -> int | None:
    """The first bracket that opens deeper than `max_depth`."""
    if len(raw) <= max_depth:
        return None
    whole = bytes(raw)
    if whole.count(b"{") + whole.count(b"[") <= max_depth:
        return None
    depth = 0
    for token in TOKENS.finditer(whole):
        symbol = whole[token.start()]
        if symbol in OPENING:
            depth += 1
            if depth > max_depth:
                return token.start()
        elif symbol != ord('"'):
            depth -= 1
        elif token.end() - token.start() == 1:
            return None  # the text that goes on to the end
    return None


def mend(raw: bytes) -> bytes:
    """The text with U+FFFD for lone surrogates, as many bytes."""
    return ESCAPES.sub(_mend, raw)


def _mend(escape: re.Match[bytes]) -> bytes:
    lone = len(escape[0]) == LONE_ESCAPE
    return rb"\ufffd" if lone else escape[0]


def _find_end(text: memoryview) -> int | Stop:
    try:
        return memoryview(READER.decode(text)).nbytes
    except RecursionError:
        return Stop(0, Reason.TOO_DEEP)
    except msgspec.DecodeError as error:
        told, _, place = str(error).rpartition(AT_BYTE)
    if not told:
        return Stop(len(text), detail=TRUNCATED)
    at, detail = int(place[:-1]), told.removeprefix(MALFORMED)
    if detail != TRAILING:
        return Stop(at, detail=detail)
    at -= 1  # where the first of the trailing characters stands
    closing = CLOSES[text[0]]
    while text[at - 1 : at] != closing:  # white space
        at -= 1
    return at


def _build_object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    built = dict(pairs)
    if len(built) != len(pairs):
        raise _DuplicateError
    return built


def _refuse_constant(name: str) -> NoReturn:
    raise AssertionError(f"the strict reader let {name} pass")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_build_object, parse_float=msgspec.Raw, parse_int=msgspec.Raw, parse_constant=_refuse_constant
)
