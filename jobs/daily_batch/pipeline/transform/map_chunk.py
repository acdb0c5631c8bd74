"""Map: turn a chunk of the manifest into normalized rows by bucket, rejects and counts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from daily_batch.domain.run import RunSpec, SourceObject
from daily_batch.pipeline.transform import normalize
from daily_batch.pipeline.transform.cancel import CancelCheck, never_cancel
from daily_batch.pipeline.transform.cursor import Cursor
from daily_batch.pipeline.transform.decode import Decoded, UnreadableError, decode
from daily_batch.pipeline.transform.erased import leave_out_objects
from daily_batch.pipeline.transform.fast_parser import MAX_VERIFIED_DEPTH
from daily_batch.pipeline.transform.fetch import ObjectStore, fetch
from daily_batch.pipeline.transform.general_path import GeneralPath
from daily_batch.pipeline.transform.outcomes import Counts, Outcomes
from daily_batch.pipeline.transform.ownership import describe_sources
from daily_batch.pipeline.transform.rejects import RejectWriter
from daily_batch.pipeline.transform.row_buffer import RowBuffer
from daily_batch.pipeline.transform.split import Segment, TextBatch, end_of_block

# Text that is parsed by one statement. DuckDB takes 15 ms to plan it, which must be little beside the work.
BATCH_BYTES = 64 * 2**20
# A batch takes at most this share of the task's memory: it is held as text, as lines and as an array at once.
BATCH_MEMORY_SHARE = 12
# Rows are spilled when the text that they came from exceeds this share of the task's memory.
ROWS_MEMORY_SHARE = 8
# Fewer lines than a DuckDB row group has rows, because DuckDB compresses a full row group.
MAX_BATCH_LINES = 100_000

# Returns whether the rows of this many bytes of text may stay in memory until the reduce.
MayKeep = Callable[[int], bool]


@dataclass(frozen=True)
class MapResult:
    """The outcome of a chunk: rows in tables or in spilled Parquet files by bucket, files of rejects, and counts."""

    spilled: tuple[tuple[int, Path], ...]
    rejects: tuple[Path, ...]
    counts: Counts
    tables: tuple[str, ...] = ()


def always_spill(size: int) -> bool:
    """Spill all rows."""
    return False


def map_chunk(
    objects: Sequence[SourceObject],
    *,
    connection: duckdb.DuckDBPyConnection,
    store: ObjectStore,
    spec: RunSpec,
    scratch: Path,
    check: CancelCheck = never_cancel,
    may_keep: MayKeep = always_spill,
    name: str = "rows",
) -> MapResult:
    """Read, decode, parse and normalize the objects of a chunk, writing only below `scratch`.

    Args:
        connection: Keeps tables of rows, named after `name`, as far as `may_keep` allows; other rows are spilled.
        check: Called between objects and between batches.

    Raises:
        InputChangedError: An object changed after it was listed.
    """
    listed, objects = len(objects), leave_out_objects(objects, spec)
    sources = describe_sources(enumerate(objects), spec)
    outcomes = Outcomes(RejectWriter(connection, scratch), sources, spec)
    outcomes.counts.objects_erased = listed - len(objects)
    rows = RowBuffer(connection, spec, scratch, name=name)
    normalize.load_sources(connection, sources)
    mapper = _ChunkMapper(spec, check, outcomes, rows, may_keep)
    for source, item, stored in fetch(store, objects, spec=spec, scratch=scratch, check=check):
        outcomes.counts.bytes += item.size
        if isinstance(stored, UnreadableError):
            # The object's bytes were not read, so its reject is always truncated.
            outcomes.reject_object(source, stored, b"", size=max(item.size, 1))
            continue
        try:
            decoded = decode(stored, key=item.key, limits=spec.limits, scratch=scratch)
        except UnreadableError as error:
            outcomes.reject_object(source, error, bytes(stored[: spec.limits.max_raw_bytes]), size=len(stored))
        else:
            mapper.add_object(source, decoded)
    return mapper.finish()


class _ChunkMapper:
    """The state of one task: the current batch, and the rows kept or spilled so far."""

    def __init__(
        self, spec: RunSpec, check: CancelCheck, outcomes: Outcomes, rows: RowBuffer, may_keep: MayKeep
    ) -> None:
        self._spec = spec
        self._check = check
        self._outcomes = outcomes
        self._rows = rows
        self._general = GeneralPath(rows, outcomes, spec=spec, check=check)
        self._may_keep = may_keep
        self._batch_bytes = min(BATCH_BYTES, spec.limits.memory_bytes // BATCH_MEMORY_SHARE)
        self._segments: list[Segment] = []
        # Bytes and lines of text in the batch, and bytes of the text whose rows are neither kept nor spilled yet.
        self._size = self._lines = self._unspilled = 0
        self._spilled: list[tuple[int, Path]] = []
        self._kept: tuple[str, ...] = ()

    def add_object(self, source: int, decoded: Decoded) -> None:
        """Add an object's text to the batch, or process it batch by batch if it is larger than one."""
        self._outcomes.counts.objects_read += 1
        size = len(decoded.text)
        if _is_blank(decoded):
            self._outcomes.count_empty()
        elif self._spec.layout == "messages" or size <= self._batch_bytes:
            line_feeds = 0 if self._spec.layout == "messages" else bytes(decoded.text).count(b"\n")
            if line_feeds <= MAX_BATCH_LINES:
                self._add_segment(Segment(source, decoded, 0, size, 1, line_feeds))
            else:
                self._add_by_batches(source, decoded)
        else:
            self._add_by_batches(source, decoded)

    def _add_segment(self, segment: Segment) -> None:
        self._segments.append(segment)
        self._size += segment.size
        self._lines += segment.line_feeds + 1
        if self._size >= self._batch_bytes or self._lines >= MAX_BATCH_LINES:
            self._flush()

    def _add_by_batches(self, source: int, decoded: Decoded) -> None:
        self._flush()
        start, line, size = 0, 1, len(decoded.text)
        while start < size:
            self._segments.append(self._fill_batch(source, decoded, start, line))
            start, line = self._flush()
            decoded.release(start)

    def _fill_batch(self, source: int, decoded: Decoded, start: int, line: int) -> Segment:
        """Return the lines from byte `start` on that fill a batch, by bytes or by lines."""
        text, end, line_feeds = decoded.text, start, 0
        while end < len(text) and end - start < self._batch_bytes:
            block_end = end_of_block(text, end, len(text))
            more = bytes(text[end:block_end]).count(b"\n")
            if line_feeds and line_feeds + more > MAX_BATCH_LINES:
                break
            end, line_feeds = block_end, line_feeds + more
        return Segment(source, decoded, start, end, line, line_feeds)

    def finish(self) -> MapResult:
        """Process the last batch, and keep or spill the remaining rows."""
        self._flush()
        self._keep_or_spill_rows()
        return MapResult(tuple(self._spilled), self._outcomes.finish(), self._outcomes.counts, self._kept)

    def _keep_or_spill_rows(self) -> None:
        self._general.flush()
        if self._may_keep(self._unspilled):
            self._kept += self._rows.keep()
        else:
            self._spilled += self._rows.spill()
        self._unspilled = 0

    def _flush(self) -> tuple[int, int]:
        """Process the batch; return the byte and line at which its last object continues."""
        if not self._segments:
            return 0, 1
        self._check()
        segments, self._segments, self._size, self._lines = self._segments, [], 0, 0
        whole = self._spec.layout == "messages"
        # The fast path does not check the depth: if the limit is lower than a specified message's depth, it verifies
        # nothing.
        limits = self._spec.limits
        max_length = limits.max_record_bytes if limits.max_depth >= MAX_VERIFIED_DEPTH else 0
        pieces = TextBatch(segments, whole=whole, max_length=max_length)
        if not pieces.starts:
            return segments[-1].end, segments[-1].line + pieces.lines_of[segments[-1].source]
        unverified = self._rows.add_batch(pieces.to_table())
        position = self._general.read(segments, pieces, unverified)
        erased = self._rows.delete_erased(general=False)
        records, excluded = self._rows.filter_batch()
        self._outcomes.counts.seen += records + erased
        self._outcomes.count_erased(erased)
        decoded = {segment.source: segment.decoded for segment in segments}
        for source, record, verdict in excluded:
            self._outcomes.exclude(source, record, verdict, *self._outcomes.original(decoded[source], record))
        self._unspilled += sum(segment.size for segment in segments)
        if self._unspilled > self._spec.limits.memory_bytes // ROWS_MEMORY_SHARE:
            self._keep_or_spill_rows()
        return position


def _is_blank(decoded: Decoded) -> bool:
    """Return whether a text holds no record, only blanks and line ends."""
    if decoded.text[:1] in (b"{", b"["):
        return False
    return not Cursor(decoded.text, offset=0, line=1, check=never_cancel).find_record(len(decoded.text))
