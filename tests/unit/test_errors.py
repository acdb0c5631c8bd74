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
