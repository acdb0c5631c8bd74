"""Corrupt items of the ledger: an error with tenant, day and the next step, in every store."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer.testing
from boto3.dynamodb.types import Binary

from daily_batch import cli
from daily_batch.domain.calendar import format_timestamp
from daily_batch.errors import LeaseHeldError, TerminalError, UsageError
from daily_batch.ledger import Entry, Ledger
from daily_batch.ledger.entry import MAX_CLOCK_SKEW, MAX_JOB_LEASE, MAX_LEASE
from daily_batch.ledger.item_codec import from_item, is_day, to_item
from daily_batch.ledger.transitions import acquire, hand_over, hold
from daily_batch.metadata import keys
from daily_batch.metadata.sqlite import SqliteStore
from daily_batch.orchestration.day_status import day_status, describe
from daily_batch.orchestration.submission import JOB_GRACE
from daily_batch.settings import load_settings
from tests.support.adversarial_events import SECRET
from tests.support.day_runs import ROOT
from tests.support.ledger_doubles import BEGIN, DAY, ELSEWHERE, LEASE, Clock, FaultyStore
from tests.support.metadata_backends import Backend, dynamodb_backend
from tests.support.metadata_servers import DynamoDbTable

CORRUPT: dict[str, Any] = {
    "token": "seven",
    "taken_over": "no",
    "attempts": "2",
    "message_count": "90",
    "output_path": 7,
    "owner": ["me"],
    "lease_until": "tomorrow",
    "run_id": {"id": SECRET},
    "executors": "3",
    "billed": [1],
    "cost_usd": "free",
    "error": {"what": SECRET},
    "retryable": "yes",
    "asked_at": "2025-02-30T00:00:00Z",
    "updated_at": 1755018000,
    "started_at": "2025-08-12T25:00:00Z",
}
NEXT_STEP = "correct that attribute, or delete the item and run the day again (docs/ledger.md)"
runner = typer.testing.CliRunner()


def make_item(tenant: str, **more: Any) -> dict[str, Any]:
    entry = acquire(None, tenant=tenant, day=DAY, owner=ELSEWHERE, run_id="run1", now=BEGIN, lease=LEASE)
    return {name: value for name, value in to_item(entry).items() if value is not None} | more


def assert_reported(ledger: Ledger, tenant: str, named: str) -> None:
    """Assert that reading, listing and acquiring raise an error with the name and change nothing."""
    for use in (
        lambda: ledger.find(tenant, DAY),
        lambda: list(ledger.days(tenant, DAY, DAY)),
        lambda: ledger.acquire(tenant, DAY, owner=ELSEWHERE, run_id="run2", force=True),
    ):
        with pytest.raises(TerminalError) as refused:
            use()
        error = refused.value
        assert (error.tenant, error.day, error.next_step) == (tenant, DAY.isoformat(), NEXT_STEP)
        assert named in error.what
        assert SECRET not in str(error)


@pytest.mark.parametrize("name", CORRUPT)
def test_an_attribute_of_another_type_is_reported_with_tenant_and_day(
    ledger: Ledger, backend: Backend, tenant: str, name: str
) -> None:
    backend.plant(make_item(tenant, **{name: CORRUPT[name]}))
    assert_reported(ledger, tenant, name)


def test_missing_and_foreign_attributes_are_valid(ledger: Ledger, backend: Backend, tenant: str) -> None:
    item = make_item(tenant, ttl=7, nested={"a": [1]}, note=SECRET)
    for missing in ("token", "attempts", "owner", "lease_until", "run_id", "updated_at", "status", "batch_type"):
        item.pop(missing)
    backend.plant(item)
    entry = ledger.find(tenant, DAY)
    assert entry is not None
    assert (entry.status, entry.token, entry.lease_until) == ("FAILED", 0, None)
    lease = ledger.acquire(tenant, DAY, owner=ELSEWHERE, run_id="run2")
    assert lease.token == 1


@pytest.mark.parametrize("corrupt", [{"objects": "many"}, {"objects": None}, {"found_at": 7}])
def test_a_corrupt_stray_count_is_named_and_the_next_check_replaces_it(
    ledger: Ledger, backend: Backend, tenant: str, corrupt: dict[str, Any]
) -> None:
    item = {"PK": keys.days_of(tenant), "SK": keys.STRAYS, "objects": 3, "found_at": "2025-08-12T00:00:00Z"}
    backend.plant({**item, **corrupt})
    with pytest.raises(TerminalError, match=r"STRAYS of .* is invalid") as refused:
        ledger.stray_count(tenant)
    assert refused.value.tenant == tenant
    ledger.record_strays(tenant, 3)
    found = ledger.stray_count(tenant)
    assert found is not None
    assert found.objects == 3


@pytest.mark.parametrize("key", ["2025-02-30", "20250812", "2025-08-12 ", "٢٠٢٥-٠٨-١٢", "2025-08-12#x", "1969-12-31"])
def test_an_item_without_a_valid_day_is_not_a_tenant_day(key: str) -> None:
    assert not is_day({"SK": f"DAILY#{key}"})
    assert is_day({"SK": "DAILY#2025-08-12"})


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["cost_usd", "billed"])
def test_a_bill_is_a_finite_number(name: str, number: float) -> None:
    value = {"vcpu_hours": number} if name == "billed" else number
    with pytest.raises(TerminalError, match="its bill is not a finite number"):
        from_item(make_item("acme", **{name: value}))


def test_a_timestamp_without_a_zone_is_utc() -> None:
    entry = from_item(make_item("acme", lease_until="2025-08-12T17:01:00"))
    assert entry.is_leased(BEGIN)
    assert not entry.is_leased(BEGIN + timedelta(minutes=2))


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "null", '"x"', "[" * 100_000, SECRET])
def test_an_item_in_a_file_that_is_not_an_object_is_reported(tmp_path: Path, text: str) -> None:
    file = tmp_path / "ledger.sqlite"
    ledger = Ledger(store=SqliteStore(file), clock=Clock(), lease=LEASE)
    ledger.acquire("acme", DAY, owner=ELSEWHERE, run_id="run1")
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE metadata SET item = ?", (text,))
    for use in (lambda: ledger.find("acme", DAY), lambda: list(ledger.days("acme", DAY, DAY))):
        with pytest.raises(TerminalError, match=r"the item DAILY#2025-08-12 of TENANT#acme#BATCH is invalid") as raised:
            use()
        assert (raised.value.tenant, raised.value.day in (DAY.isoformat(), "-")) == ("acme", True)
        assert SECRET not in str(raised.value)


@pytest.mark.parametrize("value", ["one", "1", True, [1], {"a": 1}])
def test_an_item_with_an_invalid_version_is_reported_and_not_written(
    dynamodb_table: DynamoDbTable, value: Any, tenant: str
) -> None:
    backend = dynamodb_backend(dynamodb_table)
    ledger = Ledger(store=backend.connect(), clock=Clock(), lease=LEASE)
    backend.plant(make_item(tenant, version=value))
    with pytest.raises(TerminalError, match="its attribute version is not a whole number") as raised:
        ledger.acquire(tenant, DAY, owner=ELSEWHERE, run_id="run2", force=True)
    assert (raised.value.tenant, raised.value.day) == (tenant, DAY.isoformat())


@pytest.mark.parametrize("value", [Binary(b"\0"), {"a", "b"}, {1, 2}])
def test_dynamodb_types_are_reported_if_invalid_and_otherwise_kept(
    dynamodb_table: DynamoDbTable, value: Any, tenant: str
) -> None:
    backend = dynamodb_backend(dynamodb_table)
    ledger = Ledger(store=backend.connect(), clock=Clock(), lease=LEASE)
    backend.plant(make_item(tenant, error=value))
    assert_reported(ledger, tenant, "error")
    other = f"{tenant}-b"
    backend.plant(make_item(other, theirs=value))
    ledger.acquire(other, DAY, owner=ELSEWHERE, run_id="run2", force=True)
    stored = ledger.store.get(keys.days_of(other), keys.day_key(DAY))
    assert stored is not None
    assert stored.item["theirs"] == value


@pytest.mark.parametrize("command", ["run", "status", "report"])
def test_a_command_ends_with_3_and_names_the_corrupt_item(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TENANT_ID", raising=False)
    ledger = tmp_path / "ledger.sqlite"
    SqliteStore(ledger).put(make_item("acme", token="seven"), expected=None)
    days = {"run": ["--date", "2025-08-12"]}.get(command, ["--from", "2025-08-12", "--to", "2025-08-12"])
    locations = ["--input", str(ROOT / "samples"), "--output", str(tmp_path / "out"), "--ledger", str(ledger)]
    (tmp_path / "out").mkdir()
    result = runner.invoke(cli.app, [command, "--tenant", "acme", *days, *locations])
    assert result.exit_code == 3
    assert "tenant=acme day=2025-08-12: the ledger's item DAILY#2025-08-12 of TENANT#acme#BATCH" in result.stderr


# Leases set by a wrong clock


def running(until: datetime) -> Entry:
    return from_item(make_item("acme", lease_until=format_timestamp(until)))


def submitted(until: datetime) -> Entry:
    entry = hand_over(running(BEGIN), reason="large", job_token="t", job_id="j", now=BEGIN, lease=LEASE)
    return replace(entry, lease_until=format_timestamp(until))


@pytest.mark.parametrize(
    ("make", "maximum"), [(running, MAX_LEASE), (submitted, MAX_JOB_LEASE)], ids=["running", "submitted"]
)
def test_a_lease_beyond_the_maximum_is_replaced(make: Callable[[datetime], Entry], maximum: timedelta) -> None:
    latest = BEGIN + maximum + MAX_CLOCK_SKEW
    valid, invalid = make(latest), make(latest + timedelta(microseconds=1))
    assert valid.is_leased(BEGIN)
    assert not valid.has_invalid_lease(BEGIN)
    assert invalid.has_invalid_lease(BEGIN)
    assert not invalid.is_leased(BEGIN)
    arguments = {"tenant": "acme", "day": DAY, "owner": "me", "run_id": "run2", "now": BEGIN, "lease": LEASE}
    with pytest.raises(LeaseHeldError):
        acquire(valid, **arguments)
    acquired = acquire(invalid, **arguments)
    # The run that the lease names may be alive: it must not be able to publish.
    assert (acquired.token, acquired.taken_over, acquired.lease_until) == (2, True, format_timestamp(BEGIN + LEASE))


@pytest.mark.parametrize("until", ["2099-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "2025-08-12T20:00:00Z"])
def test_the_status_explains_an_invalid_lease(until: str) -> None:
    entry = from_item(make_item("acme", lease_until=until))
    assert day_status(entry, now=BEGIN, due=BEGIN) == "DEAD"
    assert "is longer than any can be: a clock was wrong; the next run takes the day" in describe(
        entry, "DEAD", now=BEGIN
    )
    assert "ended at" in describe(entry, "DEAD", now=datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC))


def test_an_invalid_maintenance_lease_is_replaced_too() -> None:
    held = hold(None, tenant="acme", day=DAY, owner="o", upkeep="u", now=BEGIN + timedelta(days=400), lease=LEASE)
    assert held.has_invalid_lease(BEGIN)
    again = hold(held, tenant="acme", day=DAY, owner="me", upkeep="v", now=BEGIN, lease=LEASE)
    assert (again.upkeep, again.token) == ("v", held.token + 1)


def test_a_stored_day_with_an_invalid_lease_is_run(ledger: Ledger, store: FaultyStore, tenant: str) -> None:
    store.put(make_item(tenant, lease_until="2099-01-01T00:00:00.000000Z"), expected=None)
    lease = ledger.acquire(tenant, DAY, owner=ELSEWHERE, run_id="run2")
    assert (lease.token, lease.taken_over) == (2, True)
    ledger.renew(lease)
    entry = ledger.find(tenant, DAY)
    assert entry is not None
    assert entry.lease_until == format_timestamp(BEGIN + LEASE)


def test_no_setting_allows_an_invalid_lease() -> None:
    maximums = {
        "MAKOTO_LEASE_SECONDS": "3600",
        "MAKOTO_JOB_WAIT_MINUTES": "10080",
        "MAKOTO_JOB_TIMEOUT_MINUTES": "10080",
    }
    settings = load_settings(flags={}, environ=maximums)
    assert timedelta(seconds=settings.lease_seconds) <= MAX_LEASE
    job = timedelta(minutes=settings.job_wait_minutes + settings.job_timeout_minutes) + JOB_GRACE
    assert job <= MAX_JOB_LEASE
    for name, value in maximums.items():
        with pytest.raises(UsageError, match=name.removeprefix("MAKOTO_").lower()):
            load_settings(flags={}, environ={name: str(int(value) + 1)})
