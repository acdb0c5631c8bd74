"""The lease of an upkeep: it keeps runs out, and leaves the day as its last run left it."""

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


def complete(ledger: Ledger) -> None:
    lease = ledger.acquire("acme", DAY, owner=ELSEWHERE, run_id="run1")
    ledger.complete(lease, make_receipt(), receipt_key="key1", output_path="out/acme")


def test_a_completed_day_stays_completed_under_a_greater_token(ledger: Ledger) -> None:
    complete(ledger)
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


def test_nobody_takes_a_day_that_is_kept_in_order_until_the_lease_ends(ledger: Ledger, clock: Clock) -> None:
    complete(ledger)
    lease = ledger.hold("acme", DAY, owner=ELSEWHERE, upkeep="erase1")
    with pytest.raises(LeaseHeldError, match="erase1 of elsewhere:1:1 holds the lease"):
        ledger.acquire("acme", DAY, owner=ELSEWHERE, run_id="run2")
    with pytest.raises(LeaseHeldError):
        ledger.hold("acme", DAY, owner=ELSEWHERE, upkeep="erase2")
    clock.move(minutes=3)
    taken = ledger.acquire("acme", DAY, owner=ELSEWHERE, run_id="run2")
    # The upkeep may only be stopped: the run must fence the tables.
    assert (taken.token, taken.taken_over) == (lease.token + 1, True)
    for change in (ledger.renew, ledger.release):
        with pytest.raises(LeaseHeldError, match="the lease is lost: run run2"):
            change(lease)


def test_a_day_that_a_run_holds_is_not_kept_and_one_whose_run_died_is(ledger: Ledger, clock: Clock) -> None:
    ledger.acquire("acme", DAY, owner=ELSEWHERE, run_id="run1")
    with pytest.raises(LeaseHeldError, match="run run1 of elsewhere:1:1 holds the lease"):
        ledger.check_available("acme", DAY)
    clock.move(minutes=3)
    ledger.check_available("acme", DAY)
    lease = ledger.hold("acme", DAY, owner=ELSEWHERE, upkeep="erase1")
    ledger.release(lease)
    left = ledger.find("acme", DAY)
    assert left is not None
    assert (left.status, left.run_id, left.taken_over, left.is_leased(clock())) == ("RUNNING", "run1", True, False)


def test_a_day_whose_job_is_not_settled_is_never_kept(ledger: Ledger, clock: Clock) -> None:
    lease = ledger.acquire("acme", DAY, owner=ELSEWHERE, run_id="run1")
    ledger.hand_over(lease, reason="too large", job_token="t", job_id="job-1", duration=timedelta(0))
    clock.move(days=30)
    with pytest.raises(LeaseHeldError, match="job job-1 holds"):
        ledger.hold("acme", DAY, owner=ELSEWHERE, upkeep="erase1")


def test_a_day_that_the_ledger_does_not_know_says_so_afterwards(ledger: Ledger) -> None:
    ledger.release(ledger.hold("acme", DAY, owner=ELSEWHERE, upkeep="erase1"))
    known = ledger.find("acme", DAY)
    assert known is not None
    assert (known.status, known.retryable, known.token) == ("FAILED", False, 1)
    assert "only its tables were maintained" in str(known.error)


def test_an_answer_that_was_lost_gives_the_same_lease(ledger: Ledger) -> None:
    complete(ledger)
    first = ledger.hold("acme", DAY, owner=ELSEWHERE, upkeep="erase1")
    assert ledger.hold("acme", DAY, owner=ELSEWHERE, upkeep="erase1") == first
