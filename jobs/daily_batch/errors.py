"""Errors by their remedy: the exit status says whether a retry can help."""

import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import PurePath
from typing import Any

# What `BatchError.__str__` writes before the error.
_CONTEXT = r"(?:tenant=[^\s:]+(?: day=[^\s:]+)?: |day=[^\s:]+: )?"


class BatchError(Exception):
    """An error with what happened, the tenant and day, and the next step; its text never contains message content."""

    exit_code = 1

    def __init__(self, what: str, *, next_step: str, tenant: str = "-", day: str = "-") -> None:
        super().__init__(what)
        self.what = what
        self.next_step = next_step
        self.tenant = tenant
        self.day = day

    def __reduce__(self) -> tuple[Any, ...]:
        """Support pickling: processes send errors to each other."""
        return _rebuild, (type(self), self.what, self.next_step, self.tenant, self.day)

    def __str__(self) -> str:
        """Return one line for logs and terminals: tenant and day where they are known, what happened, the next step."""
        known = [f"{name}={value}" for name, value in (("tenant", self.tenant), ("day", self.day)) if value != "-"]
        return f"{' '.join(known)}: {self.advice}" if known else self.advice

    @property
    def advice(self) -> str:
        """What happened and the next step, for places that already name tenant and day."""
        return f"{self.what}. Next step: {self.next_step}."

    def add_context(self, tenant: str, day: str) -> None:
        """Set tenant and day unless they are set already."""
        self.tenant = tenant if self.tenant == "-" else self.tenant
        self.day = day if self.day == "-" else self.day


@contextmanager
def error_context(tenant: str, day: str) -> Iterator[None]:
    """Add tenant and day to each `BatchError` raised in the block without them."""
    try:
        yield
    except BatchError as error:
        error.add_context(tenant, day)
        raise


@contextmanager
def cleaned_up(clean: Callable[[], None]) -> Iterator[None]:
    """Call `clean` after the block; if the block failed, an error of `clean` does not replace its error."""
    try:
        yield
    except BaseException:
        with suppress(Exception):
            clean()
        raise
    clean()


def describe_error(error: BaseException) -> str:
    """Return what happened and the next step; of an unexpected error only its type and place, never its text."""
    if isinstance(error, KeyboardInterrupt):
        error = InterruptedRunError()
    return error.advice if isinstance(error, BatchError) else f"unexpected {describe_unexpected(error)}"


def is_retryable(error: BaseException) -> bool:
    """Return whether a retry can help."""
    return not isinstance(error, UsageError | TerminalError)


def describe_unexpected(error: BaseException) -> str:
    """Return an unexpected error's type and place without its text, which may quote message content."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {PurePath(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"


def find_error(text: str, *classes: type["BatchError"]) -> "BatchError | None":
    """Return the error that a text quotes, as libraries do with an error of a callback, and Spark with one of a task.

    Args:
        text: Of an exception; holds `CLASS: ` and the line of `BatchError.__str__`.
        classes: Looked for in this order.
    """
    for error_class in classes:
        if found := re.search(rf"\b{error_class.__name__}: {_CONTEXT}(.+?)\. Next step: (.+?)\.(?:\s|$)", text):
            return error_class(found[1], next_step=found[2])
    return None


def _rebuild(kind: type[BatchError], what: str, next_step: str, tenant: str, day: str) -> BatchError:
    return kind(what, next_step=next_step, tenant=tenant, day=day)


class RetryableError(BatchError):
    """A retry can help: a service was down, or an object changed while it was read."""


class InterruptedRunError(RetryableError):
    """An operator interrupted the run with Ctrl-C. The exit status is the shell's for it."""

    exit_code = 130

    def __init__(self) -> None:
        super().__init__("the run was interrupted", next_step="run the same command again; what is published stays")

    def __reduce__(self) -> tuple[Any, ...]:
        """Support pickling."""
        return InterruptedRunError, ()


class InputChangedError(RetryableError):
    """An object no longer matches the manifest: the day must be listed again."""


class HandOverError(BatchError):
    """This process has too little time, memory or disk for the day: Spark must take it over. Nothing was published."""


class UsageError(BatchError):
    """Invalid usage or configuration. Nothing was read or written."""

    exit_code = 2


class TerminalError(BatchError):
    """A retry cannot help: access denied, sums that do not hold, or bad data beyond a limit."""

    exit_code = 3


class LeaseHeldError(BatchError):
    """Another run holds the tenant-day."""

    exit_code = 4
