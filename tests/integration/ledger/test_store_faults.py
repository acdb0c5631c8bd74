"""The ledger when its metadata store loses answers, is down or reports conflicts, in every metadata store."""

from collections.abc import Callable

import pytest

from daily_batch.errors import RetryableError
from daily_batch.ledger import Entry, Lease, Ledger
from daily_batch.metadata import VersionConflictError
from tests.support.ledger_changes import EVERY_CHANGE, Change, acquire, fail, find
from tests.support.ledger_doubles import DAY, FaultyStore

LOST_ANSWERS = pytest.mark.parametrize(
    "answer",
    [VersionConflictError(), RetryableError("the answer is lost", next_step="try again")],
    ids=["overtaken", "retryable"],
)


def repeat_after(answer: Exception, act: Callable[[], object]) -> object:
    """Run a call whose answer is lost; the caller sees the error unless it is the store's own conflict."""
    if isinstance(answer, RetryableError):
        with pytest.raises(RetryableError):
            act()
    return act()


@LOST_ANSWERS
def test_a_lost_answer_to_acquire_returns_the_same_lease(
    ledger: Ledger, store: FaultyStore, tenant: str, answer: Exception
) -> None:
    store.lost = [answer]
    lease = repeat_after(answer, lambda: acquire(ledger, tenant, "run1"))
    assert lease == Lease(tenant=tenant, day=DAY, run_id="run1", token=1)
    assert (find(ledger, tenant).token, find(ledger, tenant).attempts) == (1, 1)


@LOST_ANSWERS
def test_a_lost_answer_to_a_take_over_keeps_its_mark(
    ledger: Ledger, store: FaultyStore, tenant: str, answer: Exception
) -> None:
    acquire(ledger, tenant, "run1")
    store.lost = [answer]
    lease = repeat_after(answer, lambda: acquire(ledger, tenant, "run2", force=True))
    assert lease == Lease(tenant=tenant, day=DAY, run_id="run2", token=2, taken_over=True)


def test_a_lost_run_stays_marked_when_the_next_one_fails(ledger: Ledger, tenant: str) -> None:
    acquire(ledger, tenant, "run1")  # and never reports back
    fail(ledger, acquire(ledger, tenant, "run2", force=True))
    assert acquire(ledger, tenant, "run3").taken_over


@LOST_ANSWERS
@EVERY_CHANGE
def test_a_lost_answer_to_a_change_leads_to_the_same_entry(
    ledger: Ledger, store: FaultyStore, tenant: str, change: Change, answer: Exception
) -> None:
    change(ledger, acquire(ledger, f"{tenant}-2", "run1"))
    lease = acquire(ledger, tenant, "run1")
    store.lost = [answer]
    repeat_after(answer, lambda: change(ledger, lease))
    assert store.lost == []
    once, twice = to_compare(find(ledger, f"{tenant}-2")), to_compare(find(ledger, tenant))
    assert once == twice


def to_compare(entry: Entry) -> dict[str, object]:
    return {name: value for name, value in vars(entry).items() if name != "tenant"}


@pytest.mark.parametrize("fault", ["read_fault", "write_fault"])
@EVERY_CHANGE
def test_a_store_that_is_down_changes_nothing(
    ledger: Ledger, store: FaultyStore, tenant: str, change: Change, fault: str
) -> None:
    lease = acquire(ledger, tenant, "run1")
    before = find(ledger, tenant)
    setattr(store, fault, RetryableError("the store is down", next_step="run the day again"))
    with pytest.raises(RetryableError):
        change(ledger, lease)
    with pytest.raises(RetryableError):
        acquire(ledger, tenant, "run2", force=True)
    setattr(store, fault, None)
    assert find(ledger, tenant) == before


def test_a_store_that_is_down_is_not_mistaken_for_an_unknown_day(ledger: Ledger, store: FaultyStore) -> None:
    store.read_fault = RetryableError("the store is down", next_step="run the day again")
    with pytest.raises(RetryableError):
        ledger.find("acme", DAY)
    with pytest.raises(RetryableError):
        list(ledger.days("acme", DAY, DAY))
    with pytest.raises(RetryableError):
        ledger.tenants()


def test_endless_conflicts_end_with_an_error(ledger: Ledger, store: FaultyStore, tenant: str) -> None:
    lease = acquire(ledger, tenant, "run1")
    store.write_fault = VersionConflictError()
    with pytest.raises(RetryableError, match="faster") as given_up:
        ledger.renew(lease)
    assert (given_up.value.tenant, given_up.value.day) == (tenant, "2025-08-12")
