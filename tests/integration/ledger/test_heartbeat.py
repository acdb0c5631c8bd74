"""A lease is kept in the background, and its loss is noticed, in every metadata store."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from daily_batch.errors import LeaseHeldError, RetryableError
from daily_batch.ledger import Ledger
from daily_batch.ledger.entry import format_timestamp
from daily_batch.ledger.heartbeat import Heartbeat
from daily_batch.metadata import Item
from tests.support.ledger_doubles import BEGIN, DAY, ELSEWHERE, LEASE, Clock, FaultyStore

WAIT_SECONDS = 60
DOWN = RetryableError("the store is down", next_step="run the day again")


@pytest.fixture
def hasty(ledger: Ledger) -> Ledger:
    """A ledger whose leases are renewed many times a second."""
    return replace(ledger, lease=timedelta(seconds=0.15))


@pytest.fixture
def keeper(hasty: Ledger, tenant: str) -> Iterator[Heartbeat]:
    """Of a lease that was just taken."""
    with Heartbeat(hasty, hasty.acquire(tenant, DAY, owner=ELSEWHERE, run_id="run1")) as keeper:
        yield keeper


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def is_renewed(ledger: Ledger, tenant: str, clock: Clock) -> Callable[[], bool]:
    """Whether the lease is of the clock's time, which moves on now."""
    clock.move(hours=1)
    until = format_timestamp(clock.now + timedelta(seconds=0.15))

    def look() -> bool:
        entry = ledger.find(tenant, DAY)
        return entry is not None and entry.lease_until == until

    return look


def is_lost(keeper: Heartbeat) -> bool:
    try:
        keeper.check()
    except LeaseHeldError:
        return True
    return False


def test_a_lease_is_renewed_again_and_again(keeper: Heartbeat, hasty: Ledger, tenant: str, clock: Clock) -> None:
    wait_for(is_renewed(hasty, tenant, clock))
    wait_for(is_renewed(hasty, tenant, clock))
    keeper.check()
    with pytest.raises(LeaseHeldError):
        hasty.acquire(tenant, DAY, owner=ELSEWHERE, run_id="run2")


def test_a_lease_is_kept_no_longer_than_its_run(ledger: Ledger, tenant: str) -> None:
    before = set(threading.enumerate())
    with Heartbeat(ledger, ledger.acquire(tenant, DAY, owner=ELSEWHERE, run_id="run1")):
        (added,) = set(threading.enumerate()) - before
    assert not added.is_alive()


def test_a_lost_lease_is_noticed(keeper: Heartbeat, hasty: Ledger, tenant: str) -> None:
    keeper.check()
    hasty.acquire(tenant, DAY, owner=ELSEWHERE, run_id="run2", force=True)
    wait_for(lambda: is_lost(keeper))
    with pytest.raises(LeaseHeldError, match="run2"):
        keeper.check()
    with pytest.raises(LeaseHeldError, match="run2"):
        keeper.confirm()
    entry = hasty.find(tenant, DAY)
    assert entry is not None
    assert entry.run_id == "run2"


def test_a_lost_lease_is_never_confirmed_also_before_it_is_noticed(ledger: Ledger, tenant: str) -> None:
    with Heartbeat(ledger, ledger.acquire(tenant, DAY, owner=ELSEWHERE, run_id="run1")) as keeper:
        keeper.confirm()
        ledger.acquire(tenant, DAY, owner=ELSEWHERE, run_id="run2", force=True)
        keeper.check()  # nothing is known yet: the next renewal is far
        with pytest.raises(LeaseHeldError, match="run2"):
            keeper.confirm()


def test_a_confirmation_renews_the_lease(ledger: Ledger, tenant: str, clock: Clock) -> None:
    with Heartbeat(ledger, ledger.acquire(tenant, DAY, owner=ELSEWHERE, run_id="run1")) as keeper:
        clock.move(hours=1)
        keeper.confirm()
    entry = ledger.find(tenant, DAY)
    assert entry is not None
    assert entry.lease_until == format_timestamp(BEGIN + timedelta(hours=1) + LEASE)


@pytest.mark.parametrize("fault", ["read_fault", "write_fault"])
def test_a_store_that_is_down_confirms_nothing_and_loses_nothing(
    ledger: Ledger, store: FaultyStore, tenant: str, fault: str
) -> None:
    with Heartbeat(ledger, ledger.acquire(tenant, DAY, owner=ELSEWHERE, run_id="run1")) as keeper:
        setattr(store, fault, DOWN)
        with pytest.raises(RetryableError):
            keeper.confirm()
        keeper.check()
        setattr(store, fault, None)
        keeper.confirm()


def test_renewal_goes_on_after_answers_were_lost(
    keeper: Heartbeat, hasty: Ledger, store: FaultyStore, tenant: str, clock: Clock
) -> None:
    asked = threading.Event()

    def fall_silent(item: Item) -> None:
        asked.set()
        raise DOWN

    store.written = fall_silent
    assert asked.wait(WAIT_SECONDS)
    asked.clear()
    assert asked.wait(WAIT_SECONDS)  # it has asked again
    store.written = lambda item: None
    wait_for(is_renewed(hasty, tenant, clock))
    keeper.check()


def test_a_raised_token_is_the_lease_that_is_kept(keeper: Heartbeat, hasty: Ledger, tenant: str, clock: Clock) -> None:
    assert keeper.raise_token(above=5) is keeper.lease
    assert keeper.lease.token == 6
    wait_for(is_renewed(hasty, tenant, clock))
    keeper.confirm()


def test_a_renewal_between_a_raised_token_and_its_answer_loses_nothing(
    keeper: Heartbeat, hasty: Ledger, store: FaultyStore, tenant: str, clock: Clock
) -> None:
    (renewing,) = (thread for thread in threading.enumerate() if thread.name == "lease")

    def answer_late(item: Item) -> None:
        if item["token"] == 6 and threading.current_thread() is not renewing:
            store.written = lambda item: None
            renewing.join(timeout=1)  # time for some renewals

    store.written = answer_late
    keeper.raise_token(above=5)
    keeper.check()
    wait_for(is_renewed(hasty, tenant, clock))
