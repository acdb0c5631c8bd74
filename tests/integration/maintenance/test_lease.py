"""Test the maintenance lease: it blocks runs and keeps the ledger entry of the last run."""

from dataclasses import replace
from datetime import timedelta

import pytest

from daily_batch.errors import LeaseHeldError
from daily_batch.ledger import Ledger
from tests.support.ledger_doubles import DAY, ELSEWHERE, Clock, MemoryStore, make_receipt


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(clock: Clock) -> Ledger:
    return Ledger(store=MemoryStore(), clock=clock)


def complete_day(ledger: Ledger) -> None:
    lease = ledger.acquire("acme", DAY, owner=ELSEWHERE, run_id="run1")
    ledger.complete(lease, make_receipt(), receipt_key="key1", output_path="out/acme")


def test_maintenance_keeps_a_completed_day_and_increments_its_token(ledger: Ledger) -> None:
    complete_day(ledger)
    before = ledger.find("acme", DAY)
    lease = ledger.hold("acme", DAY, owner=ELSEWHERE, upkeep="erase1")
    held = ledger.find("acme", DAY)
    assert before and held
    assert (held.status, held.is_complete, held.run_id, held.fingerprint) == (
        "COMPLETED",
        True,
        "run1",
        "print-of-run1",
    )
    ledger.renew(lease)
    assert lease.token == before.token + 1
    ledger.release(lease)
    after = ledger.find("acme", DAY)
    assert after == replace(before, token=lease.token)


def test_run_acquires_a_day_under_maintenance_only_after_expiry(ledger: Ledger, clock: Clock) -> None:
    complete_day(ledger)
    lease = ledger.hold("acme", DAY, owner=ELSEWHERE, upkeep="erase1")
    with pytest.raises(LeaseHeldError, match="erase1 of elsewhere:1:1 holds the lease"):
        ledger.acquire("acme", DAY, owner=ELSEWHERE, run_id="run2")
    with pytest.raises(LeaseHeldError):
        ledger.hold("acme", DAY, owner=ELSEWHERE, upkeep="erase2")
    clock.move(minutes=3)
    later = ledger.acquire("acme", DAY, owner=ELSEWHERE, run_id="run2")
    # The maintenance may only be suspended, so the run must fence the tables.
    assert (later.token, later.taken_over) == (lease.token + 1, True)
    for change in (ledger.renew, ledger.release):
        with pytest.raises(LeaseHeldError, match="the lease is lost: run run2"):
            change(lease)


def test_maintenance_takes_over_only_from_a_crashed_run(ledger: Ledger, clock: Clock) -> None:
    ledger.acquire("acme", DAY, owner=ELSEWHERE, run_id="run1")
    with pytest.raises(LeaseHeldError, match="run run1 of elsewhere:1:1 holds the lease"):
        ledger.check_available("acme", DAY)
    clock.move(minutes=3)
    ledger.check_available("acme", DAY)
    lease = ledger.hold("acme", DAY, owner=ELSEWHERE, upkeep="erase1")
    ledger.release(lease)
    entry = ledger.find("acme", DAY)
    assert entry is not None
    assert (entry.status, entry.run_id, entry.taken_over, entry.is_leased(clock())) == (
        "RUNNING",
        "run1",
        True,
        False,
    )


def test_maintenance_never_takes_over_a_day_with_an_unsettled_job(ledger: Ledger, clock: Clock) -> None:
    lease = ledger.acquire("acme", DAY, owner=ELSEWHERE, run_id="run1")
    ledger.hand_over(lease, reason="too large", job_token="t", job_id="job-1", duration=timedelta(0))
    clock.move(days=30)
    with pytest.raises(LeaseHeldError, match="job job-1 holds"):
        ledger.hold("acme", DAY, owner=ELSEWHERE, upkeep="erase1")


def test_entry_of_an_unknown_day_reports_that_no_run_is_known(ledger: Ledger) -> None:
    ledger.release(ledger.hold("acme", DAY, owner=ELSEWHERE, upkeep="erase1"))
    entry = ledger.find("acme", DAY)
    assert entry is not None
    assert (entry.status, entry.retryable, entry.token) == ("FAILED", False, 1)
    assert "only its tables were maintained" in str(entry.error)


def test_hold_retried_after_a_lost_response_returns_the_same_lease(ledger: Ledger) -> None:
    complete_day(ledger)
    first = ledger.hold("acme", DAY, owner=ELSEWHERE, upkeep="erase1")
    assert ledger.hold("acme", DAY, owner=ELSEWHERE, upkeep="erase1") == first
