"""Define the interface of runners, so that each can replace another."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from daily_batch.domain.run import DataFile, RunSpec
from daily_batch.pipeline.discover.manifest import Manifest
from daily_batch.pipeline.transform.outcomes import Counts
from daily_batch.storage.stores import Storage

# Called with the activity, how much is done, the total (0 if unknown) and the unit ("" if the activity has no amount).
Progress = Callable[[str, int, int, str], None]


def ignore_progress(activity: str, done: int, total: int, unit: str) -> None:
    """Ignore progress."""


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """The files that a run wrote, which no commit names yet, by table; its counts; and its seconds by stage."""

    files: Mapping[str, Sequence[DataFile]]
    counts: Counts
    seconds: Mapping[str, float]


class Runner(Protocol):
    """Maps and reduces a manifest to written files; publishes nothing."""

    @property
    def name(self) -> str:
        """The runner's name in receipts."""

    def run(
        self, manifest: Manifest, *, spec: RunSpec, storage: Storage, scratch: Path, progress: Progress
    ) -> RunResult:
        """Map and reduce one tenant-day.

        Raises:
            InputChangedError: An object changed after it was listed.
            RetryableError: A task failed for a temporary reason.
        """
