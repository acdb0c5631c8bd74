"""What becomes of a task's objects and records: counts, and the rejects with their bytes."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from daily_batch.domain.run import Limits
from daily_batch.pipeline.transform.decode import Decoded, UnreadableError
from daily_batch.pipeline.transform.json_value import Found
from daily_batch.pipeline.transform.normalize import OTHER_DAY
from daily_batch.pipeline.transform.ownership import SourceRow
from daily_batch.pipeline.transform.rejects import RejectWriter


class Outcomes:
    """Counts outcomes, and writes rejects; `sources` describes the task's objects by number."""

    def __init__(self, rejects: RejectWriter, sources: Sequence[SourceRow], limits: Limits) -> None:
        self.counts = Counts()
        self._rejects = rejects
        self._sources = sources
        self._limits = limits

    def refuse_object(self, source: int, fault: UnreadableError, raw: bytes, *, size: int) -> None:
        """Reject an object of `size` bytes whole."""
        self.counts.objects_unreadable += 1
        key = self._sources[source].source_key
        self._rejects.add(key, 0, fault.reason, fault.detail, raw, truncated=size > len(raw))

    def refuse(self, source: int, found: Found, verdict: str, raw: bytes, cut: bool) -> None:
        """Count a record that is not one of the day's, and reject it unless another day takes it."""
        if verdict == OTHER_DAY:
            self.counts.other_day += 1
            return
        self.counts.rejected += 1
        self.counts.rejects[str(verdict)] += 1
        key = self._sources[source].source_key
        self._rejects.add(key, found.line, verdict, found.detail, raw, truncated=cut)

    def refuse_unread(self, source: int, decoded: Decoded, found: Found, reason: str) -> None:
        """Count a record that has no meaning; the run of the day that owns the object rejects it."""
        self.counts.seen += 1
        if self._sources[source].owned:
            self.refuse(source, found, reason, *self.original(decoded, found))
        else:  # another run's: nothing is copied for it
            self.counts.other_day += 1

    def count_empty(self) -> None:
        """Count a record, or an object, in which there is nothing."""
        self.counts.seen += 1
        self.counts.empty += 1

    def original(self, decoded: Decoded, found: Found) -> tuple[bytes, bool]:
        """Return a record's original bytes up to the limit, and whether there are more."""
        return decoded.original(found.start, found.length, self._limits.max_raw_bytes)

    def finish(self) -> tuple[Path, ...]:
        """Write the remaining rejects; return every file of them."""
        return self._rejects.finish()


@dataclass
class Counts:
    """Numbers of objects and records by outcome; `rejects` by reason of records, `flags` of published rows."""

    objects_read: int = 0
    objects_unreadable: int = 0
    bytes: int = 0
    seen: int = 0
    written: int = 0
    duplicates: int = 0
    superseded: int = 0
    rejected: int = 0
    other_day: int = 0
    empty: int = 0
    rejects: Counter[str] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        # asdict() would make a Counter of pairs.
        return {**vars(self), "rejects": dict(self.rejects), "flags": dict(self.flags)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Counts":
        """What `to_dict` gave."""
        return cls(**{**values, "rejects": Counter(values["rejects"]), "flags": Counter(values["flags"])})


def add_counts(parts: Iterable[Counts]) -> Counts:
    """The sum of counts of disjoint parts."""
    total = Counts()
    for part in parts:
        for item in fields(Counts):
            setattr(total, item.name, getattr(total, item.name) + getattr(part, item.name))
    return total
