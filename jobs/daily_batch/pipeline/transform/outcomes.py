"""What becomes of a task's objects and records: counts, and the rejects with their bytes."""

from collections.abc import Sequence
from pathlib import Path

from daily_batch.domain.run import Limits
from daily_batch.pipeline.transform.counts import Counts
from daily_batch.pipeline.transform.decode import Decoded, UnreadableError
from daily_batch.pipeline.transform.normalize import OTHER_DAY
from daily_batch.pipeline.transform.rejects import RejectWriter
from daily_batch.pipeline.transform.sources import SourceRow
from daily_batch.pipeline.transform.value import Found


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
