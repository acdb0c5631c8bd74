"""Repeat a commit while other runs take its version or the storage fails, and explain the storage's errors."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from deltalake.exceptions import CommitFailedError, DeltaError

from daily_batch.errors import BatchError, is_retryable
from daily_batch.pipeline.publish.delta_log import Context
from daily_batch.storage.failures import explain_access, is_denied, is_missing, quote_cause

T = TypeVar("T")

# Each round of a race has a winner, so this many runs can write to one table at the same time.
MAX_COMMIT_ATTEMPTS = 30
MAX_STORAGE_ATTEMPTS = 3
MAX_BACKOFF_SECONDS = 2.0


def commit_with_retry(commit: Callable[[], T], context: Context) -> T:
    """Call `commit` until it succeeds, with backoff while other runs take the version or the storage fails."""
    for attempt in range(1, MAX_COMMIT_ATTEMPTS + 1):
        try:
            return commit()
        except (DeltaError, OSError) as error:
            # Another run took the version, or a response was lost: the next attempt finds out from the log.
            failure = explain_failure(error, context)
            max_attempts = MAX_COMMIT_ATTEMPTS if isinstance(error, CommitFailedError) else MAX_STORAGE_ATTEMPTS
            if not is_retryable(failure) or attempt >= max_attempts:
                raise failure from error
            backoff = min(MAX_BACKOFF_SECONDS, 0.05 * 2**attempt)
            time.sleep(random.uniform(0, backoff))  # noqa: S311 - jitter, not for security
    raise AssertionError("the last attempt returns or raises")


def explain_failure(error: Exception, context: Context) -> BatchError:
    """Translate a storage error into one that says whether a retry can help, and quotes the storage's own text."""
    if access_error := explain_access(error, tenant=context.tenant, day=context.day.isoformat()):
        return access_error
    cause = quote_cause(error)
    if is_denied(error):
        return context.terminal(
            f"{context.table.name}: access is denied: {cause}",
            next_step="allow this identity to list, read and write the tables",
        )
    if is_missing(error):
        what = f"{context.table.name}: the output's bucket or container does not exist"
        return context.terminal(what, next_step="check the output URL")
    return context.retryable(f"{context.table.name} could not be committed: {cause}")
