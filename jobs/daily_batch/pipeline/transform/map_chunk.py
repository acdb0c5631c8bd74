"""Map: a chunk of the manifest to runs of typed rows by bucket of rooms, rejects and counts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from daily_batch.domain.run import RunSpec, SourceObject
from daily_batch.pipeline.transform import normalize
from daily_batch.pipeline.transform.cancel import CancelCheck, never_cancel
from daily_batch.pipeline.transform.cursor import Cursor
from daily_batch.pipeline.transform.decode import Decoded, UnreadableError, decode
from daily_batch.pipeline.transform.fast_parser import DEEPEST_PROVEN
from daily_batch.pipeline.transform.fetch import ObjectStore, fetch
from daily_batch.pipeline.transform.general_path import GeneralPath
from daily_batch.pipeline.transform.outcomes import Counts, Outcomes
from daily_batch.pipeline.transform.ownership import describe
from daily_batch.pipeline.transform.rejects import RejectWriter
from daily_batch.pipeline.transform.row_buffer import RowBuffer
from daily_batch.pipeline.transform.split import Segment, TextBatch, end_of_block

# Text that is parsed at once. Planning its one statement takes DuckDB 15 ms, which must be little beside the work.
BATCH_BYTES = 64 * 2**20
# But no more than this part of the task's memory: it is held as text, as lines and as an array at once.
BATCH_SHARE = 12
# Rows are laid down by bucket when the text that they came from exceeds this part of the task's memory.
ROWS_SHARE = 8
# Lines of a batch: fewer than a row group of DuckDB's, which it would compress.
BATCH_LINES = 100_000

# Asked whether rows of so many bytes of text may stay in memory until the reduce.
MayKeep = Callable[[int], bool]


@dataclass(frozen=True)
class MapResult:
    """What became of a chunk: tables of rows in the database or Parquet files by bucket, files of rejects, counts."""

    runs: tuple[tuple[int, Path], ...]
    rejects: tuple[Path, ...]
    counts: Counts
    tables: tuple[str, ...] = ()


def keep_nothing(size: int) -> bool:
    """Lay all rows down as files."""
    return False


def map_chunk(
    objects: Sequence[SourceObject],
    *,
    connection: duckdb.DuckDBPyConnection,
    store: ObjectStore,
    plan: RunSpec,
    scratch: Path,
    check: CancelCheck = never_cancel,
    may_keep: MayKeep = keep_nothing,
    name: str = "rows",
) -> MapResult:
    """Read, decode, parse and interpret the objects of a chunk; nothing is written but below `scratch`.

    Args:
        connection: where tables of rows, named after `name`, stay as far as `may_keep` allows; other rows go to files.
        check: called between objects and between batches.

    Raises:
        Retryable: an object changed after it was listed.
    """
    sources = describe(enumerate(objects), plan)
    outcomes = Outcomes(RejectWriter(connection, scratch), sources, plan.limits)
    rows = RowBuffer(connection, plan, scratch, name=name)
    normalize.load_sources(connection, sources)
    intake = _Intake(plan, check, outcomes, rows, may_keep)
    for number, item, stored in fetch(store, objects, plan=plan, scratch=scratch, check=check):
        outcomes.counts.bytes += item.size
        if isinstance(stored, UnreadableError):
            # None of its bytes are here, so its reject never holds all of them.
            outcomes.refuse_object(number, stored, b"", size=max(item.size, 1))
            continue
        try:
            decoded = decode(stored, key=item.key, limits=plan.limits, scratch=scratch)
        except UnreadableError as fault:
            outcomes.refuse_object(number, fault, bytes(stored[: plan.limits.max_raw_bytes]), size=len(stored))
        else:
            intake.add_object(number, decoded)
    return intake.finish()


class _Intake:
    """The state of one task: the batch in hand, and what has been laid down."""

    def __init__(
        self, plan: RunSpec, check: CancelCheck, outcomes: Outcomes, rows: RowBuffer, may_keep: MayKeep
    ) -> None:
        self._plan = plan
        self._check = check
        self._outcomes = outcomes
        self._rows = rows
        self._general = GeneralPath(rows, outcomes, plan=plan, check=check)
        self._may_keep = may_keep
        self._batch_bytes = min(BATCH_BYTES, plan.limits.memory_bytes // BATCH_SHARE)
        self._segments: list[Segment] = []
        # Bytes and lines of text in the batch, and bytes of the rows that are neither kept nor laid down.
        self._held = self._held_lines = self._open = 0
        self._runs: list[tuple[int, Path]] = []
        self._kept: tuple[str, ...] = ()

    def add_object(self, source: int, decoded: Decoded) -> None:
        """Take an object's text into the batch, or batch by batch where it is larger than one."""
        self._outcomes.counts.objects_read += 1
        size = len(decoded.text)
        if _is_blank(decoded):
            self._outcomes.count_empty()
        elif self._plan.layout == "messages" or size <= self._batch_bytes:
            feeds = 0 if self._plan.layout == "messages" else bytes(decoded.text).count(b"\n")
            if feeds <= BATCH_LINES:
                self._add_segment(Segment(source, decoded, 0, size, 1, feeds))
            else:
                self._add_by_batches(source, decoded)
        else:
            self._add_by_batches(source, decoded)

    def _add_segment(self, segment: Segment) -> None:
        self._segments.append(segment)
        self._held += segment.size
        self._held_lines += segment.feeds + 1
        if self._held >= self._batch_bytes or self._held_lines >= BATCH_LINES:
            self._flush()

    def _add_by_batches(self, source: int, decoded: Decoded) -> None:
        self._flush()
        start, line, size = 0, 1, len(decoded.text)
        while start < size:
            self._segments.append(self._fill_batch(source, decoded, start, line))
            start, line = self._flush()
            decoded.release(start)

    def _fill_batch(self, source: int, decoded: Decoded, start: int, line: int) -> Segment:
        """Take lines from a byte on until a batch is full, by bytes or by lines."""
        text, end, feeds = decoded.text, start, 0
        while end < len(text) and end - start < self._batch_bytes:
            behind = end_of_block(text, end, len(text))
            more = bytes(text[end:behind]).count(b"\n")
            if feeds and feeds + more > BATCH_LINES:
                break
            end, feeds = behind, feeds + more
        return Segment(source, decoded, start, end, line, feeds)

    def finish(self) -> MapResult:
        """Read what is in hand, lay down all rows."""
        self._flush()
        self._settle_rows()
        return MapResult(tuple(self._runs), self._outcomes.finish(), self._outcomes.counts, self._kept)

    def _settle_rows(self) -> None:
        self._general.add_rows()
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
        pieces = TextBatch(segments, whole=whole, longest=longest)
        if not pieces.starts:
            return segments[-1].end, segments[-1].line + pieces.lines_of[segments[-1].source]
        unproven = self._rows.add_batch(pieces.to_table())
        position = self._general.read(segments, pieces, unproven)
        records, others = self._rows.judge_batch()
        self._outcomes.counts.seen += records
        decoded = {segment.source: segment.decoded for segment in segments}
        for source, found, verdict in others:
            self._outcomes.refuse(source, found, verdict, *self._outcomes.original(decoded[source], found))
        self._open += sum(segment.size for segment in segments)
        if self._open > self._plan.limits.memory_bytes // ROWS_SHARE:
            self._settle_rows()
        return position


def _is_blank(decoded: Decoded) -> bool:
    """Whether a text holds no record: only blanks and lines of them."""
    if decoded.text[:1] in (b"{", b"["):
        return False
    return not Cursor(decoded.text, offset=0, line=1, check=never_cancel).find_record(len(decoded.text))
