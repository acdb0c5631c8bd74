"""Read the kept bytes of a reject as text: decompressed, in every encoding, with escapes resolved."""

import re
import sys
import zlib
from collections.abc import Collection, Iterator

from backports.zstd import ZstdDecompressor, ZstdError

ENCODINGS = ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
# Of JSON, and of Python's repr, by which an error quotes a key.
ESCAPE = re.compile(r"""\\(?:u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2})|U([0-9A-Fa-f]{8})|(["'\\/bfnrt]))""")
UNESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
# An escape can itself be escaped.
MAX_ESCAPES = 3
# A truncated record of an export still names its owner if it holds one of these keys with a complete value.
OWNER_KEYS = {"user": (b'"user_id"',), "room": (b'"room_id"', b'"chat_id"')}
TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]:,"]|[^\s{}\[\]:,"]+', re.DOTALL)
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
MAX_TEXT = 64 * 2**20


def spellings(text: str) -> Iterator[str]:
    """Yield the text as it is, and with escapes resolved, even escaped twice."""
    for _ in range(MAX_ESCAPES):
        yield text
        unescaped = ESCAPE.sub(_unescape, text)
        if unescaped == text:
            return
        text = unescaped.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def names_owner(raw: bytes, names: Collection[bytes]) -> bool:
    """Return whether a truncated JSON object has one of these keys at its top level with a complete value."""
    depth, before, key = 0, b"", b""
    for match in TOKEN.finditer(raw):
        token = match[0]
        if token == b'"':  # a string without its end
            return False
        if depth == 1 and before == b":" and key in names and token[:1] == b'"':
            return True
        depth += (token in (b"{", b"[")) - (token in (b"}", b"]"))
        key = token if depth == 1 and before in (b"{", b",") else key
        before = token
    return False


def decode_raw(raw: bytes) -> tuple[list[str], bool]:
    """Return the bytes decoded in each possible encoding, and whether a part of them cannot be read."""
    plain, doubtful = _decompress(raw)
    texts = [plain.decode("utf-8", "replace")]
    if b"\x00" in plain:
        texts += (plain[start:].decode(each, "replace") for each in ENCODINGS for start in (0, 1))
    return texts, doubtful


def _unescape(match: re.Match[str]) -> str:
    code = match[1] or match[2] or match[3]
    if not code:
        return UNESCAPED.get(match[4], match[4])
    return chr(int(code, 16)) if int(code, 16) <= sys.maxunicode else match[0]


def _decompress(raw: bytes) -> tuple[bytes, bool]:
    """Return the decompressed bytes of a truncated object, and whether a part of them cannot be read."""
    if raw[:2] != GZIP and raw[:4] != ZSTD:
        return raw, False
    plain, rest = b"", raw
    while rest:
        decompressor = zlib.decompressobj(wbits=31) if raw[:2] == GZIP else ZstdDecompressor()
        try:
            plain += decompressor.decompress(rest, MAX_TEXT - len(plain))
        except (zlib.error, ZstdError):
            return plain, True
        if not decompressor.eof:  # truncated, or larger than MAX_TEXT
            return plain, len(plain) >= MAX_TEXT
        rest = decompressor.unused_data
    return plain, False
