"""Objects: section "Objects", rules 1 to 5."""

import gzip
import re
import tarfile
import zlib
from dataclasses import dataclass

from backports import zstd

from daily_batch.domain.run import Limits

WIDE = {
    b"\xff\xfe\0\0": "utf-32-le",
    b"\0\0\xfe\xff": "utf-32-be",
    b"\xff\xfe": "utf-16-le",
    b"\xfe\xff": "utf-16-be",
}


SNIFFED_BYTES = 65536
# Magic bytes of other formats, in hexadecimal.
PACKED = ["1f8b", "28b52ffd", *(f"{n:x}2a4d18" for n in range(0x50, 0x60)), "fd377a585a00", "4c5a495000", "4c5a495001"]
PACKED += ["04224d18", "02214c18", "ff060000734e61507059", "894c5a4f000d0a1a0a", "1f9d", "1fa0"]
PACKED += [f"425a683{level}{rest}" for level in range(1, 10) for rest in ("314159265359", "177245385090")]
ARCHIVES = ["504b0304", "504b0506", "504b0708", "377abcaf271c", "526172211a07", "4d53434600000000", "213c617263683e0a"]
DATA = ["4f626a01", "4152524f57310000", "53455104", "53455105", "53455106", "53514c69746520666f726d6174203300"]
DATA += ["894844460d0a1a0a", "934e554d5059", "8002", "8003", "8004", "8005", "aced0005", "d0cf11e0a1b11ae1"]
MEDIA = ["255044462d", "89504e470d0a1a0a", "ffd8ff", "49492a00", "4d4d002a", "1a45dfa3"]
PROGRAMS = ["7f454c46", "cafebabe", "feedface", "feedfacf", "cefaedfe", "cffaedfe", "0061736d", "0000000142756431"]
MAGIC = tuple(map(bytes.fromhex, [*PACKED, *ARCHIVES, *DATA, *MEDIA, *PROGRAMS]))
TEXT_MAGIC = (b"PAR1", b"PARE", b"ORC", b"FEA1", b"GIF87a", b"GIF89a", b"OggS", b"ID3", b"fLaC", b"bplist0", b"MZ")
TEXT_CONTROLS = frozenset(b"\a\b\t\n\v\f\r\x0e\x0f\x1b\x1e")
MEMBER = re.compile(r'\{[ \t\r\n]*"[^"\x00-\x1f]{0,128}"[ \t\r\n]*:')


class UnreadableError(Exception):
    """The reason why an object is unreadable."""


@dataclass(frozen=True)
class Text:
    """An object's text; bytes that are not UTF-8 are lone surrogates (`surrogateescape`)."""

    text: str
    encoding: str

    def raw(self, start: int, end: int, max_bytes: int) -> bytes:
        part = self._utf8(start, end)[:max_bytes]
        return part if self.encoding == "utf-8" else part.decode("utf-8", "ignore").encode(self.encoding)[:max_bytes]

    def is_cut(self, start: int, end: int, max_bytes: int) -> bool:
        """Return whether `raw` is truncated."""
        complete = self._utf8(start, end)
        return (
            len(complete if self.encoding == "utf-8" else complete.decode().encode(self.encoding)) > max_bytes
            or len(complete) > max_bytes
        )

    def _utf8(self, start: int, end: int) -> bytes:
        return self.text[start:end].rstrip(" \t\r\n").encode("utf-8", "surrogateescape")


def read_object(key: str, body: bytes, limits: Limits) -> Text:
    prefix = _first_bytes(body)
    if len(prefix) == SNIFFED_BYTES and prefix[0] and _is_foreign(prefix):
        raise UnreadableError("foreign_format")
    plain = _expand(key, body)
    limit = limits.max_object_bytes
    if plain is not body and (
        len(plain) > limit or len(plain) > max(16 * 2**20, limits.max_expansion_ratio * len(body))
    ):
        raise UnreadableError("decompression_bomb")
    if _is_foreign(plain):
        raise UnreadableError("foreign_format")
    for mark, encoding in WIDE.items():
        if plain.startswith(mark):
            try:
                return Text(plain[len(mark) :].decode(encoding), encoding)
            except UnicodeDecodeError:
                raise UnreadableError("unsupported_encoding") from None
    return Text(plain.decode("utf-8", "surrogateescape"), "utf-8")


def _is_gzip(body: bytes) -> bool:
    return body[:2] == b"\x1f\x8b"


def _is_zstd(body: bytes) -> bool:
    return body[:4] == b"\x28\xb5\x2f\xfd" or (body[1:4] == b"\x2a\x4d\x18" and 0x50 <= body[0] <= 0x5F)


def _first_bytes(body: bytes) -> bytes:
    """Return the first bytes that a stream expands to, even if it is truncated."""
    found = b""
    try:
        while body and len(found) < SNIFFED_BYTES:
            remaining = SNIFFED_BYTES - len(found)
            if _is_gzip(body):
                member = zlib.decompressobj(31)
                found += member.decompress(body, remaining)
                body = member.unused_data
            elif _is_zstd(body):
                frame = zstd.ZstdDecompressor()
                found += frame.decompress(body, remaining)
                body = frame.unused_data if frame.eof else b""
            else:
                break
    except (zlib.error, zstd.ZstdError):
        return b""
    return found


def _expand(key: str, body: bytes) -> bytes:
    if _is_gzip(body):
        try:
            return gzip.decompress(body)
        except (gzip.BadGzipFile, EOFError, zlib.error):
            raise UnreadableError("corrupt_compression") from None
    if _is_zstd(body):
        return _frames(body)
    if body and key.lower().endswith((".gz", ".zst", ".zstd")):
        raise UnreadableError("foreign_format" if _has_magic(body) else "corrupt_compression")
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


def _is_foreign(plain: bytes) -> bool:
    if plain.startswith(tuple(WIDE)):
        return False
    prefix = plain[:SNIFFED_BYTES].lstrip(b" \t\r\n\x1e\xef\xbb\xbf")
    first_inside = prefix[1:].lstrip(b" \t\r\n")[:1]
    if prefix[:1] in (b"{", b"[") and first_inside and first_inside in b'"{}[]':
        return False
    if _has_magic(plain):
        return True
    rest = plain.lstrip(b"\0")
    if not rest:
        return bool(plain)
    sample = rest[:4096]
    control = sum(_is_control(byte) for byte in sample)
    return control >= 8 and control * 32 >= len(sample) and not MEMBER.search(rest[:SNIFFED_BYTES].decode("latin-1"))


def _is_control(byte: int) -> bool:
    return byte < 0x20 and byte not in TEXT_CONTROLS


def _has_magic(plain: bytes) -> bool:
    for letters in TEXT_MAGIC:
        if plain.startswith(letters):
            return any(map(_is_control, plain[len(letters) : len(letters) + 61]))
    if plain.startswith(MAGIC):
        return True
    if plain.startswith(b"]\0\0") and len(plain) > 12:
        return plain[5:13] == b"\xff" * 8 or plain[10:13] == b"\0" * 3
    if plain[:4] == b"\xff" * 4:
        return plain[6:8] == b"\0\0"
    if plain[:4] == b"RIFF":
        return plain[8:12] in (b"WEBP", b"WAVE", b"AVI ")
    if plain[:3] == b"\0\0\0" and plain[4:8] == b"ftyp":
        return True
    if plain[:2] == b"BM" and plain[6:10] == b"\0" * 4:
        return int.from_bytes(plain[14:18], "little") in (12, 40, 52, 56, 64, 108, 124)
    return _is_tar(plain[:512])


def _is_tar(block: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return block[257:262] == b"ustar"
