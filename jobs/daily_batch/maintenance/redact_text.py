"""Cut a subject's records out of an export's text, so that every other record keeps its bytes. No I/O.

The cut text is read again: unless it holds exactly the other records, byte for byte, the object is left alone.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from daily_batch.domain.run import Limits
from daily_batch.maintenance.subject import Subject
from daily_batch.pipeline.transform.cancel import never_cancel
from daily_batch.pipeline.transform.coerce import InvalidRecordError, coerce_record
from daily_batch.pipeline.transform.decode import Buffer
from daily_batch.pipeline.transform.json_value import ParsedRecord
from daily_batch.pipeline.transform.raw_text import decode_raw
from daily_batch.pipeline.transform.strict_parser import Scanner

BLANKS = b" \t\r\n\x1e"
COMMA, OPEN_LIST, CLOSE_LIST, LINE_FEED = b",", b"[", b"]", b"\n"
# Spellings of ASCII letters and of a slash that a search for an id's usual spellings would miss.
ODD_ESCAPES = re.compile(rb"\\u00[2-7]|\\/")
MAX_SEARCHED_IDS = 50

ByteRange = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Cuts:
    """What to cut out of a text: ranges in order, how many records they hold and how many remain.

    `digest` is of the remaining records. With a `doubt`, the text cannot be cut safely.
    """

    ranges: tuple[ByteRange, ...] = ()
    removed: int = 0
    kept: int = 0
    digest: str = ""
    doubt: str = ""


def may_hold(text: Buffer, subject: Subject) -> bool:
    """Return whether a text can hold records of the subject; a quick search without parsing."""
    if len(subject.ids) > MAX_SEARCHED_IDS or any(each.isdigit() for each in subject.ids):
        return True  # a search for each id would take longer; a number can be written in many ways
    if ODD_ESCAPES.search(text):
        return True
    spelled = (spelling for each in subject.ids for spelling in _spell(each))
    return any(text.find(each.encode("utf-8", "surrogatepass")) >= 0 for each in spelled)


def find_cuts(text: Buffer, subject: Subject, *, limits: Limits) -> Cuts:
    """Return what to cut out of a text."""
    ranges: list[ByteRange] = []
    removed = kept = 0
    digest = hashlib.blake2b()
    for record in _scan(text, limits):
        start, end = record.start, record.start + record.length
        owned = _is_owned(record, text, subject)
        if owned is None:
            return Cuts(doubt="a broken record names the id")
        if owned:
            removed += 1
            if ranges and bytes(text[ranges[-1][1] : start]).strip(BLANKS) == COMMA:
                ranges[-1] = ranges[-1][0], end
            else:
                ranges.append((start, end))
        elif not _is_empty(record):
            kept += 1
            _add(digest, text, record)
    widened = tuple(_widen(text, *each) for each in ranges)
    return Cuts(ranges=widened, removed=removed, kept=kept, digest=digest.hexdigest())


def kept_blocks(text: Buffer, cuts: Cuts, *, block_bytes: int = 2**20) -> Iterator[bytes]:
    """Yield the text without the cuts."""
    at = 0
    for start, end in (*cuts.ranges, (len(text), len(text))):
        while at < start:
            yield bytes(text[at : min(at + block_bytes, start)])
            at = min(at + block_bytes, start)
        at = end


def holds_exactly(text: Buffer, cuts: Cuts, *, limits: Limits) -> bool:
    """Return whether a text holds exactly the records that remain after the cuts, byte for byte."""
    digest = hashlib.blake2b()
    kept = 0
    for record in _scan(text, limits):
        if not _is_empty(record):
            kept += 1
            _add(digest, text, record)
    return (kept, digest.hexdigest()) == (cuts.kept, cuts.digest)


def _spell(id_: str) -> Iterator[str]:
    """Yield the usual spellings of an id in JSON."""
    yield json.dumps(id_, ensure_ascii=False)[1:-1]
    escaped = json.dumps(id_)[1:-1]
    yield escaped
    yield re.sub(r"\\u([0-9a-f]{4})", lambda code: rf"\u{code[1].upper()}", escaped)


def _scan(text: Buffer, limits: Limits) -> Iterator[ParsedRecord]:
    return Scanner(text, offset=0, line=1, limits=limits, check=never_cancel).records(len(text))


def _is_empty(record: ParsedRecord) -> bool:
    return record.reason is None and (record.value is None or record.value in ({}, []))


def _add(digest: hashlib.blake2b, text: Buffer, record: ParsedRecord) -> None:
    digest.update(f"{record.length} {record.reason}\n".encode())
    digest.update(text[record.start : record.start + record.length])


def _is_owned(record: ParsedRecord, text: Buffer, subject: Subject) -> bool | None:
    """Return whether a record is the subject's; None for a record that cannot be read and names an id."""
    if record.reason is None and isinstance(record.value, dict):
        try:
            fields = coerce_record(record.value, tenant=subject.tenant)
        except InvalidRecordError:
            pass
        else:
            return any(fields[name] in subject.ids for name in subject.conflict_fields)
    elif _is_empty(record):
        return False
    texts, _ = decode_raw(bytes(text[record.start : record.start + record.length]))
    return None if any(map(subject.is_named_in, texts)) else False


def _widen(text: Buffer, start: int, end: int) -> ByteRange:
    """Return the range with its comma, if it lies in an array, or with its lines, if it has them alone."""
    left, right = start - 1, end
    while left >= 0 and text[left] in BLANKS:
        left -= 1
    while right < len(text) and text[right] in BLANKS:
        right += 1
    before, after = bytes(text[max(left, 0) : left + 1]), bytes(text[right : right + 1])
    if after == COMMA:
        right += 1
        while right < len(text) and text[right] in BLANKS:
            right += 1
        return start, right
    if after == CLOSE_LIST:
        return (left, end) if before == COMMA else (start, end)
    line_start = text.rfind(LINE_FEED, 0, start) + 1
    line_end = text.find(LINE_FEED, end) + 1 or len(text)
    alone = not bytes(text[line_start:start]).strip(BLANKS) and not bytes(text[end:line_end]).strip(BLANKS)
    return (line_start, line_end) if alone else (start, end)
