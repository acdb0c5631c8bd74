"""Errors travel between processes, and name tenant and day wherever they were raised."""

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
def test_an_error_comes_out_of_another_process_as_it_was(kind: type[BatchError]) -> None:
    error = kind("it was down", next_step="try again", tenant="acme", day="2025-08-12")
    copied = pickle.loads(pickle.dumps(error))
    assert (type(copied), str(copied)) == (kind, str(error))


def test_who_knows_tenant_and_day_names_them_and_never_over_others() -> None:
    with (
        pytest.raises(RetryableError, match=r"tenant=acme day=2025-08-12: it was down\. Next step: try again\."),
        error_context("acme", "2025-08-12"),
    ):
        raise RetryableError("it was down", next_step="try again")
    with pytest.raises(RetryableError, match="tenant=globex day=2025-08-11"), error_context("acme", "2025-08-12"):
        raise RetryableError("it was down", next_step="try again", tenant="globex", day="2025-08-11")
