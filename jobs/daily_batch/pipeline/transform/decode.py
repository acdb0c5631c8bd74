"""Stored bytes to UTF-8 text: compression by magic bytes, byte order marks, and limits against bombs."""

import codecs
import mmap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path

from backports import zstd
from isal import igzip_lib, isal_zlib

from daily_batch.domain.contract import Reason
from daily_batch.domain.keys import has_compression_suffix
from daily_batch.domain.run import Limits
from daily_batch.pipeline.transform.formats import HEAD, find_format, find_magic
from daily_batch.storage.scratch import nameless_file

Buffer = bytes | mmap.mmap
# Of a record: its start and its length, in bytes of the decoded text.
Place = tuple[int, int]

BLOCK = 2**20
SPACE = b" \t\r\n"
LOOKED_BACK = 2**8  # for white space behind a record
# What a decompressor may give at once, so that a bomb is noticed after so much of it.
GIVEN = 8 * BLOCK
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
# Less than BLOCK: what lies behind a frame's end is copied, and a frame may have 9 bytes.
ZSTD_FEED = 2**14
GZIP_FEED = 2**16
# A small gzip file is fed as a whole, and may give this much at once.
WHOLE_FEED = 32 * 2**20
WHOLE_GIVEN = 24 * 2**20
# A frame that wants more memory to look back in (128 MiB) is refused, as zstd(1) does without --long.
ZSTD_OPTIONS: Mapping[int, int] = {zstd.DecompressionParameter.window_log_max: 27}
# Below this size an expansion ratio says nothing: a short text of one letter is no attack.
RATIO_FLOOR = 16 * 2**20
# Above this size, and above this part of a task's memory, an object lies in a temporary file, and the system pages it.
SPOOL_BYTES = 256 * 2**20
SPOOL_SHARE = 4

# UTF-32-LE begins with UTF-16-LE's mark, so the longer marks come first.
WIDE_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class UnreadableError(Exception):
    """An object of which nothing may be published; `detail` holds no content."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class Decoded:
    """An object's text in UTF-8 (a mark of UTF-8's own is still there); `encoding` is what the object was stored in."""

    text: Buffer
    encoding: str = "utf-8"

    def release(self, until: int) -> None:
        """Give the pages before a byte back to the system, where the text lies in a file; they can still be read."""
        if isinstance(self.text, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED") and until >= mmap.PAGESIZE:
            self.text.madvise(mmap.MADV_DONTNEED, 0, until // mmap.PAGESIZE * mmap.PAGESIZE)

    def original(self, start: int, length: int, most: int) -> tuple[bytes, bool]:
        """The first `most` bytes of a record before transcoding (after decompression), and whether there are more.

        White space behind a record is no part of it, so that a file with CRLF gives the same as one with LF.
        """
        end = start + length
        if length and self.text[end - 1] in SPACE:
            end = self._end_of_text(start, end)
        piece = bytes(self.text[start : min(end, start + most)])
        if self.encoding != "utf-8":
            # Of text that was transcoded only a character that is cut can be invalid.
            piece = piece.decode("utf-8", "ignore").encode(self.encoding)
            return piece[:most], end - start > most or len(piece) > most
        return piece, end - start > most

    def _end_of_text(self, start: int, end: int) -> int:
        while end > start:
            block = bytes(self.text[max(start, end - LOOKED_BACK) : end])
            if text := len(block.rstrip(SPACE)):
                return end - len(block) + text
            end -= len(block)
        return end


def held_bytes(limits: Limits) -> int:
    """The size up to which an object is held in memory."""
    return min(SPOOL_BYTES, limits.memory_bytes // SPOOL_SHARE)


def decode(stored: Buffer, *, key: str, limits: Limits, scratch: Path) -> Decoded:
    """Decode one whole object, so that a fault at its end is known before its first record is used.

    Raises:
        UnreadableError: corrupt compression, a bomb, another format, or a wide encoding that does not decode.
    """
    within, blocks = _decompressor(stored, key)
    if blocks is None:
        return _transcode(stored, within)
    return _transcode(_collect(_look_early(blocks, within), len(stored), limits, scratch), within)


def decode_originals(
    stored: Buffer, places: Sequence[Place], *, key: str, limits: Limits, scratch: Path
) -> Iterator[tuple[bytes, bool]]:
    """What `Decoded.original` says of records of an object that was decoded before; `places` in order of their start.

    No more is in memory than a block and a record, and nothing is expanded behind the last place.

    Raises:
        UnreadableError: as `decode`, as far as it is read.
    """
    _, blocks = _decompressor(stored, key, whole=False)
    first = _begin(blocks or ())
    if blocks is None or _is_wide(first) or any(start + size > after for (start, size), (after, _) in pairwise(places)):
        decoded = decode(stored, key=key, limits=limits, scratch=scratch)
        for start, length in places:
            decoded.release(start)
            yield decoded.original(start, length, limits.max_raw_bytes)
        return
    for record in _cut(chain((first,), blocks), places):
        yield Decoded(record).original(0, len(record), limits.max_raw_bytes)


def _begin(blocks: Iterable[bytes]) -> bytes:
    """The first blocks, as many as the longest mark needs."""
    begun = b""
    for block in blocks:
        begun += block
        if len(begun) >= len(codecs.BOM_UTF32_LE):
            break
    return begun


def _cut(blocks: Iterable[bytes], places: Sequence[Place]) -> Iterator[bytes]:
    """The bytes of each place, of which none begins before the one before it ends."""
    remaining = iter(places)
    start, size = next(remaining, (0, 0))
    held: list[bytes] = []
    base = 0
    for block in blocks:
        end = base + len(block)
        while size and start < end:
            held.append(block[max(start - base, 0) : start + size - base])
            if start + size > end:
                break
            yield b"".join(held)
            held.clear()
            start, size = next(remaining, (0, 0))
        if not size:
            return
        base = end


def _decompressor(stored: Buffer, key: str, *, whole: bool = True) -> tuple[str, Iterator[bytes] | None]:
    """What the object is compressed with, and its text: a small gzip file's in one block if `whole`."""
    head = bytes(stored[:4])
    if head[:2] == b"\x1f\x8b":
        return "gzip", _gunzip(stored, whole=whole)
    if head == ZSTD_MAGIC or (head[1:] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50):
        return "zstd", _unzstd(stored)
    if stored and has_compression_suffix(key):
        named = find_magic(stored)
        if named:
            raise UnreadableError(Reason.FOREIGN_FORMAT, named)
        raise UnreadableError(Reason.CORRUPT_COMPRESSION, "the name promises compression, the bytes have none")
    return "", None


def _look_early(blocks: Iterator[bytes], within: str) -> Iterator[bytes]:
    """The blocks, unless the first of them are of another format: then the rest is not expanded."""
    head = b""
    for block in blocks:
        if len(head) < HEAD:
            head += block[: HEAD - len(head)]
            # Text that begins with NULs is judged once all of it is expanded.
            if len(head) == HEAD and head[0]:
                _refuse_foreign(head, within)
        yield block


def _refuse_foreign(text: Buffer, within: str) -> None:
    named = None if _is_wide(text) else find_format(text)
    if named:
        raise UnreadableError(Reason.FOREIGN_FORMAT, f"{named} within {within}" if within else named)


def _is_wide(text: Buffer) -> bool:
    return any(text[: len(mark)] == mark for mark, _ in WIDE_MARKS)


def _gunzip(stored: Buffer, *, whole: bool) -> Iterator[bytes]:
    """Every member of a gzip file, checksums verified; zero padding behind the last is allowed, as gzip(1) does."""
    position = 0
    # Expand a small file in one step, which saves joining its pieces. Its last four bytes give the expected size.
    feed, given = GZIP_FEED, GIVEN
    if whole and len(stored) <= WHOLE_FEED:
        feed, given = len(stored), min(max(GIVEN, int.from_bytes(stored[-4:], "little") + 1), WHOLE_GIVEN)
    while position < len(stored):
        if position and not stored[position] and not any(stored[position : position + BLOCK]):
            position += BLOCK
            continue
        member = isal_zlib.decompressobj(wbits=31)
        while not member.eof:
            fed = member.unconsumed_tail
            if not fed:
                fed = stored[position : position + feed]
                position += len(fed)
            try:
                block = member.decompress(fed, given)
            except (igzip_lib.IsalError, EOFError, ValueError) as error:  # type: ignore[misc]  # its stub is wrong
                raise UnreadableError(Reason.CORRUPT_COMPRESSION, f"gzip: {error}") from error
            if not (fed or block or member.eof):
                raise UnreadableError(Reason.CORRUPT_COMPRESSION, "the gzip stream ends early")
            yield block
        position -= len(member.unused_data)


def _unzstd(stored: Buffer) -> Iterator[bytes]:
    """Every frame of a zstd file, checksums verified where the frame has one."""
    position = 0
    while position < len(stored):
        frame = zstd.ZstdDecompressor(options=ZSTD_OPTIONS)
        while not frame.eof:
            fed = stored[position : position + ZSTD_FEED] if frame.needs_input else b""
            position += len(fed)
            if frame.needs_input and not fed:
                raise UnreadableError(Reason.CORRUPT_COMPRESSION, "the zstd stream ends early")
            try:
                yield frame.decompress(fed, GIVEN)
            except zstd.ZstdError as error:
                raise UnreadableError(Reason.CORRUPT_COMPRESSION, f"zstd: {error}") from error
        position -= len(frame.unused_data)


def _collect(blocks: Iterator[bytes], stored_bytes: int, limits: Limits, scratch: Path) -> Buffer:
    held: list[bytes] = []
    most = held_bytes(limits)
    size = 0
    with nameless_file(scratch) as file:
        for block in blocks:
            size += len(block)
            if size > limits.max_object_bytes:
                raise UnreadableError(Reason.DECOMPRESSION_BOMB, f"expands beyond {limits.max_object_bytes} bytes")
            if size > RATIO_FLOOR and size > limits.max_expansion_ratio * stored_bytes:
                raise UnreadableError(Reason.DECOMPRESSION_BOMB, f"expands beyond {limits.max_expansion_ratio} to 1")
            held.append(block)
            if size > most:
                file.writelines(held)
                held.clear()
        if size <= most:
            return b"".join(held)
        file.flush()
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _transcode(text: Buffer, within: str) -> Decoded:
    for mark, encoding in WIDE_MARKS:
        if text[: len(mark)] == mark:
            try:
                wide = codecs.decode(text[len(mark) :], encoding)
            except UnicodeDecodeError as error:
                raise UnreadableError(Reason.UNSUPPORTED_ENCODING, f"{encoding}: {error.reason}") from error
            return Decoded(wide.encode("utf-8"), encoding)
    _refuse_foreign(text, within)
    return Decoded(text)
