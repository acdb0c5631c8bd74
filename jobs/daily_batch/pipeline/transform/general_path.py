"""The general path: records that the fast path did not prove, read one by one.

A piece that is exactly one JSON value is built at once; any other text is read by the Scanner. The rows of several
batches are interpreted together, for DuckDB plans that statement in 30 ms.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from daily_batch.domain.contract import Flag, Reason
from daily_batch.domain.run import RunSpec
from daily_batch.pipeline.transform.cancel import CancelCheck
from daily_batch.pipeline.transform.coerce import UnusableError, shape
from daily_batch.pipeline.transform.decode import Decoded
from daily_batch.pipeline.transform.outcomes import Outcomes
from daily_batch.pipeline.transform.row_buffer import RowBuffer
from daily_batch.pipeline.transform.split import Segment, TextBatch
from daily_batch.pipeline.transform.strict_parser import Found, Scanner, read_record

# Records that are interpreted at once, and bytes of them.
SHAPED_AT_ONCE = 20_000
SHAPED_BYTES = 32 * 2**20


@dataclass(frozen=True, slots=True)
class _Shaped:
    """A record that is not interpreted yet, with its original bytes in case it is rejected."""

    source: int
    place: Found
    fields: dict[str, object]
    raw: bytes
    cut: bool


class GeneralPath:
    """Reads the unproven pieces of a task's batches into its rows."""

    def __init__(self, rows: RowBuffer, outcomes: Outcomes, *, plan: RunSpec, check: CancelCheck) -> None:
        self._rows = rows
        self._outcomes = outcomes
        self._plan = plan
        self._check = check
        self._shaped: list[_Shaped] = []
        self._shaped_bytes = 0

    def read(self, segments: Sequence[Segment], pieces: TextBatch, unproven: Sequence[int]) -> tuple[int, int]:
        """Read what is no JSON or unproven; return the byte and line at which the batch's last object goes on."""
        by_source = {segment.source: segment for segment in segments}
        reached = {segment.source: (segment.start, segment.line) for segment in segments}
        limits = self._plan.limits
        for first, last in pieces.runs(unproven):
            source = pieces.sources[first]
            while first <= last and pieces.starts[first] < reached[source][0]:
                first += 1  # a value that began on a line before went on to this one
            if first > last:
                continue
            line, start = pieces.lines[first], pieces.starts[first]
            decoded, text = by_source[source].decoded, pieces.text(first)
            found = read_record(text, start=start, line=line, limits=limits) if first == last else None
            if found:
                self._take(source, decoded, found)
                reached[source] = start + len(text) + 1, line + 1
                continue
            until = pieces.starts[last] + pieces.lengths[last] + 1
            scanner = Scanner(decoded.text, offset=start, line=line, limits=limits, check=self._check)
            for found in scanner.records(until):
                self._take(source, decoded, found)
            reached[source] = scanner.offset, scanner.line
            if scanner.offset > until:
                self._rows.drop(source, until, scanner.offset)
        segment = segments[-1]
        return max((segment.end, segment.line + pieces.lines_of[segment.source]), reached[segment.source])

    def add_rows(self) -> None:
        """Interpret what was read: of several batches, or a part of an array of any length."""
        shaped, self._shaped, self._shaped_bytes = self._shaped, [], 0
        if not shaped:
            return
        self._outcomes.counts.seen += len(shaped)
        self._rows.add_shaped([(each.source, each.place, each.fields) for each in shaped])
        by_place = {(each.source, each.place.start): each for each in shaped}
        for source, found, verdict in self._rows.judge_shaped():
            each = by_place[source, found.start]
            self._outcomes.refuse(source, found, verdict, each.raw, each.cut)

    def _take(self, source: int, decoded: Decoded, found: Found) -> None:
        if found.reason is not None:
            self._outcomes.refuse_unread(source, decoded, found, found.reason)
            return
        if found.value is None or found.value in ({}, []):
            self._outcomes.count_empty()
            return
        try:
            fields = _read_fields(found, self._plan.tenant)
        except UnusableError as fault:
            self._outcomes.refuse_unread(source, decoded, replace(found, detail=fault.detail), fault.reason)
            return
        raw, cut = self._outcomes.original(decoded, found)
        # Without the value, of which the fields hold what is needed.
        self._shaped.append(_Shaped(source, Found(found.start, found.length, found.line), fields, raw, cut))
        self._shaped_bytes += len(raw)
        if len(self._shaped) >= SHAPED_AT_ONCE or self._shaped_bytes >= SHAPED_BYTES:
            self.add_rows()


def _read_fields(found: Found, tenant: str) -> dict[str, object]:
    if not isinstance(found.value, dict):
        raise UnusableError(Reason.NOT_AN_OBJECT, "neither an object nor a list of objects")
    fields = shape(found.value, tenant=tenant)
    if found.replaced_surrogate:
        fields["doubts"] = ",".join(filter(None, (str(fields["doubts"]), Flag.REPLACED_SURROGATE)))
    return fields
