"""Objects: rules "Objects" 1 to 4."""

import gzip
import zlib
from dataclasses import dataclass

from backports import zstd

from daily_batch.plan import Limits

WIDE = {
    b"\xff\xfe\0\0": "utf-32-le",
    b"\0\0\xfe\xff": "utf-32-be",
    b"\xff\xfe": "utf-16-le",
    b"\xfe\xff": "utf-16-be",
}


class UnreadableError(Exception):
    """The reason why nothing of an object can be used."""


@dataclass(frozen=True)
class Text:
    """An object's text; bytes that are no UTF-8 are lone surrogates (`surrogateescape`)."""

    text: str
    encoding: str

    def raw(self, start: int, end: int, longest: int) -> bytes:
        part = self.text[start:end].rstrip(" \t\r\n").encode("utf-8", "surrogateescape")[:longest]
        return part if self.encoding == "utf-8" else part.decode("utf-8", "ignore").encode(self.encoding)[:longest]


def read_object(key: str, body: bytes, limits: Limits) -> Text:
    plain = _expand(key, body)
    limit = limits.max_object_bytes
    if plain is not body and (
        len(plain) > limit or len(plain) > max(16 * 2**20, limits.max_expansion_ratio * len(body))
    ):
        raise UnreadableError("decompression_bomb")
    for mark, encoding in WIDE.items():
        if plain.startswith(mark):
            try:
                return Text(plain[len(mark) :].decode(encoding), encoding)
            except UnicodeDecodeError:
                raise UnreadableError("unsupported_encoding") from None
    return Text(plain.decode("utf-8", "surrogateescape"), "utf-8")


def _expand(key: str, body: bytes) -> bytes:
    if body[:2] == b"\x1f\x8b":
        try:
            return gzip.decompress(body)
        except (gzip.BadGzipFile, EOFError, zlib.error):
            raise UnreadableError("corrupt_compression") from None
    if body[:4] == b"\x28\xb5\x2f\xfd" or (body[1:4] == b"\x2a\x4d\x18" and 0x50 <= body[0] <= 0x5F):
        return _frames(body)
    if body and key.lower().endswith((".gz", ".zst", ".zstd")):
        raise UnreadableError("corrupt_compression")
    return body


def _frames(body: bytes) -> bytes:
    parts = []
    while body:
        frame = zstd.ZstdDecompressor()
        try:
            parts.append(frame.decompress(body))
        except zstd.ZstdError:
            raise UnreadableError("corrupt_compression") from None
        if not frame.eof:
            raise UnreadableError("corrupt_compression")
        body = frame.unused_data
    return b"".join(parts)
