"""What every runner takes and gives, so that one can stand for the other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from daily_batch.domain.run import DataFile, RunSpec
from daily_batch.pipeline.discover.manifest import Manifest
from daily_batch.pipeline.transform.outcomes import Counts
from daily_batch.storage.stores import Storage

# Called with what is being done, how much of it, of how much (0 when unknown), and the unit; "": the first says it all.
Progress = Callable[[str, int, int, str], None]


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """Files that no commit names yet, by table, the counts, and seconds by stage."""

    files: Mapping[str, Sequence[DataFile]]
    counts: Counts
    seconds: Mapping[str, float]


class Runner(Protocol):
    """Takes a manifest to written files; publishes nothing."""

    @property
    def name(self) -> str:
        """What the receipt calls it."""

    def run(
        self, manifest: Manifest, *, plan: RunSpec, storage: Storage, scratch: Path, progress: Progress
    ) -> RunResult:
        """Map and reduce one tenant-day.

        Raises:
            Retryable: an object changed after it was listed, or a task failed for a reason that may pass.
        """
