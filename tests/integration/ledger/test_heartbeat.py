"""The heartbeat renews a lease and notices its loss, in every metadata store."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from daily_batch.domain.calendar import format_timestamp
from daily_batch.errors import LeaseHeldError, RetryableError
from daily_batch.ledger import Ledger
from daily_batch.ledger.heartbeat import Heartbeat
from daily_batch.metadata import Item
from tests.support.ledger_doubles import BEGIN, DAY, ELSEWHERE, LEASE, Clock, FaultyStore

WAIT_SECONDS = 60
DOWN = RetryableError("the store is down", next_step="run the day again")


@pytest.fixture
def fast_ledger(ledger: Ledger) -> Ledger:
    """Return a ledger whose leases are renewed many times a second."""
    return replace(ledger, lease=timedelta(seconds=0.15))


@pytest.fixture
def heartbeat(fast_ledger: Ledger, tenant: str) -> Iterator[Heartbeat]:
    """Start the heartbeat of a new lease."""
    with Heartbeat(fast_ledger, fast_ledger.acquire(tenant, DAY, owner=ELSEWHERE, run_id="run1")) as heartbeat:
        yield heartbeat


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.02)


def is_renewed(ledger: Ledger, tenant: str, clock: Clock) -> Callable[[], bool]:
    """Move the clock; return a check of whether the lease has been renewed since."""
    clock.move(hours=1)
    until = format_timestamp(clock.now + timedelta(seconds=0.15))

    def check() -> bool:
        entry = ledger.find(tenant, DAY)
        return entry is not None and entry.lease_until == until

    return check


def is_lost(heartbeat: Heartbeat) -> bool:
    try:
        heartbeat.check()
    except LeaseHeldError:
        return True
    return False


def test_a_lease_is_renewed_repeatedly(heartbeat: Heartbeat, fast_ledger: Ledger, tenant: str, clock: Clock) -> None:
    wait_for(is_renewed(fast_ledger, tenant, clock))
    wait_for(is_renewed(fast_ledger, tenant, clock))
    heartbeat.check()
    with pytest.raises(LeaseHeldError):
        fast_ledger.acquire(tenant, DAY, owner=ELSEWHERE, run_id="run2")


def test_a_lease_is_not_renewed_after_its_run(ledger: Ledger, tenant: str) -> None:
    before = set(threading.enumerate())
    with Heartbeat(ledger, ledger.acquire(tenant, DAY, owner=ELSEWHERE, run_id="run1")):
        (added,) = set(threading.enumerate()) - before
    assert not added.is_alive()


def test_a_lost_lease_is_noticed(heartbeat: Heartbeat, fast_ledger: Ledger, tenant: str) -> None:
    heartbeat.check()
    fast_ledger.acquire(tenant, DAY, owner=ELSEWHERE, run_id="run2", force=True)
    wait_for(lambda: is_lost(heartbeat))
    with pytest.raises(LeaseHeldError, match="run2"):
        heartbeat.check()
    with pytest.raises(LeaseHeldError, match="run2"):
        heartbeat.confirm()
    entry = fast_ledger.find(tenant, DAY)
    assert entry is not None
    assert entry.run_id == "run2"


def test_a_lost_lease_is_not_confirmed_before_its_loss_is_noticed(ledger: Ledger, tenant: str) -> None:
    with Heartbeat(ledger, ledger.acquire(tenant, DAY, owner=ELSEWHERE, run_id="run1")) as heartbeat:
        heartbeat.confirm()
        ledger.acquire(tenant, DAY, owner=ELSEWHERE, run_id="run2", force=True)
        heartbeat.check()  # no renewal has noticed the loss yet
        with pytest.raises(LeaseHeldError, match="run2"):
            heartbeat.confirm()


def test_a_confirmation_renews_the_lease(ledger: Ledger, tenant: str, clock: Clock) -> None:
    with Heartbeat(ledger, ledger.acquire(tenant, DAY, owner=ELSEWHERE, run_id="run1")) as heartbeat:
        clock.move(hours=1)
        heartbeat.confirm()
    entry = ledger.find(tenant, DAY)
    assert entry is not None
    assert entry.lease_until == format_timestamp(BEGIN + timedelta(hours=1) + LEASE)


@pytest.mark.parametrize("fault", ["read_fault", "write_fault"])
def test_a_store_that_is_down_confirms_nothing_and_loses_nothing(
    ledger: Ledger, store: FaultyStore, tenant: str, fault: str
) -> None:
    with Heartbeat(ledger, ledger.acquire(tenant, DAY, owner=ELSEWHERE, run_id="run1")) as heartbeat:
        setattr(store, fault, DOWN)
        with pytest.raises(RetryableError):
            heartbeat.confirm()
        heartbeat.check()
        setattr(store, fault, None)
        heartbeat.confirm()


def test_renewal_continues_after_lost_answers(
    heartbeat: Heartbeat, fast_ledger: Ledger, store: FaultyStore, tenant: str, clock: Clock
) -> None:
    attempted = threading.Event()

    def lose_answer(item: Item) -> None:
        attempted.set()
        raise DOWN

    store.written = lose_answer
    assert attempted.wait(WAIT_SECONDS)
    attempted.clear()
    assert attempted.wait(WAIT_SECONDS)  # the renewal is tried again
    store.written = lambda item: None
    wait_for(is_renewed(fast_ledger, tenant, clock))
    heartbeat.check()


def test_the_raised_lease_is_renewed(heartbeat: Heartbeat, fast_ledger: Ledger, tenant: str, clock: Clock) -> None:
    assert heartbeat.raise_token(above=5) is heartbeat.lease
    assert heartbeat.lease.token == 6
    wait_for(is_renewed(fast_ledger, tenant, clock))
    heartbeat.confirm()


def test_a_renewal_while_the_token_is_raised_does_not_lose_the_lease(
    heartbeat: Heartbeat, fast_ledger: Ledger, store: FaultyStore, tenant: str, clock: Clock
) -> None:
    (renewing,) = (thread for thread in threading.enumerate() if thread.name == "lease")

    def answer_late(item: Item) -> None:
        if item["token"] == 6 and threading.current_thread() is not renewing:
            store.written = lambda item: None
            renewing.join(timeout=1)  # time for several renewals

    store.written = answer_late
    heartbeat.raise_token(above=5)
    heartbeat.check()
    wait_for(is_renewed(fast_ledger, tenant, clock))
