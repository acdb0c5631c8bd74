"""What a lack of memory or temporary disk looks like, and what becomes of it in the local runner: a hand-over."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from daily_batch.domain.run import RunSpec
from daily_batch.errors import HandOverError
from daily_batch.pipeline.runners.deadline import Deadline

NO_SPACE = "No space left on device"
# What DuckDB names in its advice when a query has spilled all that it may.
SPILL_LIMIT = "max_temp_directory_size"


class _FullDiskError(Exception):
    """The temporary disk takes no more."""


@contextmanager
def handing_over(watch: Deadline, plan: RunSpec) -> Iterator[None]:
    """Turn a lack of memory or temporary disk into a hand-over, and have every hand-over name the tenant and the day.

    Raises:
        HandOver: this process is too small for the day.
    """
    try:
        yield
    except (MemoryError, duckdb.Error, _FullDiskError, HandOverError) as error:
        lack = _name_lack(error)
        if lack is None:
            raise
        handed = error if isinstance(error, HandOverError) else watch.hand_over(lack)
        handed.add_context(plan.tenant, plan.date)
        if handed is error:
            raise
        raise handed from error


@contextmanager
def on_temporary_disk() -> Iterator[None]:
    """Around what writes nowhere else than to the temporary disk: there a full disk is a lack, elsewhere a failure."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise _FullDiskError from error
        raise


def _name_lack(error: Exception) -> str | None:
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
