"""Map: a chunk of the manifest to runs of typed rows by bucket of rooms, rejects and counts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from daily_batch.contract import Flag, Reason
from daily_batch.kernel import meaning
from daily_batch.kernel.counts import Counts
from daily_batch.kernel.cursor import Cursor
from daily_batch.kernel.decode import Decoded, UnreadableError, decode
from daily_batch.kernel.fetch import Check, ObjectStore, fetch, go_on
from daily_batch.kernel.parse import DEEPEST_PROVEN
from daily_batch.kernel.pieces import Pieces, Segment
from daily_batch.kernel.places import SourceRow, describe
from daily_batch.kernel.rejects import RejectWriter
from daily_batch.kernel.rows import Rows
from daily_batch.kernel.shape import UnusableError, shape
from daily_batch.kernel.strict import Found, Scanner, read_record
from daily_batch.plan import DayPlan, SourceObject

# Text that is parsed at once. Planning its one statement takes DuckDB 15 ms, which must be little beside the work.
BATCH_BYTES = 64 * 2**20
# But no more than this part of the task's memory: it is held as text, as lines and as an array at once.
BATCH_SHARE = 12
# Rows are laid down by bucket when the text that they came from exceeds this part of the task's memory.
ROWS_SHARE = 8
SMALLEST_BATCH = 2**17
# Records of the general path that are interpreted at once, and bytes of them: planning their statement takes 30 ms.
SHAPED_AT_ONCE = 20_000
SHAPED_BYTES = 32 * 2**20


# Lines of a batch: each is an object of the interpreter's, so a file of short lines takes small batches. Fewer than a
# row group of DuckDB's, which it would compress.
BATCH_LINES = 100_000

# Asked whether rows of so many bytes of text may stay in memory until the reduce.
MayKeep = Callable[[int], bool]


@dataclass(frozen=True)
class Taken:
    """What became of a chunk: tables of rows in the database or Parquet files by bucket, files of rejects, counts."""

    runs: tuple[tuple[int, Path], ...]
    rejects: tuple[Path, ...]
    counts: Counts
    tables: tuple[str, ...] = ()


def keep_nothing(size: int) -> bool:
    """Lay all rows down as files."""
    return False


def take_in(
    objects: Sequence[SourceObject],
    *,
    connection: duckdb.DuckDBPyConnection,
    store: ObjectStore,
    plan: DayPlan,
    scratch: Path,
    check: Check = go_on,
    may_keep: MayKeep = keep_nothing,
    name: str = "rows",
) -> Taken:
    """Read, decode, parse and interpret the objects of a chunk; nothing is written but below `scratch`.

    Args:
        connection: where tables of rows, named after `name`, stay as far as `may_keep` allows; other rows go to files.
        check: called between objects and between batches.

    Raises:
        Retryable: an object changed after it was listed.
    """
    intake = _Intake(connection, plan, scratch, check, may_keep=may_keep, name=name)
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


@dataclass(frozen=True, slots=True)
class _Shaped:
    """A record of the general path that is not interpreted yet, with its original bytes for the case of a reject."""

    source: int
    found: Found
    fields: dict[str, object]
    raw: bytes
    cut: bool


class _Intake:
    """The state of one task: the batch in hand, and what has been laid down."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        plan: DayPlan,
        scratch: Path,
        check: Check,
        *,
        may_keep: MayKeep,
        name: str,
    ) -> None:
        self.counts = Counts()
        self._check = check
        self._batch_bytes = min(BATCH_BYTES, plan.limits.memory_bytes // BATCH_SHARE)
        self._connection = connection
        self._plan = plan
        self._sources: list[SourceRow] = []
        self._segments: list[Segment] = []
        self._rows = Rows(connection, plan, scratch, name=name)
        self._may_keep = may_keep
        # Bytes and lines of text in the batch, and bytes of the rows that are neither kept nor laid down.
        self._held = self._held_lines = self._open = 0
        self._runs: list[tuple[int, Path]] = []
        self._kept: tuple[str, ...] = ()
        self._shaped: list[_Shaped] = []
        self._shaped_bytes = 0
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
        elif self._plan.layout == "messages" or size <= self._batch_bytes:
            lines = 1 if self._plan.layout == "messages" else _count_lines(decoded, 0, size)
            if lines <= BATCH_LINES:
                self._add_segment(Segment(source, decoded, 0, size, 1), lines)
            else:
                self._add_by_batches(source, decoded)
        else:
            self._add_by_batches(source, decoded)

    def _add_segment(self, segment: Segment, lines: int) -> None:
        self._segments.append(segment)
        self._held += segment.size
        self._held_lines += lines
        if self._held >= self._batch_bytes or self._held_lines >= BATCH_LINES:
            self._flush()

    def _add_by_batches(self, source: int, decoded: Decoded) -> None:
        self._flush()
        start, line, size = 0, 1, len(decoded.text)
        while start < size:
            self._segments.append(Segment(source, decoded, start, self._end_of_batch(decoded, start), line))
            start, line = self._flush()
            decoded.release(start)

    def _end_of_batch(self, decoded: Decoded, start: int) -> int:
        """The end of the line at which a batch from `start` on is full, by bytes or by lines."""
        size = self._batch_bytes
        while size > SMALLEST_BATCH and _count_lines(decoded, start, start + size) > BATCH_LINES:
            size //= 4
        newline = decoded.text.find(b"\n", start + size)
        return newline + 1 if newline >= 0 else len(decoded.text)

    def finish(self) -> Taken:
        """Read what is in hand, lay down all rows."""
        self._flush()
        self._settle_rows()
        return Taken(tuple(self._runs), self._rejects.finish(), self.counts, self._kept)

    def _settle_rows(self) -> None:
        self._add_shaped()
        if self._may_keep(self._open):
            self._kept += self._rows.keep()
        else:
            self._runs += self._rows.lay()
        self._open = 0

    def _flush(self) -> tuple[int, int]:
        """Read the batch; return the byte and line at which its last object goes on."""
        if not self._segments:
            return 0, 1
        self._check()
        segments, self._segments, self._held, self._held_lines = self._segments, [], 0, 0
        whole = self._plan.layout == "messages"
        # The fast path counts no brackets: under a limit that a message as specified exceeds, it proves nothing.
        limits = self._plan.limits
        longest = limits.max_record_bytes if limits.max_depth >= DEEPEST_PROVEN else 0
        pieces = Pieces(segments, whole=whole, longest=longest)
        if not pieces.texts:
            return segments[-1].end, segments[-1].line + pieces.lines_of[segments[-1].source]
        unproven = self._rows.add_batch(pieces.to_table())
        position = self._read_strictly(segments, pieces, unproven)
        records, others = self._rows.judge_batch()
        self.counts.seen += records
        decoded = {segment.source: segment.decoded for segment in segments}
        for source, found, verdict in others:
            self._refuse(source, found, verdict, *self._original(decoded[source], found))
        self._open += sum(segment.size for segment in segments)
        if self._open > self._plan.limits.memory_bytes // ROWS_SHARE:
            self._settle_rows()
        return position

    def _read_strictly(self, segments: Sequence[Segment], pieces: Pieces, unproven: Sequence[int]) -> tuple[int, int]:
        by_source = {segment.source: segment for segment in segments}
        reached = {segment.source: (segment.start, segment.line) for segment in segments}
        for first, last in pieces.runs(unproven):
            source = pieces.sources[first]
            while first <= last and pieces.starts[first] < reached[source][0]:
                first += 1  # a value that began on a line before went on to this one
            if first > last:
                continue
            line, start = pieces.lines[first], pieces.starts[first]
            decoded, text = by_source[source].decoded, pieces.texts[first]
            found = read_record(text, start=start, line=line, limits=self._plan.limits) if first == last else None
            if found:
                self._take_record(source, decoded, found)
                reached[source] = start + len(text) + 1, line + 1
                continue
            until = pieces.starts[last] + pieces.lengths[last] + 1
            scanner = Scanner(decoded.text, offset=start, line=line, limits=self._plan.limits, check=self._check)
            for found in scanner.records(until):
                self._take_record(source, decoded, found)
            reached[source] = scanner.offset, scanner.line
            if scanner.offset > until:
                self._rows.drop(source, until, scanner.offset)
        segment = segments[-1]
        return max((segment.end, segment.line + pieces.lines_of[segment.source]), reached[segment.source])

    def _take_record(self, source: int, decoded: Decoded, found: Found) -> None:
        fields = self._shape(source, decoded, found)
        if fields is None:
            return
        raw, cut = self._original(decoded, found)
        self._shaped.append(_Shaped(source, replace(found, value=None), fields, raw, cut))
        self._shaped_bytes += len(raw)
        if len(self._shaped) >= SHAPED_AT_ONCE or self._shaped_bytes >= SHAPED_BYTES:
            self._add_shaped()

    def _add_shaped(self) -> None:
        """Interpret what the general path has read: of several batches, or a part of an array of any length."""
        shaped, self._shaped, self._shaped_bytes = self._shaped, [], 0
        if not shaped:
            return
        self.counts.seen += len(shaped)
        self._rows.add_shaped([(each.source, each.found, each.fields) for each in shaped])
        by_place = {(each.source, each.found.start): each for each in shaped}
        for source, found, verdict in self._rows.judge_shaped():
            each = by_place[source, found.start]
            self._refuse(source, found, verdict, each.raw, each.cut)

    def _refuse(self, source: int, found: Found, verdict: str, raw: bytes, cut: bool) -> None:
        """Count a record that is not one of the day's, and reject what no day takes."""
        if verdict == meaning.OTHER_DAY:
            self.counts.other_day += 1
            return
        self.counts.rejected += 1
        self.counts.rejects[str(verdict)] += 1
        key = self._sources[source].source_key
        self._rejects.add(key, found.line, verdict, found.detail, raw, truncated=cut)

    def _original(self, decoded: Decoded, found: Found) -> tuple[bytes, bool]:
        return decoded.original(found.start, found.length, self._plan.limits.max_raw_bytes)

    def _shape(self, source: int, decoded: Decoded, found: Found) -> dict[str, object] | None:
        """The fields of a record; None when it is counted and done with."""
        if found.reason is None and (found.value is None or found.value in ({}, [])):
            self._count_empty()
            return None
        if found.reason is not None:
            self._refuse_record(source, decoded, found, found.reason)
            return None
        try:
            return _fields(found, self._plan.tenant)
        except UnusableError as fault:
            self._refuse_record(source, decoded, replace(found, detail=fault.detail), fault.reason)
            return None

    def _refuse_record(self, source: int, decoded: Decoded, found: Found, reason: Reason) -> None:
        self.counts.seen += 1
        # The run of the day that owns the object rejects it.
        verdict = reason if self._sources[source].owned else meaning.OTHER_DAY
        self._refuse(source, found, verdict, *self._original(decoded, found))

    def _count_empty(self) -> None:
        self.counts.seen += 1
        self.counts.empty += 1


def _fields(found: Found, tenant: str) -> dict[str, object]:
    if not isinstance(found.value, dict):
        raise UnusableError(Reason.NOT_AN_OBJECT, "neither an object nor a list of objects")
    fields = shape(found.value, tenant=tenant)
    if found.replaced_surrogate:
        fields["doubts"] = ",".join(filter(None, (str(fields["doubts"]), Flag.REPLACED_SURROGATE)))
    return fields


def _count_lines(decoded: Decoded, start: int, end: int) -> int:
    return bytes(decoded.text[start:end]).count(b"\n")


def _is_blank(decoded: Decoded) -> bool:
    """Whether a text holds no record: only blanks and lines of them."""
    if decoded.text[:1] in (b"{", b"["):
        return False
    return not Cursor(decoded.text, offset=0, line=1, check=go_on).find_record(len(decoded.text))
