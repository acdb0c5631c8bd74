"""Detect formats other than JSON by their magic bytes, so that such an object is one reject that names its format."""

import mmap
import re
from collections.abc import Iterator, Mapping

from daily_batch.pipeline.transform.cancel import Pacer
from daily_batch.pipeline.transform.json_value import OPENING, TOKENS

# Bytes of the text that are inspected, and the first part of them in which control bytes are counted.
HEAD = 2**16
SAMPLE_BYTES = 2**12
# Control bytes that text never holds; they are 8 % of compressed or random data.
CONTROL = bytes({*range(0x20)} - {*b"\a\b\t\n\v\f\r\x0e\x0f\x1b\x1e"})
MIN_CONTROL = 8
CONTROL_DIVISOR = 32
BINARY, NULS = "binary data", "NUL bytes only"

# Text with this start is never another format; a UTF-8 byte order mark may precede it.
BEGINS_LIKE_JSON = re.compile(rb'[ \t\r\n\x1e\xef\xbb\xbf]*[{\[][ \t\r\n]*["{}\[\]]')
# If a JSON object begins anywhere in the head, there may be records, regardless of what precedes them.
MEMBER = re.compile(rb'\{[ \t\r\n]*"[^"\x00-\x1f]{0,128}"[ \t\r\n]*:')
LEADING_NULS = re.compile(rb"\0*")
TAR_BLOCK_BYTES, TAR_CHECKSUM = 512, slice(148, 156)

# Compression formats, which are also named when they occur within another compression.
COMPRESSION = {
    rb"\x1f\x8b": "gzip",
    rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18": "zstd",
    rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)": "bzip2",
    rb"\xfd7zXZ\0": "xz",
    rb"\x5d\0\0..(?:\xff{8}|.{5}\0\0\0)": "lzma",
    rb"LZIP[\0\x01]": "lzip",
    rb"\x04\x22\x4d\x18|\x02\x21\x4c\x18": "lz4",
    rb"\xff\x06\0\0sNaPpY": "snappy",
    rb"\x89LZO\0\r\n\x1a\n": "lzo",
    rb"\x1f[\x9d\xa0]": "compress (.Z)",
}
ARCHIVES = {
    rb"PK(?:\x03\x04|\x05\x06|\x07\x08)": "zip (or docx, xlsx, jar and the like)",
    rb"7z\xbc\xaf\x27\x1c": "7z",
    rb"Rar!\x1a\x07": "rar",
    rb"MSCF\0{4}": "cab",
    rb"!<arch>\n": "ar",
}
TABLES = {
    rb"Obj\x01": "Avro",
    rb"ARROW1\0\0": "Arrow IPC file",
    rb"\xff{4}..\0\0": "Arrow IPC stream",
    rb"SEQ[\x04-\x06]": "Hadoop sequence file",
    rb"SQLite format 3\0": "SQLite",
    rb"\x89HDF\r\n\x1a\n": "HDF5",
    rb"\x93NUMPY": "NumPy",
    rb"\x80[\x02-\x05]": "pickle",
    rb"\xac\xed\0\x05": "Java serialization",
    rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "OLE (doc, xls, msg, Thumbs.db)",
}
MEDIA = {
    rb"%PDF-": "PDF",
    rb"\x89PNG\r\n\x1a\n": "PNG",
    rb"\xff\xd8\xff": "JPEG",
    rb"II\*\0|MM\0\*": "TIFF",
    rb"BM.{4}\0{4}.{4}[\x0c\x28\x34\x38\x40\x6c\x7c]\0{3}": "BMP",
    rb"RIFF.{4}WEBP": "WebP",
    rb"RIFF.{4}(?:WAVE|AVI )": "WAVE or AVI",
    rb"\0{3}.ftyp": "MP4 or HEIF",
    rb"\x1a\x45\xdf\xa3": "Matroska or WebM",
}
PROGRAMS = {
    rb"\x7fELF": "ELF",
    rb"\xca\xfe\xba\xbe": "Java class or Mach-O",
    rb"\xfe\xed\xfa[\xce\xcf]|[\xce\xcf]\xfa\xed\xfe": "Mach-O",
    rb"\0asm": "WebAssembly",
    rb"\0\0\0\x01Bud1": ".DS_Store",
}
# Magic bytes that text may also begin with: they count only if a control byte follows soon.
LETTERS = {
    rb"PAR[1E]": "Parquet",
    rb"ORC": "ORC",
    rb"FEA1": "Feather",
    rb"GIF8[79]a": "GIF",
    rb"OggS|ID3|fLaC": "audio",
    rb"bplist0": "property list",
    rb"MZ": "Windows program",
}
FORMATS = COMPRESSION | ARCHIVES | TABLES | MEDIA | PROGRAMS
_SOON_CONTROL = rb"(?=.{0,60}[" + re.escape(CONTROL) + rb"])"


def _alternatives() -> Iterator[tuple[bytes, str]]:
    yield from FORMATS.items()
    for magic, name in LETTERS.items():
        yield b"(?:" + magic + b")" + _SOON_CONTROL, name


_NAMES = tuple(name for _, name in _alternatives())
_MAGIC = re.compile(b"|".join(b"(" + magic + b")" for magic, _ in _alternatives()), re.DOTALL)


def find_format(text: bytes | mmap.mmap) -> str | None:
    """Return the name of a text's format, or None if the text may hold JSON.

    Args:
        text: Decompressed text without a UTF-16 or UTF-32 byte order mark.
    """
    if BEGINS_LIKE_JSON.match(text, 0, HEAD):
        return None
    named = find_magic(text)
    if named or not len(text):
        return named
    # A log that a crash cut off may begin with NULs and continue with records.
    start = LEADING_NULS.match(text).end()  # type: ignore[union-attr]  # matches always
    if start == len(text):
        return NULS
    head = bytes(text[start : start + HEAD])
    return BINARY if _is_mostly_control(head[:SAMPLE_BYTES]) and not MEMBER.search(head) else None


def find_magic(text: bytes | mmap.mmap) -> str | None:
    """Return the name of the format whose magic bytes a text begins with, or None."""
    found = _MAGIC.match(text, 0, HEAD)
    if found and found.lastindex:
        return _NAMES[found.lastindex - 1]
    return "tar" if _is_tar(bytes(text[:TAR_BLOCK_BYTES])) else None


def _is_mostly_control(head: bytes) -> bool:
    count = len(head) - len(head.translate(None, CONTROL))
    return count >= max(MIN_CONTROL, len(head) / CONTROL_DIVISOR)


def _is_tar(block: bytes) -> bool:
    """Return whether a block is a tar header.

    A header's checksum, in octal digits, is the sum of its bytes with the checksum field taken as eight spaces.
    """
    if block[257:262] != b"ustar" or len(block) < TAR_BLOCK_BYTES:
        return False
    checksum = block[TAR_CHECKSUM].strip(b" \0")
    return checksum.isdigit() and b"%06o" % (sum(block) - sum(block[TAR_CHECKSUM]) + 8 * 0x20) == checksum.rjust(
        6, b"0"
    )


PLAIN_NAME = re.compile(r"[A-Za-z0-9_.-]{1,40}")
# A message has at least one of these fields, or takes it from its path. Its own array fields hold objects, too.
MESSAGE_FIELDS = frozenset(("message_id", "id", "timestamp", "role", "content"))
MESSAGE_LISTS = frozenset(("attachments", "generated_images", "images", "crawl_sources"))
NEXT_STEP = "export one message a line, or the list alone"
SPACE = b" \t\r\n"
LIST_DEPTH = 2
# How far after a field name a colon is searched for.
COLON_LOOKAHEAD = 8


def describe_wrapper(record: Mapping[str, object]) -> str:
    """Return what an object that wraps a list of objects is; an empty string for a message and for any other object."""
    if not MESSAGE_FIELDS.isdisjoint(record):
        return ""
    for name, value in record.items():
        if name not in MESSAGE_LISTS and isinstance(value, list):
            count = sum(isinstance(element, dict) for element in value)
            if count:
                objects = "1 object" if count == 1 else f"{count} objects"
                return f"an object that holds a list of {objects} under {_show(name)}; {NEXT_STEP}"
    return ""


def describe_broken_wrapper(raw: bytes, pace: Pacer) -> str:
    """Return the same as `describe_wrapper` for the readable first part of a broken object."""
    if raw[:1] != b"{" or b"[" not in raw:
        return ""
    depth = complete = 0
    name, in_list, listed, in_object = "", False, False, False
    for token in TOKENS.finditer(raw):
        symbol = raw[token.start()]
        pace.spend(0)
        if symbol == ord('"'):
            if token.end() - token.start() == 1:
                break  # an unclosed string
            if depth == 1 and raw[token.end() : token.end() + COLON_LOOKAHEAD].lstrip(SPACE)[:1] == b":":
                name = raw[token.start() + 1 : token.end() - 1].decode("utf-8", "replace")
                if name in MESSAGE_FIELDS:
                    return ""
        elif symbol in OPENING:
            depth += 1
            if depth == LIST_DEPTH:
                in_list = symbol == ord("[") and name not in MESSAGE_LISTS
            elif depth == LIST_DEPTH + 1:
                in_object = symbol == ord("{")
                listed |= in_list and in_object
        else:
            depth -= 1
            complete += listed and in_object and depth == LIST_DEPTH
            if depth < 1 or (listed and depth < LIST_DEPTH):
                break
    if not listed:
        return ""
    return f"an object that holds a list of objects under {_show(name)}, {complete} of them whole; {NEXT_STEP}"


def _show(name: str) -> str:
    return f'"{name}"' if PLAIN_NAME.fullmatch(name) else "one of its fields"
