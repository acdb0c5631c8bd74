"""Recognize exhausted memory and temporary disk, and turn them into a hand-over of the day to Spark."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from daily_batch.domain.run import RunSpec
from daily_batch.errors import HandOverError
from daily_batch.pipeline.runners.deadline import Deadline

NO_SPACE = "No space left on device"
# The setting that DuckDB names in its error when a query has spilled as much as it may.
SPILL_LIMIT = "max_temp_directory_size"


class _FullDiskError(Exception):
    """The temporary disk is full."""


@contextmanager
def hand_over_if_exhausted(deadline: Deadline, spec: RunSpec) -> Iterator[None]:
    """Turn exhausted memory or temporary disk into a hand-over, and add tenant and day to every hand-over.

    Raises:
        HandOverError: This process is too small for the day.
    """
    try:
        yield
    except (MemoryError, duckdb.Error, _FullDiskError, HandOverError) as error:
        exhausted = classify_exhaustion(error)
        if exhausted is None:
            raise
        hand_over = error if isinstance(error, HandOverError) else deadline.hand_over_error(exhausted)
        hand_over.add_context(spec.tenant, spec.date)
        if hand_over is error:
            raise
        raise hand_over from error


@contextmanager
def hand_over_if_full() -> Iterator[None]:
    """Turn a temporary disk that cannot hold a day's manifest into a hand-over.

    Raises:
        HandOverError: The disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise HandOverError(
            "the temporary disk is full of the day's manifest", next_step="run the day on Spark"
        ) from error


@contextmanager
def writes_temporary_disk_only() -> Iterator[None]:
    """Mark a block whose only writes are to the temporary disk, where a full disk is exhaustion and not a failure."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise _FullDiskError from error
        raise


def classify_exhaustion(error: Exception) -> str | None:
    """Return which resource an error says is exhausted; None if it is another error."""
    match error:
        case HandOverError():
            return error.what
        case _FullDiskError():
            return "the temporary disk is full"
        case duckdb.OutOfMemoryException() if SPILL_LIMIT in str(error):
            return "the temporary disk is full"
        case MemoryError() | duckdb.OutOfMemoryException():
            return "the memory does not suffice"
        # DuckDB writes nothing but to the temporary disk.
        case duckdb.IOException() if NO_SPACE in str(error):
            return "the temporary disk is full"
    return None
