"""Map: a chunk of the manifest to runs of typed rows by bucket of rooms, rejects and counts."""

from codecs import BOM_UTF8
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from daily_batch.contract import Flag, Reason
from daily_batch.kernel import meaning
from daily_batch.kernel.counts import Counts
from daily_batch.kernel.database import connect
from daily_batch.kernel.decode import Decoded, UnreadableError, decode
from daily_batch.kernel.fetch import Check, ObjectStore, fetch, go_on
from daily_batch.kernel.pieces import Pieces, Segment
from daily_batch.kernel.places import SourceRow, describe
from daily_batch.kernel.rejects import RejectWriter
from daily_batch.kernel.rows import Rows
from daily_batch.kernel.shape import UnusableError, shape
from daily_batch.kernel.strict import Found, Scanner
from daily_batch.plan import DayPlan, SourceObject

# Text that is parsed at once: enough to keep DuckDB's vectors full, little enough for the processor's caches.
BATCH_BYTES = 32 * 2**20
# But no more than this part of the task's memory: it is held as text, as lines and as an array at once.
BATCH_SHARE = 16
# Rows are laid down by bucket when the text that they came from exceeds this part of the task's memory.
ROWS_SHARE = 8
BLANK_BYTES = 2**16


@dataclass(frozen=True)
class Taken:
    """What became of a chunk: Parquet files of rows by bucket, files of rejects, and the counts."""

    runs: tuple[tuple[int, Path], ...]
    rejects: tuple[Path, ...]
    counts: Counts


def take_in(
    objects: Sequence[SourceObject], *, store: ObjectStore, plan: DayPlan, scratch: Path, check: Check = go_on
) -> Taken:
    """Read, decode, parse and interpret the objects of a chunk; nothing is written but below `scratch`.

    `check` is called between objects and between batches.

    Raises:
        Retryable: an object changed after it was listed.
    """
    with connect(scratch=scratch, plan=plan) as connection:
        intake = _Intake(connection, plan, scratch, check)
        intake.describe(objects)
        for number, item, stored in fetch(store, objects, plan=plan, scratch=scratch, check=check):
            intake.counts.bytes += item.size
            if isinstance(stored, UnreadableError):
                # None of its bytes are here, so its reject never holds all of them.
                intake.refuse_object(number, stored, b"", size=max(item.size, 1))
                continue
            try:
                decoded = decode(stored, key=item.key, limits=plan.limits, scratch=scratch)
            except UnreadableError as fault:
                intake.refuse_object(number, fault, bytes(stored[: plan.limits.max_raw_bytes]), size=len(stored))
            else:
                intake.add_object(number, decoded)
        return intake.finish()


class _Intake:
    """The state of one task: the batch in hand, and what has been laid down."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, plan: DayPlan, scratch: Path, check: Check) -> None:
        self.counts = Counts()
        self._check = check
        self._batch_bytes = min(BATCH_BYTES, plan.limits.memory_bytes // BATCH_SHARE)
        self._connection = connection
        self._plan = plan
        self._sources: list[SourceRow] = []
        self._segments: list[Segment] = []
        self._rows = Rows(connection, plan, scratch)
        self._held = self._laid = 0  # bytes of text in the batch, and of the rows since they were laid down
        self._runs: list[tuple[int, Path]] = []
        self._rejects = RejectWriter(connection, scratch, plan.limits.max_raw_bytes)

    def describe(self, objects: Sequence[SourceObject]) -> None:
        """Take note of the chunk's objects, before any of them is read."""
        self._sources = describe(enumerate(objects), self._plan)
        meaning.load_sources(self._connection, self._sources)

    def refuse_object(self, source: int, fault: UnreadableError, raw: bytes, *, size: int) -> None:
        """Reject an object of `size` bytes whole."""
        self.counts.objects_unreadable += 1
        key = self._sources[source].source_key
        self._rejects.add(key, 0, fault.reason, fault.detail, raw, truncated=size > len(raw))

    def add_object(self, source: int, decoded: Decoded) -> None:
        """Take an object's text into the batch, or batch by batch where it is larger than one."""
        self.counts.objects_read += 1
        size = len(decoded.text)
        if _is_blank(decoded):
            self._count_empty()
        elif size <= self._batch_bytes or self._plan.layout == "messages":
            self._segments.append(Segment(source, decoded, 0, size, 1))
            self._held += size
            if self._held >= self._batch_bytes:
                self._flush()
        else:
            self._flush()
            start, line = 0, 1
            while start < size:
                newline = decoded.text.find(b"\n", start + self._batch_bytes)
                self._segments.append(Segment(source, decoded, start, newline + 1 if newline >= 0 else size, line))
                start, line = self._flush()
                decoded.release(start)

    def finish(self) -> Taken:
        """Read what is in hand, lay down all rows."""
        self._flush()
        self._runs += self._rows.lay()
        return Taken(tuple(self._runs), self._rejects.finish(), self.counts)

    def _flush(self) -> tuple[int, int]:
        """Read the batch; return the byte and line at which its last object goes on."""
        if not self._segments:
            return 0, 1
        self._check()
        segments, self._segments, self._held = self._segments, [], 0
        pieces = Pieces(segments, whole=self._plan.layout == "messages")
        unproven = self._rows.add_batch(pieces.to_table(longest=self._plan.limits.max_record_bytes))
        position = self._read_strictly(segments, pieces, unproven)
        records, others = self._rows.judge()
        self.counts.seen += records
        decoded = {segment.source: segment.decoded for segment in segments}
        for source, found, verdict in others:
            if verdict == meaning.OTHER_DAY:
                self.counts.other_day += 1
            else:
                self._reject(decoded[source], found, source, verdict)
        self._laid += sum(segment.size for segment in segments)
        if self._laid > self._plan.limits.memory_bytes // ROWS_SHARE:
            self._runs += self._rows.lay()
            self._laid = 0
        return position

    def _read_strictly(self, segments: Sequence[Segment], pieces: Pieces, unproven: Sequence[int]) -> tuple[int, int]:
        by_source = {segment.source: segment for segment in segments}
        reached = {segment.source: (segment.start, segment.line) for segment in segments}
        shaped: list[tuple[int, Found, dict[str, object]]] = []
        for piece in unproven:
            source, line, start = pieces.sources[piece], pieces.lines[piece], pieces.starts[piece]
            if start < reached[source][0]:
                continue  # a value that began on a line before went on to this one
            until = start + len(pieces.texts[piece]) + 1
            decoded = by_source[source].decoded
            alone = self._plan.layout == "messages"
            scanner = Scanner(decoded.text, offset=start, line=line, limits=self._plan.limits, alone=alone)
            for found in scanner.records(until):
                fields = self._shape(source, decoded, found)
                if fields is not None:
                    shaped.append((source, found, fields))
            reached[source] = (scanner.offset, scanner.line)
            if scanner.offset > until:
                self._rows.drop(source, until, scanner.offset)
        self._rows.add_shaped(shaped)
        last = segments[-1]
        return max((last.end, last.line + pieces.count(last.source)), reached[last.source])

    def _shape(self, source: int, decoded: Decoded, found: Found) -> dict[str, object] | None:
        """The fields of a record; None when it is counted and done with."""
        if found.reason is None and (found.value is None or found.value in ({}, [])):
            self._count_empty()
            return None
        try:
            fields = _fields(found, self._plan.tenant)
        except UnusableError as fault:
            self.counts.seen += 1
            if self._sources[source].owned:
                self._reject(decoded, replace(found, detail=fault.detail), source, fault.reason)
            else:
                self.counts.other_day += 1  # the run of the day that owns the object rejects it
            return None
        return fields

    def _reject(self, decoded: Decoded, found: Found, source: int, reason: str) -> None:
        self.counts.rejected += 1
        self.counts.rejects[str(reason)] += 1
        kept = min(found.length, self._plan.limits.max_raw_bytes)
        raw = decoded.original(found.start, kept)
        key = self._sources[source].source_key
        self._rejects.add(key, found.line, reason, found.detail, raw, truncated=kept < found.length)

    def _count_empty(self) -> None:
        self.counts.seen += 1
        self.counts.empty += 1


def _fields(found: Found, tenant: str) -> dict[str, object]:
    if found.reason is not None:
        raise UnusableError(found.reason, found.detail)
    if not isinstance(found.value, dict):
        raise UnusableError(Reason.NOT_AN_OBJECT, "neither an object nor a list of objects")
    fields = shape(found.value, tenant=tenant)
    if found.replaced_surrogate:
        fields["doubts"] = ",".join(filter(None, (str(fields["doubts"]), Flag.REPLACED_SURROGATE)))
    return fields


def _is_blank(decoded: Decoded) -> bool:
    for at in range(0, len(decoded.text), BLANK_BYTES):
        block = bytes(decoded.text[at : at + BLANK_BYTES])
        if (block.removeprefix(BOM_UTF8) if at == 0 else block).strip():
            return False
    return True
