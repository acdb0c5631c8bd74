"""Ledger entries: transitions of a day, and the conversion to items of the metadata store."""

from dataclasses import fields, replace
from datetime import datetime, timedelta, timezone

import pytest

from daily_batch.domain.calendar import format_timestamp
from daily_batch.errors import LeaseHeldError
from daily_batch.ledger import Entry, Lease, Ledger
from daily_batch.ledger.entry import parse_timestamp
from daily_batch.ledger.item_codec import from_item, to_item
from daily_batch.ledger.transitions import acquire, complete, fail, hand_over, lease_held, renew
from tests.support.ledger_doubles import BEGIN, DAY, ELSEWHERE, LEASE, Clock, MemoryStore, make_receipt

LATER = BEGIN + timedelta(seconds=90)
AFTER = BEGIN + LEASE
RUNNING = Entry(
    tenant="acme",
    day=DAY,
    status="RUNNING",
    token=7,
    attempts=2,
    owner=ELSEWHERE,
    lease_until=format_timestamp(AFTER),
    run_id="run1",
    runner="local",
    started_at=format_timestamp(BEGIN),
    updated_at=format_timestamp(BEGIN),
)
SUBMITTED = replace(
    RUNNING, status="SUBMITTED", runner="spark", handed_over="too large", job_token="t0", job_id="job-1"
)
PUBLISHED = complete(RUNNING, receipt=make_receipt(), receipt_key="key1", output_path="out/acme", now=BEGIN)
WITH_REJECTS = complete(
    RUNNING, receipt=make_receipt(rejected=3), receipt_key="key1", output_path="out/acme", now=BEGIN
)
FAILED = fail(RUNNING, error="the store was down", now=BEGIN)
STATES = {
    "running": RUNNING,
    "submitted": SUBMITTED,
    "completed": PUBLISHED,
    "completed_with_rejects": WITH_REJECTS,
    "failed": FAILED,
}
WITH_LEASE = pytest.mark.parametrize("before", [RUNNING, SUBMITTED], ids=["running", "submitted"])
EVERY_STATE = pytest.mark.parametrize("before", STATES.values(), ids=STATES)
PLATFORM = {
    "PK": "TENANT#acme#BATCH",
    "SK": "DAILY#2025-08-12",
    "status": "COMPLETED",
    "message_count": 90,
    "output_path": "out/acme",
    "processed_at": "2025-08-12T17:00:00.000000Z",
    "batch_type": "daily_message_parquet",
}


def acquire_day(before: Entry | None, *, now: datetime, force: bool = False) -> Entry:
    return acquire(before, tenant="acme", day=DAY, owner="me:2:2", run_id="run2", now=now, lease=LEASE, force=force)


def changed_fields(before: Entry, after: Entry) -> dict[str, object]:
    """Return the fields that a transition changed."""
    names = [each.name for each in fields(Entry)]
    return {name: getattr(after, name) for name in names if getattr(before, name) != getattr(after, name)}


def test_unknown_day_is_acquired():
    assert acquire_day(None, now=BEGIN) == Entry(
        tenant="acme",
        day=DAY,
        status="RUNNING",
        token=1,
        attempts=1,
        owner="me:2:2",
        lease_until=format_timestamp(AFTER),
        run_id="run2",
        started_at=format_timestamp(BEGIN),
        updated_at=format_timestamp(BEGIN),
    )


@WITH_LEASE
@pytest.mark.parametrize("now", [BEGIN, AFTER - timedelta(microseconds=1)])
def test_valid_lease_is_not_replaced(before, now):
    assert before.is_leased(now)
    with pytest.raises(LeaseHeldError):
        acquire_day(before, now=now)


@WITH_LEASE
def test_expired_lease_is_replaced(before):
    assert not before.is_leased(AFTER)
    after = acquire_day(before, now=AFTER)
    assert (after.status, after.run_id, after.owner, after.token) == ("RUNNING", "run2", "me:2:2", 8)
    assert after.lease_until == format_timestamp(AFTER + LEASE)


@pytest.mark.parametrize("before", [PUBLISHED, WITH_REJECTS, FAILED])
def test_day_without_a_holder_is_acquired_at_once(before):
    assert not before.is_leased(BEGIN)
    assert acquire_day(before, now=BEGIN).status == "RUNNING"


@EVERY_STATE
def test_force_acquires_every_state_and_raises_the_token_by_one(before):
    after = acquire_day(before, now=BEGIN, force=True)
    assert (after.status, after.run_id, after.token) == ("RUNNING", "run2", before.token + 1)


@EVERY_STATE
def test_new_run_starts_without_job_runner_and_error(before):
    after = acquire_day(before, now=AFTER)
    assert (after.job_id, after.job_token, after.runner, after.error) == (None, None, None, None)
    assert (after.started_at, after.updated_at) == (format_timestamp(AFTER), format_timestamp(AFTER))


@EVERY_STATE
def test_new_run_keeps_what_describes_the_tables(before):
    after = acquire_day(before, now=AFTER)
    for name in ("message_count", "output_path", "processed_at", "fingerprint", "receipt", "seconds"):
        assert getattr(after, name) == getattr(before, name)


@pytest.mark.parametrize(
    ("before", "attempts"), [(RUNNING, 3), (SUBMITTED, 3), (FAILED, 3), (PUBLISHED, 1), (WITH_REJECTS, 1)]
)
def test_attempts_count_since_the_last_completion(before, attempts):
    assert acquire_day(before, now=AFTER).attempts == attempts


def test_reason_of_a_hand_over_stays_until_the_day_completes():
    failed = fail(SUBMITTED, error="lost", now=LATER)
    assert acquire_day(SUBMITTED, now=AFTER).handed_over == "too large"
    assert acquire_day(failed, now=AFTER).handed_over == "too large"
    published = complete(SUBMITTED, receipt=make_receipt(), receipt_key="k", output_path="o", now=LATER)
    assert published.handed_over is None
    assert acquire_day(replace(published, handed_over="too large"), now=AFTER).handed_over is None


@WITH_LEASE
def test_renewal_moves_the_end_of_the_lease_and_nothing_else(before):
    after = renew(before, now=LATER, lease=LEASE)
    assert changed_fields(before, after) == {
        "lease_until": format_timestamp(LATER + LEASE),
        "updated_at": format_timestamp(LATER),
    }


def test_renewal_never_shortens_a_lease():
    extended = hand_over(RUNNING, reason="r", job_token="t", job_id="j", now=BEGIN, lease=timedelta(hours=12))
    assert renew(extended, now=LATER, lease=LEASE).lease_until == extended.lease_until


@WITH_LEASE
def test_day_is_handed_over_first_without_a_job_then_with_it(before):
    requested = hand_over(before, reason="too slow", job_token="t1", job_id=None, now=LATER, lease=LEASE)
    assert (requested.status, requested.runner, requested.handed_over, requested.job_token) == (
        "SUBMITTED",
        "spark",
        "too slow",
        "t1",
    )
    assert requested.job_id is None
    assert requested.awaits_job_id
    submitted = hand_over(
        requested, reason="too slow", job_token="t1", job_id="job-9", now=LATER, lease=timedelta(hours=12)
    )
    assert changed_fields(requested, submitted) == {
        "job_id": "job-9",
        "lease_until": format_timestamp(LATER + timedelta(hours=12)),
    }
    assert not submitted.awaits_job_id


@WITH_LEASE
def test_hand_over_keeps_run_and_token(before):
    after = hand_over(before, reason="r", job_token="t", job_id="j", now=LATER, lease=LEASE)
    assert after.lease == before.lease == Lease(tenant="acme", day=DAY, run_id="run1", token=7)


def test_only_a_submitted_day_awaits_a_job_id():
    assert not RUNNING.awaits_job_id
    assert not SUBMITTED.awaits_job_id
    assert replace(SUBMITTED, job_id=None).awaits_job_id
    assert not fail(replace(SUBMITTED, job_id=None), error="e", now=LATER).awaits_job_id


@WITH_LEASE
@pytest.mark.parametrize(("rejected", "status"), [(0, "COMPLETED"), (3, "COMPLETED_WITH_REJECTS")])
def test_completed_day_has_its_receipts_values_and_no_lease(before, rejected, status):
    receipt = make_receipt(written=41, rejected=rejected)
    after = complete(before, receipt=receipt, receipt_key="key9", output_path="out/acme", now=LATER)
    assert (after.status, after.message_count, after.output_path) == (status, 41, "out/acme")
    assert after.processed_at == format_timestamp(LATER)
    assert (after.fingerprint, after.receipt, after.seconds) == ("print-of-run1", "key9", 5)
    assert (after.runner, after.error, after.lease_until) == ("local", None, None)
    assert after.is_complete
    assert not after.is_leased(LATER)
    assert after.token == before.token


@WITH_LEASE
def test_failed_day_has_its_error_and_no_lease(before):
    after = fail(before, error="denied", now=LATER)
    expected = {"status": "FAILED", "error": "denied", "lease_until": None, "updated_at": format_timestamp(LATER)}
    assert changed_fields(before, after) == expected | {"retryable": True}
    assert not after.is_complete
    assert not after.is_leased(LATER)


def test_failed_day_still_describes_its_tables():
    failed = fail(acquire_day(PUBLISHED, now=AFTER), error="denied", now=AFTER)
    assert (failed.status, failed.message_count, failed.fingerprint) == ("FAILED", 90, "print-of-run1")
    assert (failed.processed_at, failed.receipt) == (PUBLISHED.processed_at, "key1")


def test_lease_held_error_names_run_job_and_lease_end():
    error = lease_held(SUBMITTED)
    assert error.what == f"run run1 of {ELSEWHERE}, job job-1 holds the lease until {format_timestamp(AFTER)}"
    assert (error.tenant, error.day) == ("acme", "2025-08-12")
    assert error.exit_code == 4


def test_lease_held_error_names_no_job_without_one():
    assert "job" not in lease_held(RUNNING).what


@EVERY_STATE
def test_entry_survives_the_conversion_to_an_item(before):
    assert from_item(to_item(before)) == before


@EVERY_STATE
def test_item_has_the_platforms_keys(before):
    item = to_item(before)
    assert (item["PK"], item["SK"]) == ("TENANT#acme#BATCH", "DAILY#2025-08-12")
    assert item["batch_type"] == "daily_message_parquet"
    assert item["status"] == before.status
    assert {type(value) for value in item.values()} <= {str, int, bool, list, type(None)}


def test_completed_item_has_every_platform_field():
    assert {name: to_item(PUBLISHED)[name] for name in PLATFORM} == PLATFORM


def test_another_programs_item_is_readable_and_can_be_acquired():
    entry = from_item(PLATFORM)
    assert entry == Entry(
        tenant="acme",
        day=DAY,
        status="COMPLETED",
        message_count=90,
        output_path="out/acme",
        processed_at="2025-08-12T17:00:00.000000Z",
    )
    assert acquire_day(entry, now=BEGIN).token == 1


@pytest.mark.parametrize("status", ["processing", "completed", "", None, 3])
def test_status_of_another_program_counts_as_failed(status):
    entry = from_item({**PLATFORM, "status": status})
    assert entry.status == "FAILED"
    assert acquire_day(entry, now=BEGIN).status == "RUNNING"


def test_missing_status_counts_as_failed():
    item = {name: value for name, value in PLATFORM.items() if name != "status"}
    assert from_item(item).status == "FAILED"


def test_day_that_another_program_marks_running_has_no_lease():
    entry = from_item({**PLATFORM, "status": "RUNNING"})
    assert not entry.is_leased(BEGIN)
    assert acquire_day(entry, now=BEGIN).token == 1


def test_unknown_attributes_are_not_in_the_entry_and_stay_in_the_item():
    store = MemoryStore()
    extra_attributes = {"title": "会議", "cost": 3, "nested": {"list": [1]}}
    store.put({**PLATFORM, **extra_attributes}, expected=None)
    ledger = Ledger(store=store, clock=Clock(), lease=LEASE)
    lease = ledger.acquire("acme", DAY, owner=ELSEWHERE, run_id="run2")
    ledger.fail(lease, "denied")
    stored = store.get(PLATFORM["PK"], PLATFORM["SK"])
    assert stored is not None
    assert {name: stored.item[name] for name in extra_attributes} == extra_attributes
    assert stored.item["status"] == "FAILED"
    assert stored.item["message_count"] == 90


def test_tenant_may_be_named_like_the_parts_of_a_key():
    entry = replace(RUNNING, tenant="BATCH")
    assert from_item(to_item(entry)) == entry


@pytest.mark.parametrize("micros", [0, 1, 999_999])
def test_timestamps_survive_formatting_and_sort_by_time(micros):
    moment = BEGIN + timedelta(microseconds=micros)
    assert parse_timestamp(format_timestamp(moment)) == moment
    assert format_timestamp(moment) < format_timestamp(moment + timedelta(microseconds=1))


def test_timestamp_of_another_zone_is_formatted_in_utc():
    in_tokyo = BEGIN.astimezone(timezone(timedelta(hours=9)))
    assert format_timestamp(in_tokyo) == format_timestamp(BEGIN)
    assert parse_timestamp(format_timestamp(in_tokyo)) == BEGIN
