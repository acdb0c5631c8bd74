"""Errors survive pickling, and their context adds tenant and day."""

import pickle

import pytest

from daily_batch.errors import (
    BatchError,
    HandOverError,
    InputChangedError,
    LeaseHeldError,
    RetryableError,
    TerminalError,
    UsageError,
    error_context,
    find_error,
)


@pytest.mark.parametrize(
    "kind", [RetryableError, InputChangedError, HandOverError, UsageError, TerminalError, LeaseHeldError]
)
def test_errors_survive_pickling(kind: type[BatchError]) -> None:
    error = kind("it was down", next_step="try again", tenant="acme", day="2025-08-12")
    copied = pickle.loads(pickle.dumps(error))
    assert (type(copied), str(copied)) == (kind, str(error))


def test_context_adds_tenant_and_day_and_never_overwrites_them() -> None:
    with (
        pytest.raises(RetryableError, match=r"tenant=acme day=2025-08-12: it was down\. Next step: try again\."),
        error_context("acme", "2025-08-12"),
    ):
        raise RetryableError("it was down", next_step="try again")
    with pytest.raises(RetryableError, match="tenant=globex day=2025-08-11"), error_context("acme", "2025-08-12"):
        raise RetryableError("it was down", next_step="try again", tenant="globex", day="2025-08-11")


@pytest.mark.parametrize("context", [{}, {"tenant": "acme"}, {"day": "2025-08-12"}, {"tenant": "a", "day": "b"}])
def test_an_error_that_another_text_quotes_is_found(context: dict[str, str]) -> None:
    error = TerminalError("input s3://b/k: denied (a: b)", next_step="see docs/access.md on s3: list", **context)
    text = f"org.apache.Spark: task failed: daily_batch.errors.TerminalError: {error}\n  at org.apache.spark"
    found = find_error(text, RetryableError, TerminalError)
    assert found is not None
    assert (type(found), found.what, found.next_step) == (TerminalError, error.what, error.next_step)
    assert find_error(text, RetryableError, UsageError) is None
