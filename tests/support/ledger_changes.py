"""Each change of a tenant-day in the ledger, for tests that every change must pass."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from daily_batch.ledger import Entry, Lease, Ledger
from tests.support.ledger_doubles import DAY, ELSEWHERE, make_receipt

Change = Callable[[Ledger, Lease], object]
HOURS = timedelta(hours=12)


def renew(ledger: Ledger, lease: Lease) -> None:
    ledger.renew(lease)


def record(ledger: Ledger, lease: Lease) -> None:
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


EVERY_CHANGE = pytest.mark.parametrize("change", [renew, record, hand_over, complete, fail, raise_token])


def acquire(ledger: Ledger, tenant: str, run_id: str, *, owner: str = ELSEWHERE, force: bool = False) -> Lease:
    return ledger.acquire(tenant, DAY, owner=owner, run_id=run_id, force=force)


def find(ledger: Ledger, tenant: str) -> Entry:
    entry = ledger.find(tenant, DAY)
    assert entry is not None
    return entry
