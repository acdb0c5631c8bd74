"""What a publisher reports."""

from collections.abc import Sequence
from dataclasses import dataclass

from daily_batch.plan import DataFile


@dataclass(frozen=True, kw_only=True)
class Published:
    """One table's day as readers now see it; `version` is Delta's, None for Parquet, which has none."""

    version: int | None
    rows: int
    files: int
    bytes: int


def summarize_files(files: Sequence[DataFile], *, version: int | None = None) -> Published:
    """Add up what was published."""
    return Published(
        version=version,
        rows=sum(file.rows for file in files),
        files=len(files),
        bytes=sum(file.bytes for file in files),
    )
