"""The general path: a strict parse, record by record, of what the fast path did not verify.

A piece that is exactly one JSON value is built at once; any other text is read by the Scanner. The records of several
batches are normalized together, because DuckDB takes 30 ms to plan that statement.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from daily_batch.domain.codes import Flag, Reason
from daily_batch.domain.run import RunSpec
from daily_batch.pipeline.transform.cancel import CancelCheck
from daily_batch.pipeline.transform.coerce import InvalidRecordError, coerce_record
from daily_batch.pipeline.transform.decode import Decoded
from daily_batch.pipeline.transform.json_value import ParsedRecord, read_record
from daily_batch.pipeline.transform.outcomes import Outcomes
from daily_batch.pipeline.transform.row_buffer import RowBuffer
from daily_batch.pipeline.transform.split import Segment, TextBatch
from daily_batch.pipeline.transform.strict_parser import Scanner

# Limits of the records that are normalized by one statement.
MAX_PENDING_RECORDS = 20_000
MAX_PENDING_BYTES = 32 * 2**20


@dataclass(frozen=True, slots=True)
class _PendingRecord:
    """A record to be normalized, with its original bytes in case it is rejected."""

    source: int
    location: ParsedRecord
    fields: dict[str, object]
    raw: bytes
    truncated: bool


class GeneralPath:
    """Reads the unverified pieces of a task's batches into its rows."""

    def __init__(self, rows: RowBuffer, outcomes: Outcomes, *, spec: RunSpec, check: CancelCheck) -> None:
        self._rows = rows
        self._outcomes = outcomes
        self._spec = spec
        self._check = check
        self._pending: list[_PendingRecord] = []
        self._pending_bytes = 0

    def read(self, segments: Sequence[Segment], pieces: TextBatch, unverified: Sequence[int]) -> tuple[int, int]:
        """Read the pieces that are unverified or not JSON; return where (byte, line) the last object continues."""
        by_source = {segment.source: segment for segment in segments}
        positions = {segment.source: (segment.start, segment.line) for segment in segments}
        limits = self._spec.limits
        for first, last in pieces.runs(unverified):
            source = pieces.sources[first]
            while first <= last and pieces.starts[first] < positions[source][0]:
                first += 1  # part of a value that began on an earlier line
            if first > last:
                continue
            line, start = pieces.lines[first], pieces.starts[first]
            decoded, text = by_source[source].decoded, pieces.text(first)
            record = read_record(text, start=start, line=line, limits=limits) if first == last else None
            if record:
                self._add(source, decoded, record)
                positions[source] = start + len(text) + 1, line + 1
                continue
            until = pieces.starts[last] + pieces.lengths[last] + 1
            scanner = Scanner(decoded.text, offset=start, line=line, limits=limits, check=self._check)
            for record in scanner.records(until):
                self._add(source, decoded, record)
            positions[source] = scanner.offset, scanner.line
            if scanner.offset > until:
                self._rows.drop(source, until, scanner.offset)
        segment = segments[-1]
        return max((segment.end, segment.line + pieces.lines_of[segment.source]), positions[segment.source])

    def flush(self) -> None:
        """Normalize the pending records, of several batches or of a part of an array of any length."""
        pending, self._pending, self._pending_bytes = self._pending, [], 0
        if not pending:
            return
        self._outcomes.counts.seen += len(pending)
        self._rows.add_records([(record.source, record.location, record.fields) for record in pending])
        self._outcomes.count_erased(self._rows.delete_erased(general=True))
        by_location = {(record.source, record.location.start): record for record in pending}
        for source, location, verdict in self._rows.filter_records():
            record = by_location[source, location.start]
            self._outcomes.exclude(source, location, verdict, record.raw, record.truncated)

    def _add(self, source: int, decoded: Decoded, record: ParsedRecord) -> None:
        if record.reason is not None:
            self._outcomes.reject_unparsed(source, decoded, record, record.reason)
            return
        if record.value is None or record.value in ({}, []):
            self._outcomes.count_empty()
            return
        try:
            fields = _read_fields(record, self._spec.tenant)
        except InvalidRecordError as error:
            self._outcomes.reject_unparsed(source, decoded, replace(record, detail=error.detail), error.reason)
            return
        raw, truncated = self._outcomes.original(decoded, record)
        # Without the value: `fields` holds all that is needed of it.
        location = ParsedRecord(record.start, record.length, record.line)
        self._pending.append(_PendingRecord(source, location, fields, raw, truncated))
        self._pending_bytes += len(raw)
        if len(self._pending) >= MAX_PENDING_RECORDS or self._pending_bytes >= MAX_PENDING_BYTES:
            self.flush()


def _read_fields(record: ParsedRecord, tenant: str) -> dict[str, object]:
    if not isinstance(record.value, dict):
        raise InvalidRecordError(Reason.NOT_AN_OBJECT, "neither an object nor a list of objects")
    fields = coerce_record(record.value, tenant=tenant)
    if record.replaced_surrogate:
        fields["parse_flags"] = ",".join(filter(None, (str(fields["parse_flags"]), Flag.REPLACED_SURROGATE)))
    return fields
