"""What an error of storage, disk or memory means to a person: whether trying again can help, and its cause."""

import re

import duckdb
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

from daily_batch.errors import BatchError, Retryable, Terminal

# Their texts name files, addresses and what the system answered, never what was being read.
ENVIRONMENTAL = (BaseError, OSError, duckdb.IOException, duckdb.OutOfMemoryException)
DENIED = (PermissionDeniedError, UnauthenticatedError, PermissionError)
LONGEST_CAUSE = 300


def explain_failure(error: Exception, *, tenant: str, day: str) -> BatchError | None:
    """The error to raise instead; None for one that is not of storage, disk or memory, which is a defect."""
    if isinstance(error, BatchError):
        return error
    if not isinstance(error, ENVIRONMENTAL):
        return None
    cause = _cause(error)
    if isinstance(error, DENIED) or "kind: PermissionDenied" in str(error):
        what, step = f"access is denied: {cause}", "allow this identity to read the input and to write the output"
        return Terminal(what, next_step=step, tenant=tenant, day=day)
    if "NoSuchBucket" in cause or "ContainerNotFound" in cause:
        what, step = f"a bucket or container does not exist: {cause}", "check the URLs"
        return Terminal(what, next_step=step, tenant=tenant, day=day)
    what = f"storage, disk or memory failed: {cause}"
    return Retryable(what, next_step="mend that, then run the day again", tenant=tenant, day=day)


def _cause(error: Exception) -> str:
    """The error's own words on one line: not obstore's debugging output, and no query, which may hold a signature."""
    text = " ".join(str(error).partition("\n\nDebug source:")[0].split())
    return re.sub(r"\?[^\s\"')]+", "", text)[:LONGEST_CAUSE].rstrip(". ")
