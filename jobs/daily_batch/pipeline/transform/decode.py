"""Decode stored bytes to UTF-8 text: compression by magic bytes, byte order marks, and limits against bombs."""

import codecs
import mmap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path

from backports import zstd
from isal import igzip_lib, isal_zlib

from daily_batch.domain.codes import Reason
from daily_batch.domain.keys import has_compression_suffix
from daily_batch.domain.run import Limits
from daily_batch.pipeline.transform.formats import HEAD, find_format, find_magic
from daily_batch.storage.scratch import anonymous_file

Buffer = bytes | mmap.mmap
# Start and length of a record, in bytes of the decoded text.
ByteRange = tuple[int, int]

BLOCK = 2**20
SPACE = b" \t\r\n"
TRIM_BLOCK_BYTES = 2**8  # step in which white space after a record is trimmed
# Most bytes that a decompressor returns per call: a bomb is detected after this much output.
MAX_OUTPUT_BYTES = 8 * BLOCK
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
# Smaller than BLOCK: the bytes after a frame's end are copied, and a frame may be as small as 9 bytes.
ZSTD_INPUT_BYTES = 2**14
GZIP_INPUT_BYTES = 2**16
# A small gzip file is decompressed in one call, which may return this much.
SINGLE_STEP_INPUT_BYTES = 32 * 2**20
SINGLE_STEP_OUTPUT_BYTES = 24 * 2**20
# A frame with a window above 128 MiB is refused, as zstd(1) does without --long.
ZSTD_OPTIONS: Mapping[int, int] = {zstd.DecompressionParameter.window_log_max: 27}
# The expansion ratio is not checked below this size: a short text of one repeated letter is no attack.
RATIO_FLOOR = 16 * 2**20
# An object above this size, or above this share of a task's memory, is kept in a memory-mapped temporary file.
SPOOL_BYTES = 256 * 2**20
SPOOL_SHARE = 4

# The UTF-32-LE mark begins with the UTF-16-LE mark, so the longer marks come first.
WIDE_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class UnreadableError(Exception):
    """An object of which nothing can be published; `detail` never holds message content."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class Decoded:
    """An object's decoded text in UTF-8, which may still begin with a UTF-8 byte order mark.

    `encoding` is the encoding in which the object was stored.
    """

    text: Buffer
    encoding: str = "utf-8"

    def release(self, until: int) -> None:
        """Return the pages before byte `until` to the system if the text is memory-mapped; they stay readable."""
        if isinstance(self.text, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED") and until >= mmap.PAGESIZE:
            self.text.madvise(mmap.MADV_DONTNEED, 0, until // mmap.PAGESIZE * mmap.PAGESIZE)

    def original(self, start: int, length: int, max_bytes: int) -> tuple[bytes, bool]:
        """Return up to `max_bytes` of a record as stored after decompression, and whether the record was truncated.

        White space after a record is not part of it, so that a file with CRLF line ends gives the same bytes as one
        with LF.
        """
        end = start + length
        if length and self.text[end - 1] in SPACE:
            end = self._end_of_text(start, end)
        piece = bytes(self.text[start : min(end, start + max_bytes)])
        if self.encoding != "utf-8":
            # In transcoded text only a character cut at the limit can be invalid.
            piece = piece.decode("utf-8", "ignore").encode(self.encoding)
            return piece[:max_bytes], end - start > max_bytes or len(piece) > max_bytes
        return piece, end - start > max_bytes

    def _end_of_text(self, start: int, end: int) -> int:
        while end > start:
            block = bytes(self.text[max(start, end - TRIM_BLOCK_BYTES) : end])
            if text := len(block.rstrip(SPACE)):
                return end - len(block) + text
            end -= len(block)
        return end


def in_memory_limit(limits: Limits) -> int:
    """Return the size up to which an object is held in memory."""
    return min(SPOOL_BYTES, limits.memory_bytes // SPOOL_SHARE)


def decode(stored: Buffer, *, key: str, limits: Limits, scratch: Path) -> Decoded:
    """Decode one whole object, so that a fault at its end is known before its first record is used.

    Raises:
        UnreadableError: Corrupt compression, a decompression bomb, another format, or UTF-16/UTF-32 text that does not
            decode.
    """
    compression, blocks = _decompressor(stored, key)
    if blocks is None:
        return _transcode(stored, compression)
    return _transcode(_collect(_check_format_early(blocks, compression), len(stored), limits, scratch), compression)


def decode_originals(
    stored: Buffer, ranges: Sequence[ByteRange], *, key: str, limits: Limits, scratch: Path
) -> Iterator[tuple[bytes, bool]]:
    """Yield `Decoded.original` of each range of an object that was decoded before.

    Holds no more than one block and one record in memory, and expands nothing after the last range.

    Args:
        ranges: Ordered by their start.

    Raises:
        UnreadableError: As in `decode`, for the part that is read.
    """
    _, blocks = _decompressor(stored, key, single_step=False)
    first = _read_head(blocks or ())
    if blocks is None or _is_wide(first) or any(start + size > after for (start, size), (after, _) in pairwise(ranges)):
        decoded = decode(stored, key=key, limits=limits, scratch=scratch)
        for start, length in ranges:
            decoded.release(start)
            yield decoded.original(start, length, limits.max_raw_bytes)
        return
    for record in _slice_ranges(chain((first,), blocks), ranges):
        yield Decoded(record).original(0, len(record), limits.max_raw_bytes)


def _read_head(blocks: Iterable[bytes]) -> bytes:
    """Return the first blocks joined: at least as many bytes as the longest byte order mark has."""
    head = b""
    for block in blocks:
        head += block
        if len(head) >= len(codecs.BOM_UTF32_LE):
            break
    return head


def _slice_ranges(blocks: Iterable[bytes], ranges: Sequence[ByteRange]) -> Iterator[bytes]:
    """Yield the bytes of each range; no range begins before the previous one ends."""
    remaining = iter(ranges)
    start, size = next(remaining, (0, 0))
    buffered: list[bytes] = []
    base = 0
    for block in blocks:
        end = base + len(block)
        while size and start < end:
            buffered.append(block[max(start - base, 0) : start + size - base])
            if start + size > end:
                break
            yield b"".join(buffered)
            buffered.clear()
            start, size = next(remaining, (0, 0))
        if not size:
            return
        base = end


def _decompressor(stored: Buffer, key: str, *, single_step: bool = True) -> tuple[str, Iterator[bytes] | None]:
    """Return the name of the object's compression and its decompressed blocks.

    Args:
        single_step: Return a small gzip file as one block.
    """
    head = bytes(stored[:4])
    if head[:2] == b"\x1f\x8b":
        return "gzip", _gunzip(stored, single_step=single_step)
    if head == ZSTD_MAGIC or (head[1:] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50):
        return "zstd", _unzstd(stored)
    if stored and has_compression_suffix(key):
        named = find_magic(stored)
        if named:
            raise UnreadableError(Reason.FOREIGN_FORMAT, named)
        raise UnreadableError(Reason.CORRUPT_COMPRESSION, "the name promises compression, the bytes have none")
    return "", None


def _check_format_early(blocks: Iterator[bytes], compression: str) -> Iterator[bytes]:
    """Yield the blocks; raise if the first ones are in another format, before the rest is expanded."""
    head = b""
    for block in blocks:
        if len(head) < HEAD:
            head += block[: HEAD - len(head)]
            # Text that begins with NULs can be classified only once all of it is expanded.
            if len(head) == HEAD and head[0]:
                _raise_if_foreign(head, compression)
        yield block


def _raise_if_foreign(text: Buffer, compression: str) -> None:
    named = None if _is_wide(text) else find_format(text)
    if named:
        raise UnreadableError(Reason.FOREIGN_FORMAT, f"{named} within {compression}" if compression else named)


def _is_wide(text: Buffer) -> bool:
    return any(text[: len(mark)] == mark for mark, _ in WIDE_MARKS)


def _gunzip(stored: Buffer, *, single_step: bool) -> Iterator[bytes]:
    """Yield the members of a gzip file with verified checksums; zero padding at the end is allowed, as in gzip(1)."""
    position = 0
    # Decompress a small file in one call, which saves joining blocks. Its last four bytes give the expected size.
    input_size, max_output = GZIP_INPUT_BYTES, MAX_OUTPUT_BYTES
    if single_step and len(stored) <= SINGLE_STEP_INPUT_BYTES:
        input_size, max_output = (
            len(stored),
            min(max(MAX_OUTPUT_BYTES, int.from_bytes(stored[-4:], "little") + 1), SINGLE_STEP_OUTPUT_BYTES),
        )
    while position < len(stored):
        if position and not stored[position] and not any(stored[position : position + BLOCK]):
            position += BLOCK
            continue
        member = isal_zlib.decompressobj(wbits=31)
        while not member.eof:
            chunk = member.unconsumed_tail
            if not chunk:
                chunk = stored[position : position + input_size]
                position += len(chunk)
            try:
                block = member.decompress(chunk, max_output)
            except (igzip_lib.IsalError, EOFError, ValueError) as error:  # type: ignore[misc]  # the stub is wrong
                raise UnreadableError(Reason.CORRUPT_COMPRESSION, f"gzip: {error}") from error
            if not (chunk or block or member.eof):
                raise UnreadableError(Reason.CORRUPT_COMPRESSION, "the gzip stream ends early")
            yield block
        position -= len(member.unused_data)


def _unzstd(stored: Buffer) -> Iterator[bytes]:
    """Yield the frames of a zstd file, with checksums verified where a frame has one."""
    position = 0
    while position < len(stored):
        frame = zstd.ZstdDecompressor(options=ZSTD_OPTIONS)
        while not frame.eof:
            chunk = stored[position : position + ZSTD_INPUT_BYTES] if frame.needs_input else b""
            position += len(chunk)
            if frame.needs_input and not chunk:
                raise UnreadableError(Reason.CORRUPT_COMPRESSION, "the zstd stream ends early")
            try:
                yield frame.decompress(chunk, MAX_OUTPUT_BYTES)
            except zstd.ZstdError as error:
                raise UnreadableError(Reason.CORRUPT_COMPRESSION, f"zstd: {error}") from error
        position -= len(frame.unused_data)


def _collect(blocks: Iterator[bytes], stored_bytes: int, limits: Limits, scratch: Path) -> Buffer:
    buffered: list[bytes] = []
    max_bytes = in_memory_limit(limits)
    size = 0
    with anonymous_file(scratch) as file:
        for block in blocks:
            size += len(block)
            if size > limits.max_object_bytes:
                raise UnreadableError(Reason.DECOMPRESSION_BOMB, f"expands beyond {limits.max_object_bytes} bytes")
            if size > RATIO_FLOOR and size > limits.max_expansion_ratio * stored_bytes:
                raise UnreadableError(Reason.DECOMPRESSION_BOMB, f"expands beyond {limits.max_expansion_ratio} to 1")
            buffered.append(block)
            if size > max_bytes:
                file.writelines(buffered)
                buffered.clear()
        if size <= max_bytes:
            return b"".join(buffered)
        file.flush()
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _transcode(text: Buffer, compression: str) -> Decoded:
    for mark, encoding in WIDE_MARKS:
        if text[: len(mark)] == mark:
            try:
                wide = codecs.decode(text[len(mark) :], encoding)
            except UnicodeDecodeError as error:
                raise UnreadableError(Reason.UNSUPPORTED_ENCODING, f"{encoding}: {error.reason}") from error
            return Decoded(wide.encode("utf-8"), encoding)
    _raise_if_foreign(text, compression)
    return Decoded(text)
