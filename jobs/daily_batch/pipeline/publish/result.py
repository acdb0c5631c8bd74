"""Describe a published day: one table after a run, and the whole day before it."""

from collections.abc import Sequence
from dataclasses import dataclass

from daily_batch.domain.receipt import Receipt
from daily_batch.domain.run import DataFile


@dataclass(frozen=True, kw_only=True)
class PublishResult:
    """One table's day as readers see it after a run; `version` is the Delta version, None for Parquet."""

    version: int | None
    rows: int
    files: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class PublishedDay:
    """A day as readers see it before a run.

    Attributes:
        messages: The rows of the messages table, by the table itself and not by the ledger.
        rejects: The rows of the rejects table, likewise.
        receipt: The receipt of the run that published last, if there is one.
    """

    messages: int = 0
    rejects: int = 0
    receipt: Receipt | None = None


def summarize_files(files: Sequence[DataFile], *, version: int | None = None) -> PublishResult:
    """Return the totals of the files that were published."""
    return PublishResult(
        version=version,
        rows=sum(file.rows for file in files),
        files=len(files),
        bytes=sum(file.bytes for file in files),
    )
