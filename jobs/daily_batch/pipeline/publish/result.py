"""What a publisher reports, and what it finds before it publishes."""

from collections.abc import Sequence
from dataclasses import dataclass

from daily_batch.domain.receipt import Receipt
from daily_batch.domain.run import DataFile


@dataclass(frozen=True, kw_only=True)
class Published:
    """One table's day as readers now see it; `version` is Delta's, None for Parquet, which has none."""

    version: int | None
    rows: int
    files: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A day as readers see it before a run: rows of messages and rejects by the tables themselves, whatever the ledger
    knows; and the receipt of the run that published last, where there is one.
    """

    messages: int = 0
    rejects: int = 0
    receipt: Receipt | None = None


def summarize_files(files: Sequence[DataFile], *, version: int | None = None) -> Published:
    """Add up what was published."""
    return Published(
        version=version,
        rows=sum(file.rows for file in files),
        files=len(files),
        bytes=sum(file.bytes for file in files),
    )
