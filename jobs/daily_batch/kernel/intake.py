"""Map: a chunk of the manifest to runs of typed rows by bucket of rooms, rejects and counts."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import msgspec
from arro3.core import Array, DataType, Table

from daily_batch.contract import Flag, Reason
from daily_batch.kernel import meaning, parse
from daily_batch.kernel.counts import Counts
from daily_batch.kernel.database import connect, quote_text
from daily_batch.kernel.decode import Decoded, UnreadableError, decode
from daily_batch.kernel.fetch import ObjectStore, fetch
from daily_batch.kernel.fields import FIELDS
from daily_batch.kernel.places import SourceRow, describe
from daily_batch.kernel.rejects import RejectWriter
from daily_batch.kernel.shape import UnusableError, shape
from daily_batch.kernel.strict import Found, Scanner
from daily_batch.plan import DayPlan, SourceObject

# Text that is parsed at once: enough to keep DuckDB's vectors full, little enough for the processor's caches.
BATCH_BYTES = 16 * 2**20
# Rows are laid down by bucket when the text that they came from exceeds this part of the task's memory.
ROWS_SHARE = 8


@dataclass(frozen=True)
class Taken:
    """What became of a chunk: uncompressed Parquet files of rows by bucket, files of rejects, and the counts."""

    runs: tuple[tuple[int, Path], ...]
    rejects: tuple[Path, ...]
    counts: Counts


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of an object that lies in the batch: bytes `start` to `end`, the first of them on `line`."""

    source: int
    decoded: Decoded
    start: int
    end: int
    line: int


def take_in(objects: Sequence[SourceObject], *, store: ObjectStore, plan: DayPlan, scratch: Path) -> Taken:
    """Read, decode, parse and interpret the objects of a chunk; nothing is written but below `scratch`.

    Raises:
        Retryable: an object changed after it was listed.
    """
    with connect(scratch=scratch, memory_bytes=plan.limits.memory_bytes) as connection:
        intake = _Intake(connection, plan, scratch)
        intake.describe(objects)
        for number, item, stored in fetch(store, objects, plan=plan, scratch=scratch):
            intake.counts.bytes += item.size
            try:
                decoded = decode(stored, key=item.key, limits=plan.limits, scratch=scratch)
            except UnreadableError as fault:
                intake.refuse_object(number, fault, bytes(stored[: plan.limits.max_raw_bytes]), len(stored))
            else:
                intake.add_object(number, decoded)
        return intake.finish()


class _Intake:
    """The state of one task: the batch in hand, and what has been laid down."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, plan: DayPlan, scratch: Path) -> None:
        self.counts = Counts()
        self._connection = connection
        self._plan = plan
        self._scratch = scratch
        self._sources: list[SourceRow] = []
        self._segments: list[Segment] = []
        self._held = 0
        self._laid = self._lays = 0
        # One table a batch: below a row group of 122,880 rows DuckDB does not compress them, which costs more than all.
        self._tables: list[str] = []
        self._runs: list[tuple[int, Path]] = []
        self._rejects = RejectWriter(connection, scratch, plan.limits.max_raw_bytes)
        self._statement = meaning.build_statement(plan)
        parse.prepare(connection)
        meaning.prepare(connection)

    def describe(self, objects: Sequence[SourceObject]) -> None:
        self._sources = describe(enumerate(objects), self._plan)
        meaning.load_sources(self._connection, self._sources)

    def refuse_object(self, source: int, fault: UnreadableError, raw: bytes, size: int) -> None:
        self.counts.objects_unreadable += 1
        self._rejects.add(self._sources[source][1], 0, fault.reason, fault.detail, raw, truncated=size > len(raw))

    def add_object(self, source: int, decoded: Decoded) -> None:
        """Take an object's text into the batch, or batch by batch where it is larger than one."""
        self.counts.objects_read += 1
        size = len(decoded.text)
        if not bytes(decoded.text[:BATCH_BYTES]).strip():
            if not any(bytes(decoded.text[at : at + BATCH_BYTES]).strip() for at in range(0, size, BATCH_BYTES)):
                self.counts.seen += 1
                self.counts.empty += 1
                return
        if size <= BATCH_BYTES or self._plan.layout == "messages":
            self._hold(Segment(source, decoded, 0, size, 1))
            return
        self._flush()
        start, line = 0, 1
        while start < size:
            newline = decoded.text.find(b"\n", start + BATCH_BYTES)
            self._hold(Segment(source, decoded, start, newline + 1 if newline >= 0 else size, line))
            start, line = self._flush()

    def finish(self) -> Taken:
        self._flush()
        self._lay_rows()
        return Taken(tuple(self._runs), self._rejects.finish(), self.counts)

    def _hold(self, segment: Segment) -> None:
        self._segments.append(segment)
        self._held += segment.end - segment.start
        if self._plan.layout == "messages" or (segment.start == 0 and segment.end == len(segment.decoded.text)):
            if self._held >= BATCH_BYTES:
                self._flush()

    def _flush(self) -> tuple[int, int]:
        """Parse and interpret the batch; return the byte and line at which its last object goes on."""
        if not self._segments:
            return 0, 1
        segments, self._segments, self._held = self._segments, [], 0
        pieces = _Pieces(segments, whole=self._plan.layout == "messages", longest=self._plan.limits.max_record_bytes)
        self._connection.register("batch", pieces.to_table())
        unproven = parse.read_batch(self._connection)
        position = self._read_strictly(segments, pieces, unproven)
        decoded = {segment.source: segment.decoded for segment in segments}
        (valid,) = self._connection.execute("SELECT count(*) FROM fields WHERE proven").fetchall()[0]
        self.counts.seen += valid
        others = meaning.judge(self._connection, self._statement, f"rows_{len(self._tables)}")
        self._tables.append(f"rows_{len(self._tables)}")
        for (source, line, start, length), code, detail in others:
            if code == meaning.OTHER_DAY:
                self.counts.other_day += 1
            else:
                self._keep(decoded[source], Found(start, length, line), source, code, detail)
        self._laid += sum(segment.end - segment.start for segment in segments)
        if self._laid > self._plan.limits.memory_bytes // ROWS_SHARE:
            self._lay_rows()
        return position

    def _read_strictly(
        self, segments: Sequence[Segment], pieces: "_Pieces", unproven: Sequence[int]
    ) -> tuple[int, int]:
        by_source = {segment.source: segment for segment in segments}
        consumed = {segment.source: (segment.start, segment.line) for segment in segments}
        shaped: list[tuple[int, Found, bytes]] = []
        for piece in unproven:
            source, line, start = pieces.sources[piece], pieces.lines[piece], pieces.starts[piece]
            segment = by_source[source]
            if start < consumed[source][0]:
                continue  # a value that began on a line before went on to this one
            until = start + len(pieces.texts[piece]) + 1
            scanner = Scanner(segment.decoded.text, offset=start, line=line, limits=self._plan.limits)
            for found in scanner.records(until):
                fields = self._shape(segment, found)
                if fields is not None:
                    shaped.append((source, found, fields))
            consumed[source] = (scanner.offset, scanner.line)
            if scanner.offset > until:
                self._connection.execute(
                    "DELETE FROM fields WHERE source = ? AND start >= ? AND start < ?", [source, until, scanner.offset]
                )
        self._insert(shaped)
        last = segments[-1]
        end = (last.end, last.line + pieces.count(last.source))
        return max(end, consumed[last.source])

    def _shape(self, segment: Segment, found: Found) -> bytes | None:
        """The fields of a record as JSON; None when the record is counted and done with."""
        if found.reason is not None:
            self._refuse(segment, found, found.reason, found.detail)
        elif found.value is None or found.value in ({}, []):
            self.counts.seen += 1
            self.counts.empty += 1
        elif not isinstance(found.value, dict):
            self._refuse(segment, found, Reason.NOT_AN_OBJECT, "neither an object nor a list of objects")
        else:
            try:
                fields = shape(found.value, tenant=self._plan.tenant)
            except UnusableError as fault:
                self._refuse(segment, found, fault.reason, fault.detail)
            else:
                if found.replaced_surrogate:
                    fields["doubts"] = ",".join(filter(None, (fields["doubts"], Flag.REPLACED_SURROGATE)))
                return msgspec.json.encode(fields)
        return None

    def _refuse(self, segment: Segment, found: Found, reason: Reason, detail: str) -> None:
        self.counts.seen += 1
        if not self._sources[segment.source][7]:
            self.counts.other_day += 1  # the run of the day that owns the object rejects it
            return
        self._keep(segment.decoded, found, segment.source, reason, detail)

    def _keep(self, decoded: Decoded, found: Found, source: int, code: str, detail: str) -> None:
        self.counts.rejected += 1
        self.counts.rejects[code] += 1
        kept = min(found.length, self._plan.limits.max_raw_bytes)
        raw = decoded.original(found.start, kept)
        key = self._sources[source][1]
        self._rejects.add(key, found.line, code, detail, raw, truncated=kept < found.length)

    def _insert(self, shaped: Sequence[tuple[int, Found, bytes]]) -> None:
        if not shaped:
            return
        table = Table.from_pydict(
            {
                "source": Array([source for source, _, _ in shaped], DataType.int32()),
                "line": Array([found.line for _, found, _ in shaped], DataType.int64()),
                "start": Array([found.start for _, found, _ in shaped], DataType.int64()),
                "length": Array([found.length for _, found, _ in shaped], DataType.int64()),
                "sent": Array([fields for _, _, fields in shaped], DataType.binary()).cast(DataType.utf8()),
            }
        )
        self._connection.register("shaped", table)
        types = ", ".join(f'"{name}" {kind}' for name, kind in FIELDS.items())
        self._connection.execute(
            f"INSERT INTO fields SELECT NULL, source, line, start, length, unnest(CAST(sent::JSON AS STRUCT({types}))), true"
            " FROM shaped"
        )

    def _lay_rows(self) -> None:
        """Write the rows by bucket and forget them."""
        if not self._tables:
            return
        folder = self._scratch / f"rows-{self._lays}"
        columns = ", ".join((*meaning.ROW_COLUMNS, *meaning.LINEAGE, "bucket"))
        rows = " UNION ALL ".join(f"SELECT {columns} FROM {table}" for table in self._tables)
        self._connection.execute(
            f"COPY ({rows}) TO {quote_text(str(folder))}"
            " (FORMAT parquet, COMPRESSION uncompressed, PARTITION_BY (bucket))"
        )
        for table in self._tables:
            self._connection.execute(f"DROP TABLE {table}")
        self._runs += [(int(path.parent.name.partition("=")[2]), path) for path in sorted(folder.glob("bucket=*/*"))]
        self._tables, self._laid, self._lays = [], 0, self._lays + 1


class _Pieces:
    """The batch cut into texts to parse: whole objects, or lines."""

    def __init__(self, segments: Sequence[Segment], *, whole: bool, longest: int) -> None:
        self.sources: list[int] = []
        self.lines: list[int] = []
        self.starts: list[int] = []
        self.texts: list[bytes] = []
        self._longest = longest
        for segment in segments:
            self._add(segment, [bytes(segment.decoded.text)] if whole else _lines(segment))

    def _add(self, segment: Segment, texts: list[bytes]) -> None:
        count = len(texts)
        self.sources += [segment.source] * count
        self.lines += range(segment.line, segment.line + count)
        self.starts += itertools.accumulate((len(text) + 1 for text in texts[:-1]), initial=segment.start)
        self.texts += texts

    def count(self, source: int) -> int:
        """How many texts an object has in the batch."""
        return self.sources.count(source)

    def to_table(self) -> Table:
        """The table that the fast path reads; text that is not UTF-8, or too long, is null."""
        texts = [text if len(text) <= self._longest else None for text in self.texts]
        return Table.from_pydict(
            {
                "piece": Array(range(len(texts)), DataType.int32()),
                "source": Array(self.sources, DataType.int32()),
                "line": Array(self.lines, DataType.int64()),
                "start": Array(self.starts, DataType.int64()),
                "length": Array([len(text) for text in self.texts], DataType.int64()),
                "quotes": Array([text.count(b'"') for text in self.texts], DataType.int64()),
                "text": Array(texts, DataType.binary()).cast(DataType.utf8()),
            }
        )


def _lines(segment: Segment) -> list[bytes]:
    text = segment.decoded.text[segment.start : segment.end]
    lines = bytes(text).split(b"\n")
    if not lines[-1]:
        lines.pop()
    return lines
