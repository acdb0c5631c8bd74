"""What the ledger must do in every metadata store."""

import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import date, timedelta

import pytest

from daily_batch.errors import BatchError, LeaseHeldError, RetryableError
from daily_batch.ledger import Entry, Lease, Ledger
from daily_batch.ledger.entry import format_timestamp
from daily_batch.metadata import VersionConflictError
from tests.support.ledger_doubles import BEGIN, DAY, ELSEWHERE, LEASE, Clock, FaultyStore, make_receipt
from tests.support.metadata_backends import Backend

Change = Callable[[Ledger, Lease], object]
HOURS = timedelta(hours=12)


def renew(ledger: Ledger, lease: Lease) -> None:
    ledger.renew(lease)


def note(ledger: Ledger, lease: Lease) -> None:
    ledger.record(lease, runner="spark", handed_over="too large")


def hand_over(ledger: Ledger, lease: Lease) -> None:
    ledger.hand_over(lease, reason="too large", job_token="t1", job_id="job-1", duration=HOURS)


def complete(ledger: Ledger, lease: Lease) -> None:
    receipt = make_receipt(tenant=lease.tenant, run_id=lease.run_id)
    ledger.complete(lease, receipt, receipt_key="key1", output_path="out/tables")


def fail(ledger: Ledger, lease: Lease) -> None:
    ledger.fail(lease, "denied")


def raise_token(ledger: Ledger, lease: Lease) -> Lease:
    return ledger.raise_token(lease, above=lease.token + 4)


EVERY_CHANGE = pytest.mark.parametrize("change", [renew, note, hand_over, complete, fail, raise_token])
LOST_ANSWERS = pytest.mark.parametrize(
    "answer",
    [VersionConflictError(), RetryableError("the answer is lost", next_step="try again")],
    ids=["overtaken", "retryable"],
)


def take(ledger: Ledger, tenant: str, run_id: str, *, owner: str = ELSEWHERE, force: bool = False) -> Lease:
    return ledger.acquire(tenant, DAY, owner=owner, run_id=run_id, force=force)


def find(ledger: Ledger, tenant: str) -> Entry:
    entry = ledger.find(tenant, DAY)
    assert entry is not None
    return entry


def again_after(answer: Exception, act: Callable[[], object]) -> object:
    """Do something whose answer is lost; the caller learns of it only when the error is not the store's own word."""
    if isinstance(answer, RetryableError):
        with pytest.raises(RetryableError):
            act()
    return act()


def test_a_day_that_nobody_took_is_not_known(ledger: Ledger, tenant: str) -> None:
    assert ledger.find(tenant, DAY) is None
    assert list(ledger.days(tenant, DAY, DAY)) == []


def test_a_day_is_taken(ledger: Ledger, tenant: str) -> None:
    assert take(ledger, tenant, "run1") == Lease(tenant=tenant, day=DAY, run_id="run1", token=1)
    assert find(ledger, tenant) == Entry(
        tenant=tenant,
        day=DAY,
        status="RUNNING",
        token=1,
        attempts=1,
        owner=ELSEWHERE,
        run_id="run1",
        lease_until=format_timestamp(BEGIN + LEASE),
        started_at=format_timestamp(BEGIN),
        updated_at=format_timestamp(BEGIN),
    )


def test_who_holds_a_lease_is_named_with_run_job_and_end(ledger: Ledger, tenant: str) -> None:
    hand_over(ledger, take(ledger, tenant, "run1"))
    with pytest.raises(LeaseHeldError) as refused:
        take(ledger, tenant, "run2")
    named = str(refused.value)
    expected = (tenant, "2025-08-12", "run1", ELSEWHERE, "job-1", format_timestamp(BEGIN + HOURS))
    assert [word for word in expected if word not in named] == []


def test_a_lease_is_held_until_it_ends(ledger: Ledger, tenant: str, clock: Clock) -> None:
    take(ledger, tenant, "run1")
    clock.now = BEGIN + LEASE - timedelta(microseconds=1)
    with pytest.raises(LeaseHeldError):
        take(ledger, tenant, "run2")
    clock.now = BEGIN + LEASE
    assert take(ledger, tenant, "run2") == Lease(tenant=tenant, day=DAY, run_id="run2", token=2, taken_over=True)


def test_a_renewed_lease_is_held_for_longer(ledger: Ledger, tenant: str, clock: Clock) -> None:
    lease = take(ledger, tenant, "run1")
    clock.move(seconds=100)
    ledger.renew(lease)
    clock.move(seconds=100)
    with pytest.raises(LeaseHeldError):
        take(ledger, tenant, "run2")
    clock.move(seconds=20)
    assert take(ledger, tenant, "run2").token == 2


def test_a_lease_that_ended_and_that_nobody_took_can_be_renewed(ledger: Ledger, tenant: str, clock: Clock) -> None:
    lease = take(ledger, tenant, "run1")
    clock.move(hours=1)
    ledger.renew(lease)
    with pytest.raises(LeaseHeldError):
        take(ledger, tenant, "run2")


def test_force_takes_a_lease_that_has_not_ended(ledger: Ledger, tenant: str) -> None:
    take(ledger, tenant, "run1")
    assert take(ledger, tenant, "run2", force=True) == Lease(
        tenant=tenant, day=DAY, run_id="run2", token=2, taken_over=True
    )


@EVERY_CHANGE
def test_a_run_that_lost_its_lease_changes_nothing(ledger: Ledger, tenant: str, change: Change) -> None:
    lost = take(ledger, tenant, "run1")
    take(ledger, tenant, "run2", owner="third:3:3", force=True)
    before = find(ledger, tenant)
    with pytest.raises(LeaseHeldError, match=r"run2 of third:3:3 has acquired it"):
        change(ledger, lost)
    assert find(ledger, tenant) == before


@EVERY_CHANGE
def test_an_item_that_is_gone_is_not_made_again(ledger: Ledger, tenant: str, change: Change) -> None:
    with pytest.raises(LeaseHeldError, match="gone"):
        change(ledger, Lease(tenant=tenant, day=DAY, run_id="run1", token=1))
    assert ledger.find(tenant, DAY) is None


@pytest.mark.parametrize("end", [complete, fail])
def test_a_day_that_ended_is_taken_at_once_and_not_taken_over(ledger: Ledger, tenant: str, end: Change) -> None:
    end(ledger, take(ledger, tenant, "run1"))
    assert take(ledger, tenant, "run2") == Lease(tenant=tenant, day=DAY, run_id="run2", token=2)


def test_a_completed_day_says_what_was_published(ledger: Ledger, tenant: str) -> None:
    complete(ledger, take(ledger, tenant, "run1"))
    entry = find(ledger, tenant)
    assert entry.is_complete
    assert (entry.message_count, entry.output_path, entry.receipt) == (90, "out/tables", "key1")
    assert (entry.processed_at, entry.fingerprint) == (format_timestamp(BEGIN), "print-of-run1")


def test_a_failed_day_says_why_and_what_it_held_before(ledger: Ledger, tenant: str) -> None:
    complete(ledger, take(ledger, tenant, "run1"))
    fail(ledger, take(ledger, tenant, "run2"))
    entry = find(ledger, tenant)
    assert (entry.status, entry.error, entry.message_count, entry.receipt) == ("FAILED", "denied", 90, "key1")


@pytest.mark.parametrize("late", [fail, hand_over])
def test_a_completed_day_stays_completed_whatever_its_own_run_says_later(
    ledger: Ledger, tenant: str, late: Change
) -> None:
    lease = take(ledger, tenant, "run1")
    complete(ledger, lease)
    with suppress(BatchError):  # a refusal is as good
        late(ledger, lease)
    assert find(ledger, tenant).is_complete


def test_a_handed_over_day_is_held_as_long_as_was_said(ledger: Ledger, tenant: str, clock: Clock) -> None:
    lease = take(ledger, tenant, "run1")
    ledger.hand_over(lease, reason="too large", job_token="t1")
    assert find(ledger, tenant).awaits_job_id
    assert find(ledger, tenant).lease_until == format_timestamp(BEGIN + LEASE)
    hand_over(ledger, lease)
    assert not find(ledger, tenant).awaits_job_id
    clock.now = BEGIN + HOURS - timedelta(seconds=1)
    with pytest.raises(LeaseHeldError):
        take(ledger, tenant, "run2")
    clock.now = BEGIN + HOURS
    assert take(ledger, tenant, "run2").taken_over


def test_a_hand_over_that_lasts_no_time_holds_nobody_up(ledger: Ledger, tenant: str) -> None:
    lease = take(ledger, tenant, "run1")
    ledger.hand_over(lease, reason="too large", job_token="t1", duration=timedelta(0))
    assert take(ledger, tenant, "run2").token == 2


def test_a_note_of_the_runner_changes_nothing_else(ledger: Ledger, tenant: str) -> None:
    lease = take(ledger, tenant, "run1")
    before = find(ledger, tenant)
    note(ledger, lease)
    after = find(ledger, tenant)
    assert (after.runner, after.handed_over) == ("spark", "too large")
    assert (after.status, after.token, after.lease_until) == (before.status, before.token, before.lease_until)


def test_a_token_is_raised_above_what_the_tables_hold(ledger: Ledger, tenant: str) -> None:
    first = take(ledger, tenant, "run1")
    raised = ledger.raise_token(first, above=5)
    assert (raised.token, raised.run_id, find(ledger, tenant).token) == (6, "run1", 6)
    ledger.renew(raised)
    with pytest.raises(LeaseHeldError):
        ledger.renew(first)
    assert take(ledger, tenant, "run2", force=True).token == 7


@pytest.mark.parametrize("above", [0, 1])
def test_a_token_that_is_high_enough_stays(ledger: Ledger, tenant: str, above: int) -> None:
    fail(ledger, take(ledger, tenant, "run1"))
    lease = take(ledger, tenant, "run2")
    assert ledger.raise_token(lease, above=above) == lease
    assert find(ledger, tenant).token == 2


def test_a_token_that_the_tables_hold_already_is_raised(ledger: Ledger, tenant: str) -> None:
    assert ledger.raise_token(take(ledger, tenant, "run1"), above=1).token == 2


def test_days_come_in_order_with_both_ends_and_without_other_tenants(ledger: Ledger, tenant: str) -> None:
    days = [date(2025, 8, 31), date(2025, 9, 1), date(2025, 9, 2), date(2025, 9, 3)]
    for day in reversed(days):
        ledger.acquire(tenant, day, owner=ELSEWHERE, run_id="run1")
        ledger.acquire(f"{tenant}-2", day, owner=ELSEWHERE, run_id="run1")
    found = list(ledger.days(tenant, days[1], days[2]))
    assert [(entry.tenant, entry.day) for entry in found] == [(tenant, days[1]), (tenant, days[2])]
    assert [entry.day for entry in ledger.days(tenant, days[0], days[3])] == days


def test_tenants_are_those_that_the_platform_names(backend: Backend, ledger: Ledger, tenant: str) -> None:
    assert tenant not in ledger.tenants()
    backend.plant({"PK": "SYSTEM#TENANTS", "SK": f"TENANT#{tenant}", "tenant_id": tenant})
    assert ledger.tenants().count(tenant) == 1


def test_a_day_of_another_program_is_read_and_taken_in_its_place(backend: Backend, ledger: Ledger, tenant: str) -> None:
    backend.plant(
        {
            "PK": f"TENANT#{tenant}#BATCH",
            "SK": "DAILY#2025-08-12",
            "status": "COMPLETED",
            "message_count": 12,
            "output_path": "theirs/tables",
            "processed_at": "2025-08-12T17:00:00Z",
            "batch_type": "daily_message_parquet",
            "written_by": "another program",
        }
    )
    assert (find(ledger, tenant).is_complete, find(ledger, tenant).message_count) == (True, 12)
    fail(ledger, take(ledger, tenant, "run1"))
    (item,) = backend.connect().query(f"TENANT#{tenant}#BATCH", first="DAILY#", last="DAILY$")
    assert (item["status"], item["token"], item["message_count"]) == ("FAILED", 1, 12)
    assert item["written_by"] == "another program"


@pytest.fixture(scope="module")
def dead_owner() -> str:
    """A process of this machine that is no more."""
    program = "from daily_batch.ledger.process import current_process; print(current_process())"
    return subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def test_a_dead_owner_s_running_lease_is_taken_at_once(ledger: Ledger, tenant: str, dead_owner: str) -> None:
    take(ledger, tenant, "run1", owner=dead_owner)
    assert take(ledger, tenant, "run2") == Lease(tenant=tenant, day=DAY, run_id="run2", token=2, taken_over=True)


def test_a_dead_owner_s_job_goes_on(ledger: Ledger, tenant: str, dead_owner: str) -> None:
    hand_over(ledger, take(ledger, tenant, "run1", owner=dead_owner))
    with pytest.raises(LeaseHeldError):
        take(ledger, tenant, "run2")


@LOST_ANSWERS
def test_a_lost_answer_to_a_take_gives_the_same_lease(
    ledger: Ledger, store: FaultyStore, tenant: str, answer: Exception
) -> None:
    store.lost = [answer]
    lease = again_after(answer, lambda: take(ledger, tenant, "run1"))
    assert lease == Lease(tenant=tenant, day=DAY, run_id="run1", token=1)
    assert (find(ledger, tenant).token, find(ledger, tenant).attempts) == (1, 1)


@LOST_ANSWERS
def test_a_lost_answer_to_a_take_over_still_says_that_it_was_one(
    ledger: Ledger, store: FaultyStore, tenant: str, answer: Exception
) -> None:
    take(ledger, tenant, "run1")
    store.lost = [answer]
    lease = again_after(answer, lambda: take(ledger, tenant, "run2", force=True))
    assert lease == Lease(tenant=tenant, day=DAY, run_id="run2", token=2, taken_over=True)


def test_a_run_that_was_never_heard_of_is_remembered_when_the_next_one_fails(ledger: Ledger, tenant: str) -> None:
    take(ledger, tenant, "run1")  # and is heard of no more
    fail(ledger, take(ledger, tenant, "run2", force=True))
    assert take(ledger, tenant, "run3").taken_over


@LOST_ANSWERS
@EVERY_CHANGE
def test_a_lost_answer_to_a_change_leads_to_the_same_entry(
    ledger: Ledger, store: FaultyStore, tenant: str, change: Change, answer: Exception
) -> None:
    change(ledger, take(ledger, f"{tenant}-2", "run1"))
    lease = take(ledger, tenant, "run1")
    store.lost = [answer]
    again_after(answer, lambda: change(ledger, lease))
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
    lease = take(ledger, tenant, "run1")
    before = find(ledger, tenant)
    setattr(store, fault, RetryableError("the store is down", next_step="run the day again"))
    with pytest.raises(RetryableError):
        change(ledger, lease)
    with pytest.raises(RetryableError):
        take(ledger, tenant, "run2", force=True)
    setattr(store, fault, None)
    assert find(ledger, tenant) == before


def test_a_store_that_is_down_is_not_taken_for_a_day_that_nobody_knows(ledger: Ledger, store: FaultyStore) -> None:
    store.read_fault = RetryableError("the store is down", next_step="run the day again")
    with pytest.raises(RetryableError):
        ledger.find("acme", DAY)
    with pytest.raises(RetryableError):
        list(ledger.days("acme", DAY, DAY))
    with pytest.raises(RetryableError):
        ledger.tenants()


def test_who_is_overtaken_forever_gives_up_and_says_so(ledger: Ledger, store: FaultyStore, tenant: str) -> None:
    lease = take(ledger, tenant, "run1")
    store.write_fault = VersionConflictError()
    with pytest.raises(RetryableError, match="faster") as given_up:
        ledger.renew(lease)
    assert (given_up.value.tenant, given_up.value.day) == (tenant, "2025-08-12")
