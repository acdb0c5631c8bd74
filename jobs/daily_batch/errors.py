"""What can go wrong, by what helps: the exit status says whether trying again can."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any


class BatchError(Exception):
    """A failure that a person must understand: what happened, to which tenant and day, and the next step.

    Messages never hold message content.
    """

    exit_code = 1

    def __init__(self, what: str, *, next_step: str, tenant: str = "-", day: str = "-") -> None:
        super().__init__(what)
        self.what = what
        self.next_step = next_step
        self.tenant = tenant
        self.day = day

    def __reduce__(self) -> tuple[Any, ...]:
        """Processes hand errors to each other."""
        return _rebuild, (type(self), self.what, self.next_step, self.tenant, self.day)

    def __str__(self) -> str:
        """One line for a person."""
        return f"tenant={self.tenant} day={self.day}: {self.advice}"

    @property
    def advice(self) -> str:
        """What happened and the next step, where tenant and day are known already."""
        return f"{self.what}. Next step: {self.next_step}."

    def concerns(self, tenant: str, day: str) -> None:
        """Name the tenant and the day where whoever raised this did not know them."""
        self.tenant = tenant if self.tenant == "-" else self.tenant
        self.day = day if self.day == "-" else self.day


@contextmanager
def concerning(tenant: str, day: str) -> Iterator[None]:
    """Errors from within name the tenant and the day, where whoever raised them did not know them."""
    try:
        yield
    except BatchError as error:
        error.concerns(tenant, day)
        raise


def advise(error: BaseException) -> str:
    """What happened and the next step, for the ledger or a table; nothing of an unexpected error's text."""
    return error.advice if isinstance(error, BatchError) else f"unexpected {describe_unexpected(error)}"


def is_retryable(error: BaseException) -> bool:
    """Whether trying again can help."""
    return not isinstance(error, UsageError | TerminalError)


def describe_unexpected(error: BaseException) -> str:
    """Where an unexpected error came from, without its text: that may quote what was being read."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {PurePath(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"


def _rebuild(kind: type[BatchError], what: str, next_step: str, tenant: str, day: str) -> BatchError:
    return kind(what, next_step=next_step, tenant=tenant, day=day)


class RetryableError(BatchError):
    """Trying again can help: a service was down, an object changed while it was read."""

    exit_code = 1


class InputChangedError(RetryableError):
    """An object is gone or another than the manifest lists: the day must be listed again."""


class HandOverError(BatchError):
    """The day must go to Spark: this process lacks the time or the memory for it. Nothing was published."""

    exit_code = 1


class UsageError(BatchError):
    """Wrong use or configuration: nothing was read or written."""

    exit_code = 2


class TerminalError(BatchError):
    """Trying again cannot help: denied, sums that do not hold, bad data beyond a set limit."""

    exit_code = 3


class LeaseHeldError(BatchError):
    """Another run holds the tenant-day."""

    exit_code = 4
