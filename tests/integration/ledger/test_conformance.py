"""The behaviour of the ledger, in every metadata store."""

import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from datetime import date, timedelta

import pytest

from daily_batch.domain.calendar import format_timestamp
from daily_batch.errors import BatchError, LeaseHeldError
from daily_batch.ledger import Entry, Lease, Ledger
from tests.support.ledger_changes import (
    EVERY_CHANGE,
    HOURS,
    Change,
    acquire,
    complete,
    fail,
    find,
    hand_over,
    record,
)
from tests.support.ledger_doubles import BEGIN, DAY, ELSEWHERE, LEASE, Clock, make_receipt
from tests.support.metadata_backends import Backend


def test_a_day_without_a_run_has_no_entry(ledger: Ledger, tenant: str) -> None:
    assert ledger.find(tenant, DAY) is None
    assert list(ledger.days(tenant, DAY, DAY)) == []


def test_a_day_is_acquired(ledger: Ledger, tenant: str) -> None:
    assert acquire(ledger, tenant, "run1") == Lease(tenant=tenant, day=DAY, run_id="run1", token=1)
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


def test_the_error_names_the_holders_run_job_and_lease_end(ledger: Ledger, tenant: str) -> None:
    hand_over(ledger, acquire(ledger, tenant, "run1"))
    with pytest.raises(LeaseHeldError) as refused:
        acquire(ledger, tenant, "run2")
    named = str(refused.value)
    expected = (tenant, "2025-08-12", "run1", ELSEWHERE, "job-1", format_timestamp(BEGIN + HOURS))
    assert [word for word in expected if word not in named] == []


def test_a_lease_is_valid_until_it_ends(ledger: Ledger, tenant: str, clock: Clock) -> None:
    acquire(ledger, tenant, "run1")
    clock.now = BEGIN + LEASE - timedelta(microseconds=1)
    with pytest.raises(LeaseHeldError):
        acquire(ledger, tenant, "run2")
    clock.now = BEGIN + LEASE
    assert acquire(ledger, tenant, "run2") == Lease(tenant=tenant, day=DAY, run_id="run2", token=2, taken_over=True)


def test_a_renewed_lease_is_valid_for_longer(ledger: Ledger, tenant: str, clock: Clock) -> None:
    lease = acquire(ledger, tenant, "run1")
    clock.move(seconds=100)
    ledger.renew(lease)
    clock.move(seconds=100)
    with pytest.raises(LeaseHeldError):
        acquire(ledger, tenant, "run2")
    clock.move(seconds=20)
    assert acquire(ledger, tenant, "run2").token == 2


def test_an_expired_lease_can_be_renewed_until_the_day_is_acquired(ledger: Ledger, tenant: str, clock: Clock) -> None:
    lease = acquire(ledger, tenant, "run1")
    clock.move(hours=1)
    ledger.renew(lease)
    with pytest.raises(LeaseHeldError):
        acquire(ledger, tenant, "run2")


def test_force_replaces_a_valid_lease(ledger: Ledger, tenant: str) -> None:
    acquire(ledger, tenant, "run1")
    assert acquire(ledger, tenant, "run2", force=True) == Lease(
        tenant=tenant, day=DAY, run_id="run2", token=2, taken_over=True
    )


@EVERY_CHANGE
def test_a_run_that_lost_its_lease_changes_nothing(ledger: Ledger, tenant: str, change: Change) -> None:
    lost = acquire(ledger, tenant, "run1")
    acquire(ledger, tenant, "run2", owner="third:3:3", force=True)
    before = find(ledger, tenant)
    with pytest.raises(LeaseHeldError, match=r"run2 of third:3:3 has acquired it"):
        change(ledger, lost)
    assert find(ledger, tenant) == before


@EVERY_CHANGE
def test_a_deleted_item_is_not_created_again(ledger: Ledger, tenant: str, change: Change) -> None:
    with pytest.raises(LeaseHeldError, match="gone"):
        change(ledger, Lease(tenant=tenant, day=DAY, run_id="run1", token=1))
    assert ledger.find(tenant, DAY) is None


@pytest.mark.parametrize("end", [complete, fail])
def test_a_day_whose_run_ended_is_acquired_without_taking_over(ledger: Ledger, tenant: str, end: Change) -> None:
    end(ledger, acquire(ledger, tenant, "run1"))
    assert acquire(ledger, tenant, "run2") == Lease(tenant=tenant, day=DAY, run_id="run2", token=2)


def test_a_completed_day_describes_what_was_published(ledger: Ledger, tenant: str) -> None:
    complete(ledger, acquire(ledger, tenant, "run1"))
    entry = find(ledger, tenant)
    assert entry.is_complete
    assert (entry.message_count, entry.output_path, entry.receipt) == (90, "out/tables", "key1")
    assert (entry.processed_at, entry.fingerprint) == (format_timestamp(BEGIN), "print-of-run1")


def test_a_failed_day_has_its_error_and_describes_its_tables(ledger: Ledger, tenant: str) -> None:
    complete(ledger, acquire(ledger, tenant, "run1"))
    fail(ledger, acquire(ledger, tenant, "run2"))
    entry = find(ledger, tenant)
    assert (entry.status, entry.error, entry.message_count, entry.receipt) == ("FAILED", "denied", 90, "key1")


@pytest.mark.parametrize("late", [fail, hand_over])
def test_a_completed_day_ignores_later_reports_of_its_run(ledger: Ledger, tenant: str, late: Change) -> None:
    lease = acquire(ledger, tenant, "run1")
    complete(ledger, lease)
    with suppress(BatchError):  # an error is acceptable, too
        late(ledger, lease)
    assert find(ledger, tenant).is_complete


def test_a_completed_day_has_its_fields_by_name(ledger: Ledger, tenant: str) -> None:
    receipt = replace(make_receipt(tenant=tenant), unknown_fields={"client": 9, "theme": 1})
    lease = acquire(ledger, tenant, "run1")
    ledger.complete(lease, receipt, receipt_key="key1", output_path="out/tables", new_fields=("theme",))
    entry = find(ledger, tenant)
    assert (entry.unknown_fields, entry.new_fields) == (("client", "theme"), ("theme",))
    complete(ledger, acquire(ledger, tenant, "run2"))
    entry = find(ledger, tenant)
    assert (entry.unknown_fields, entry.new_fields) == ((), None)


def test_a_handed_over_day_is_held_for_the_given_duration(ledger: Ledger, tenant: str, clock: Clock) -> None:
    lease = acquire(ledger, tenant, "run1")
    ledger.hand_over(lease, reason="too large", job_token="t1")
    assert find(ledger, tenant).awaits_job_id
    assert find(ledger, tenant).lease_until == format_timestamp(BEGIN + LEASE)
    hand_over(ledger, lease)
    assert not find(ledger, tenant).awaits_job_id
    clock.now = BEGIN + HOURS - timedelta(seconds=1)
    with pytest.raises(LeaseHeldError):
        acquire(ledger, tenant, "run2")
    clock.now = BEGIN + HOURS
    assert acquire(ledger, tenant, "run2").taken_over


def test_a_hand_over_without_a_duration_blocks_nobody(ledger: Ledger, tenant: str) -> None:
    lease = acquire(ledger, tenant, "run1")
    ledger.hand_over(lease, reason="too large", job_token="t1", duration=timedelta(0))
    assert acquire(ledger, tenant, "run2").token == 2


def test_recording_the_runner_changes_nothing_else(ledger: Ledger, tenant: str) -> None:
    lease = acquire(ledger, tenant, "run1")
    before = find(ledger, tenant)
    record(ledger, lease)
    after = find(ledger, tenant)
    assert (after.runner, after.handed_over) == ("spark", "too large")
    assert (after.status, after.token, after.lease_until) == (before.status, before.token, before.lease_until)


def test_a_token_is_raised_above_that_of_the_tables(ledger: Ledger, tenant: str) -> None:
    first = acquire(ledger, tenant, "run1")
    raised = ledger.raise_token(first, above=5)
    assert (raised.token, raised.run_id, find(ledger, tenant).token) == (6, "run1", 6)
    ledger.renew(raised)
    with pytest.raises(LeaseHeldError):
        ledger.renew(first)
    assert acquire(ledger, tenant, "run2", force=True).token == 7


@pytest.mark.parametrize("above", [0, 1])
def test_a_token_that_is_high_enough_stays(ledger: Ledger, tenant: str, above: int) -> None:
    fail(ledger, acquire(ledger, tenant, "run1"))
    lease = acquire(ledger, tenant, "run2")
    assert ledger.raise_token(lease, above=above) == lease
    assert find(ledger, tenant).token == 2


def test_a_token_equal_to_that_of_the_tables_is_raised(ledger: Ledger, tenant: str) -> None:
    assert ledger.raise_token(acquire(ledger, tenant, "run1"), above=1).token == 2


def test_days_come_in_order_with_both_ends_and_without_other_tenants(ledger: Ledger, tenant: str) -> None:
    days = [date(2025, 8, 31), date(2025, 9, 1), date(2025, 9, 2), date(2025, 9, 3)]
    for day in reversed(days):
        ledger.acquire(tenant, day, owner=ELSEWHERE, run_id="run1")
        ledger.acquire(f"{tenant}-2", day, owner=ELSEWHERE, run_id="run1")
    found = list(ledger.days(tenant, days[1], days[2]))
    assert [(entry.tenant, entry.day) for entry in found] == [(tenant, days[1]), (tenant, days[2])]
    assert [entry.day for entry in ledger.days(tenant, days[0], days[3])] == days


def test_tenants_are_those_of_the_metadata_store(backend: Backend, ledger: Ledger, tenant: str) -> None:
    assert tenant not in ledger.tenants()
    backend.plant({"PK": "SYSTEM#TENANTS", "SK": f"TENANT#{tenant}", "tenant_id": tenant})
    assert ledger.tenants().count(tenant) == 1


def test_the_item_of_another_program_is_read_and_acquired(backend: Backend, ledger: Ledger, tenant: str) -> None:
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
    fail(ledger, acquire(ledger, tenant, "run1"))
    (item,) = backend.connect().query(f"TENANT#{tenant}#BATCH", first="DAILY#", last="DAILY$")
    assert (item["status"], item["token"], item["message_count"]) == ("FAILED", 1, 12)
    assert item["written_by"] == "another program"


@pytest.fixture(scope="module")
def dead_owner() -> str:
    """Return the name of a process of this machine that has ended."""
    program = "from daily_batch.ledger.process import current_process; print(current_process())"
    return subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def test_a_dead_process_s_lease_is_replaced_at_once(ledger: Ledger, tenant: str, dead_owner: str) -> None:
    acquire(ledger, tenant, "run1", owner=dead_owner)
    assert acquire(ledger, tenant, "run2") == Lease(tenant=tenant, day=DAY, run_id="run2", token=2, taken_over=True)


def test_the_job_of_a_dead_process_continues(ledger: Ledger, tenant: str, dead_owner: str) -> None:
    hand_over(ledger, acquire(ledger, tenant, "run1", owner=dead_owner))
    with pytest.raises(LeaseHeldError):
        acquire(ledger, tenant, "run2")
