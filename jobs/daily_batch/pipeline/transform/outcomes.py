"""Count the outcomes of a task's objects and records, and write the rejects."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from daily_batch.domain.run import RunSpec
from daily_batch.pipeline.transform.decode import Decoded, UnreadableError
from daily_batch.pipeline.transform.erased import RejectFilter
from daily_batch.pipeline.transform.json_value import ParsedRecord
from daily_batch.pipeline.transform.normalize import OTHER_DAY
from daily_batch.pipeline.transform.ownership import SourceRow
from daily_batch.pipeline.transform.rejects import RejectWriter
from daily_batch.pipeline.transform.unknown_fields import cap_candidates

# Why a reject has no bytes.
WITHHELD = "its bytes may be an erased user's and are not kept"


class Outcomes:
    """Counts outcomes and writes rejects; `sources` describes the task's objects by index."""

    def __init__(self, rejects: RejectWriter, sources: Sequence[SourceRow], spec: RunSpec) -> None:
        self.counts = Counts()
        self._rejects = rejects
        self._sources = sources
        self._limits = spec.limits
        self._filter = RejectFilter(spec.erased)

    def reject_object(self, source: int, error: UnreadableError, raw: bytes, *, size: int) -> None:
        """Reject a whole object of `size` stored bytes."""
        self.counts.objects_unreadable += 1
        source_row, detail = self._sources[source], error.detail
        # The object counts as unreadable in any case: what else it holds is unknown.
        if raw and self._filter.match(
            raw, truncated=size > len(raw), whole_object=True, has_owner=source_row.path_user is not None
        ):
            raw, detail = b"", f"{detail}; {WITHHELD}"
        self._rejects.add(source_row.source_key, 0, error.reason, detail, raw, truncated=size > len(raw))

    def exclude(self, source: int, record: ParsedRecord, verdict: str, raw: bytes, truncated: bool) -> None:
        """Count a record that is not published; reject it unless it belongs to another day."""
        if verdict == OTHER_DAY:
            self.counts.other_day += 1
            return
        source_row, detail = self._sources[source], record.detail
        match = self._filter.match(
            raw, truncated=truncated, whole_object=False, has_owner=source_row.path_user is not None
        )
        if match == "erased":
            self.counts.erased += 1
            return
        if match == "doubtful":
            raw, truncated, detail = b"", True, f"{detail or verdict}; {WITHHELD}"
        self.counts.rejected += 1
        self.counts.rejects[str(verdict)] += 1
        self._rejects.add(source_row.source_key, record.line, verdict, detail, raw, truncated=truncated)

    def reject_unparsed(self, source: int, decoded: Decoded, record: ParsedRecord, reason: str) -> None:
        """Count a record that cannot be normalized; reject it if this run owns the object."""
        self.counts.seen += 1
        if self._sources[source].is_owner:
            self.exclude(source, record, reason, *self.original(decoded, record))
        else:  # the owning run rejects it
            self.counts.other_day += 1

    def count_erased(self, records: int) -> None:
        """Count records of erased users and rooms."""
        self.counts.erased += records

    def count_empty(self) -> None:
        """Count a record or an object without content."""
        self.counts.seen += 1
        self.counts.empty += 1

    def original(self, decoded: Decoded, record: ParsedRecord) -> tuple[bytes, bool]:
        """Return a record's original bytes up to the limit, and whether they were truncated."""
        return decoded.original(record.start, record.length, self._limits.max_raw_bytes)

    def finish(self) -> tuple[Path, ...]:
        """Write the remaining rejects, and return all files of rejects."""
        return self._rejects.finish()


@dataclass
class Counts:
    """Numbers of objects and records by outcome; rejects by reason, published rows by flag and by field in `extras`.

    `other_unknown_fields` sums the rows over the fields that `unknown_fields` does not name.
    """

    objects_read: int = 0
    objects_unreadable: int = 0
    objects_erased: int = 0
    bytes: int = 0
    seen: int = 0
    written: int = 0
    duplicates: int = 0
    superseded: int = 0
    rejected: int = 0
    other_day: int = 0
    empty: int = 0
    erased: int = 0
    rejects: Counter[str] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)
    unknown_fields: Counter[str] = field(default_factory=Counter)
    other_unknown_fields: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return values that JSON can represent."""
        # dataclasses.asdict() turns a Counter into a Counter of pairs.
        return {**vars(self), **{name: dict(getattr(self, name)) for name in _COUNTERS}}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Counts":
        """Return the counts that `to_dict` was called on."""
        return cls(**{**values, **{name: Counter(values[name]) for name in _COUNTERS}})


_COUNTERS = ("rejects", "flags", "unknown_fields")


def add_counts(parts: Iterable[Counts]) -> Counts:
    """Return the sum of the counts of disjoint parts."""
    total = Counts()
    for part in parts:
        for item in fields(Counts):
            setattr(total, item.name, getattr(total, item.name) + getattr(part, item.name))
        total.unknown_fields, others = cap_candidates(total.unknown_fields)
        total.other_unknown_fields += others
    return total
