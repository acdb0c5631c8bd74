"""What an error of storage, disk or memory means to a person: whether trying again can help, and its cause."""

import re

import duckdb
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

from daily_batch.errors import BatchError, RetryableError, TerminalError, is_retryable
from daily_batch.storage.access import explain_access, plain_text

# Their texts name files, addresses and what the system answered, never what was being read.
ENVIRONMENTAL = (BaseError, OSError, duckdb.IOException, duckdb.OutOfMemoryException)
LONGEST_CAUSE = 300
# Only some calls of obstore and none of delta-rs raise errors of their own kind for these.
DENIED = (
    *("AccessDenied", "Access Denied", "403 Forbidden", "AuthorizationPermissionMismatch", "AuthorizationFailure"),
    *("Permission denied", "kind: PermissionDenied", "lacked the necessary privileges"),
)
MISSING = ("NoSuchBucket", "ContainerNotFound")


def explain_failure(error: Exception, *, tenant: str, day: str) -> BatchError | None:
    """The error to raise instead; None for one that is not of storage, disk or memory, which is a defect."""
    if isinstance(error, BatchError):
        return error
    if known := explain_access(error, tenant=tenant, day=day):
        return known
    if not isinstance(error, ENVIRONMENTAL):
        return None
    cause = quote_cause(error)
    if is_denied(error):
        what, step = f"access is denied: {cause}", "allow this identity to read the input and to write the output"
        return TerminalError(what, next_step=step, tenant=tenant, day=day)
    if is_missing(error):
        what, step = f"a bucket or container does not exist: {cause}", "check the URLs"
        return TerminalError(what, next_step=step, tenant=tenant, day=day)
    what = f"storage, disk or memory failed: {cause}"
    return RetryableError(what, next_step="mend that, then run the day again", tenant=tenant, day=day)


def is_denied(error: Exception) -> bool:
    """Whether a store or the system refused access."""
    if known_refusal := explain_access(error):  # credentials that could not be renewed while a client was at work
        return not is_retryable(known_refusal)
    known = isinstance(error, PermissionDeniedError | UnauthenticatedError | PermissionError)
    return known or any(sign in str(error) for sign in DENIED)


def is_missing(error: Exception) -> bool:
    """Whether a store knows no such bucket or container."""
    return any(sign in str(error) for sign in MISSING)


def quote_cause(error: Exception) -> str:
    """The error's own words, for one line of a log.

    Without obstore's debugging output, delta-rs' colours, queries of addresses, which may hold a signature, and all of
    a service's answer but its code: it may quote keys.
    """
    text = re.sub(r"<(?:\?xml|Error).*?<Code>\s*(\w+)\s*</Code>.*", r"\1", plain_text(error))
    text = re.sub(r"\?[^\s\"')]+", "", text)
    return text[:LONGEST_CAUSE].rstrip(". ")
