"""Errors of storage, disk and memory as `BatchError`: whether a retry can help, the cause and the next step.

Each SDK has one translator: `boto_errors`, `azure_errors` and `store_errors` (obstore and delta-rs). This module asks
them all.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
from obstore.exceptions import BaseError

from daily_batch.errors import BatchError, RetryableError, TerminalError, is_retryable
from daily_batch.storage import azure_errors, boto_errors, store_errors
from daily_batch.storage.store_errors import is_missing, quote_cause

__all__ = ["explain_access", "explain_failure", "explained_failures", "is_denied", "is_missing", "quote_cause"]

# Their texts name files, addresses and system errors, never what was being read.
_ENVIRONMENTAL = (BaseError, OSError, duckdb.IOException, duckdb.OutOfMemoryException)


def explain_failure(error: Exception, *, tenant: str = "-", day: str = "-") -> BatchError | None:
    """Return the error to raise instead, or None if it is not of storage, disk or memory but a defect."""
    if isinstance(error, BatchError):
        return error
    if known := explain_access(error, tenant=tenant, day=day):
        return known
    if not isinstance(error, _ENVIRONMENTAL):
        return None
    cause = quote_cause(error)
    if is_denied(error):
        what, step = f"access is denied: {cause}", "allow this identity to read the input and to write the output"
        return TerminalError(what, next_step=step, tenant=tenant, day=day)
    if is_missing(error):
        what, step = f"a bucket or container does not exist: {cause}", "check the URLs"
        return TerminalError(what, next_step=step, tenant=tenant, day=day)
    what = f"storage, disk or memory failed: {cause}"
    return RetryableError(what, next_step="correct that, then run the day again", tenant=tenant, day=day)


@contextmanager
def explained_failures(tenant: str = "-", day: str = "-") -> Iterator[None]:
    """Raise errors of storage, disk and memory as errors that name tenant, day and the next step."""
    try:
        yield
    except Exception as error:
        failure = explain_failure(error, tenant=tenant, day=day)
        if failure is None or failure is error:
            raise
        raise failure from error


def explain_access(error: BaseException, *, tenant: str = "-", day: str = "-") -> BatchError | None:
    """Return why a cloud refuses access; None for other errors, and for valid credentials without the permission."""
    known = boto_errors.explain(error) or azure_errors.explain(error) or store_errors.explain(error)
    if known is not None:
        known.add_context(tenant, day)
    return known


def is_denied(error: Exception) -> bool:
    """Return whether a store or the system refused access for good."""
    if known := explain_access(error):  # credentials that could not be renewed while a client was in use
        return not is_retryable(known)
    return store_errors.is_denied(error)
