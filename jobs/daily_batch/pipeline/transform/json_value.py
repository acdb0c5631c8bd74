"""Parse one JSON value strictly (RFC 8259): find its end or the byte at which the parse stops, and build it."""

import json
import re
from typing import NoReturn

import msgspec

from daily_batch.domain.codes import Reason
from daily_batch.domain.run import Limits

# Validates a value without building it. It refuses everything that is not strict JSON, except invalid UTF-8 in strings.
READER = msgspec.json.Decoder(msgspec.Raw)
BYTE_MARKER = " (byte "
TRUNCATED = "the text ends too early"
MALFORMED = "JSON is malformed: "
TRAILING = "trailing characters"
CLOSES = {ord("{"): b"}", ord("["): b"]"}
SPACE = b" \t\r\n"
# Each match is an unclosed quote, a whole string, or a bracket.
TOKENS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["\[\]{}]', re.DOTALL)
OPENING = b"{["
SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
# A surrogate pair, a lone surrogate, or any other escape.
ESCAPES = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2}|\\.", re.DOTALL
)
LONE_ESCAPE = len(rb"\ud800")
MIN_REPLACED_BYTES = 2**7


class ParsedRecord(msgspec.Struct, frozen=True, gc=False):
    """A record, or the text in a record's place. `start` and `length` are in bytes of the decoded text.

    Numbers in `value` are `msgspec.Raw`, which keeps their digits. There is no value if there is a `reason`. A struct
    is created in a tenth of the time of a frozen dataclass, and adversarial text creates one for every two bytes.
    """

    start: int
    length: int
    line: int
    value: object = None
    reason: Reason | None = None
    detail: str = ""
    replaced_surrogate: bool = False


class Stop(msgspec.Struct, frozen=True, gc=False):
    """Where the strict parse stopped: byte `at` of the text, which is its length if the text ends too early."""

    at: int
    reason: Reason = Reason.INVALID_JSON
    detail: str = ""


class _DuplicateError(Exception):
    pass


def is_json(text: bytes) -> bool:
    """Return whether a text is exactly one JSON value; UTF-8 is not checked."""
    try:
        READER.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def read_record(raw: bytes, *, start: int, line: int, limits: Limits) -> ParsedRecord | None:
    """Return the record of a text that is exactly one strict JSON object or scalar; None is for the Scanner to read.

    Args:
        raw: Begins at byte `start` of its object, on line `line`; JSON white space around the value is skipped.
    """
    if not is_json(raw) and not (SURROGATE.search(raw) and is_json(replace_lone_surrogates(raw))):
        return None
    text = raw.strip(SPACE)
    if text[0] == ord("["):
        return None
    if len(text) != len(raw):
        before = len(raw) - len(raw.lstrip(SPACE))
        start, line = start + before, line + raw.count(b"\n", 0, before)
    return build(text, start=start, line=line, limits=limits)


def build(raw: bytes, *, start: int, line: int, limits: Limits) -> ParsedRecord:
    """Return the record of a text that is one strict JSON value, with the value or the reason why it is rejected."""
    reason, detail = Reason.INVALID_JSON, ""
    if len(raw) > limits.max_record_bytes:
        reason, detail = Reason.RECORD_TOO_LARGE, f"{len(raw)} bytes"
    else:
        try:
            text = raw.decode()
            if find_too_deep(raw, limits.max_depth) is None:
                replaced = replace_lone_surrogates(raw).decode() if SURROGATE.search(raw) else text
                value = _DECODER.decode(replaced)
                return ParsedRecord(start, len(raw), line, value, replaced_surrogate=replaced != text)
            reason, detail = Reason.TOO_DEEP, f"deeper than {limits.max_depth}"
        except UnicodeDecodeError:
            reason, detail = Reason.INVALID_UTF8, "the record holds bytes that are not UTF-8"
        except _DuplicateError:
            reason, detail = Reason.DUPLICATE_KEY, "an object names a key twice"
    return ParsedRecord(start, len(raw), line, reason=reason, detail=detail)


def find_end(text: memoryview) -> int | Stop:
    """Return the end of the object or array that a text begins with, or where the strict parse stopped."""
    result = _find_end(text)
    if isinstance(result, int) or result.at < LONE_ESCAPE or not SURROGATE.search(text[: result.at + LONE_ESCAPE]):
        return result
    # READER refuses lone surrogates, so it reads a copy without them, of about twice the value's length.
    size = max(MIN_REPLACED_BYTES, 2 * result.at if result.at < len(text) else 0)
    while True:
        result = _find_end(memoryview(replace_lone_surrogates(bytes(text[:size]))))
        if isinstance(result, int) or result.at < min(size, len(text)) or size >= len(text):
            return result
        size *= 2


def find_too_deep(raw: bytes | memoryview, max_depth: int) -> int | None:
    """Return the index of the first bracket that opens deeper than `max_depth`, or None."""
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
            return None  # a string that continues to the end
    return None


def replace_lone_surrogates(raw: bytes) -> bytes:
    """Return the text with each lone surrogate replaced by U+FFFD; the length does not change."""
    return ESCAPES.sub(_replace_if_lone, raw)


def _replace_if_lone(escape: re.Match[bytes]) -> bytes:
    lone = len(escape[0]) == LONE_ESCAPE
    return rb"\ufffd" if lone else escape[0]


def _find_end(text: memoryview) -> int | Stop:
    try:
        return memoryview(READER.decode(text)).nbytes
    except RecursionError:
        return Stop(0, Reason.TOO_DEEP)
    except msgspec.DecodeError as error:
        message, _, position = str(error).rpartition(BYTE_MARKER)
    if not message:
        return Stop(len(text), detail=TRUNCATED)
    at, detail = int(position[:-1]), message.removeprefix(MALFORMED)
    if detail != TRAILING:
        return Stop(at, detail=detail)
    at -= 1  # index of the first trailing character
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
    raise AssertionError(f"the strict parse accepted {name}")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_build_object, parse_float=msgspec.Raw, parse_int=msgspec.Raw, parse_constant=_refuse_constant
)
