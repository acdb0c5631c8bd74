"""The transitions of a tenant-day, each a pure function from an entry to the next one. No store, no clock.

    (none) ---acquire---> RUNNING ---complete---> COMPLETED, COMPLETED_WITH_REJECTS
                          RUNNING ---fail-------> FAILED
                          RUNNING ---hand_over--> SUBMITTED ---complete, fail---> …
    any state without a valid lease ---acquire---> RUNNING
    any of those but SUBMITTED ---hold---> the same state, held ---release---> the same state

`acquire` and `hold` raise the fencing token, which each commit writes to the Delta log: the holder of a lower token can
publish nothing more, regardless of clocks.
"""

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from daily_batch.domain.bill import Bill, add_bills
from daily_batch.domain.calendar import format_timestamp
from daily_batch.domain.quality import describe_warnings
from daily_batch.domain.receipt import Receipt
from daily_batch.errors import LeaseHeldError
from daily_batch.ledger.entry import Entry

MAINTAINED_ONLY = "no run of this day is known here; only its tables were maintained"


def acquire(
    before: Entry | None,
    *,
    tenant: str,
    day: date,
    owner: str,
    run_id: str,
    now: datetime,
    lease: timedelta,
    force: bool = False,
) -> Entry:
    """Start a run: return the entry with its lease.

    Args:
        before: The current entry, if there is one.
        tenant: The tenant.
        day: The business day.
        owner: The process that runs the day.
        run_id: The run.
        now: The current time.
        lease: The duration of the lease.
        force: Replace a valid lease; the raised token makes the tables refuse its holder's commits.

    Raises:
        LeaseHeldError: Another run holds the day.
    """
    known = before or Entry(tenant=tenant, day=day, status="RUNNING")
    if known.is_leased(now) and not force:
        raise lease_held(known)
    return replace(
        known,
        status="RUNNING",
        token=known.token + 1,
        taken_over=known.taken_over or (before is not None and before.is_held),
        attempts=1 if known.is_complete else known.attempts + 1,
        owner=owner,
        lease_until=format_timestamp(now + lease),
        run_id=run_id,
        runner=None,
        handed_over=None if known.is_complete else known.handed_over,
        job_token=None,
        job_id=None,
        executors=None,
        disk_gb=None,
        error=None,
        retryable=None,
        asked_at=None,
        upkeep=None,
        started_at=format_timestamp(now),
        updated_at=format_timestamp(now),
    )


def hold(
    before: Entry | None,
    *,
    tenant: str,
    day: date,
    owner: str,
    upkeep: str,
    now: datetime,
    lease: timedelta,
    holder_is_dead: bool = False,
) -> Entry:
    """Hold the day for maintenance under a raised token; the result of its last run stays.

    Args:
        before: The current entry, if there is one.
        tenant: The tenant.
        day: The business day.
        owner: The process that maintains the day.
        upkeep: The id of the maintenance run.
        now: The current time.
        lease: The duration of the lease.
        holder_is_dead: The holder of a valid lease is known to be dead.

    Raises:
        LeaseHeldError: A run holds the day, or a submitted job is not settled.
    """
    known = before or Entry(tenant=tenant, day=day, status="FAILED", error=MAINTAINED_ONLY, retryable=False)
    if known.status == "SUBMITTED" or (known.is_leased(now) and not holder_is_dead):
        raise lease_held(known)
    return replace(
        known,
        token=known.token + 1,
        taken_over=known.taken_over or known.is_held,
        upkeep=upkeep,
        owner=owner,
        lease_until=format_timestamp(now + lease),
        updated_at=format_timestamp(now),
    )


def release(entry: Entry, *, now: datetime) -> Entry:
    """End maintenance: remove the holder."""
    return replace(entry, upkeep=None, lease_until=None, updated_at=format_timestamp(now))


def renew(entry: Entry, *, now: datetime, lease: timedelta) -> Entry:
    """Extend the lease; never shorten it."""
    until = max(format_timestamp(now + lease), entry.lease_until or "")
    return replace(entry, lease_until=until, updated_at=format_timestamp(now))


def hand_over(
    entry: Entry,
    *,
    reason: str,
    job_token: str,
    job_id: str | None,
    now: datetime,
    lease: timedelta,
    executors: int | None = None,
    disk_gb: int | None = None,
    refused: bool = False,
) -> Entry:
    """Hand the day over to a Spark job: first without `job_id`, then with the service's response.

    Args:
        entry: The entry of the run that hands over.
        reason: Why the day goes to Spark.
        job_token: The idempotency token of the submission.
        job_id: The job, once it is known.
        now: The current time.
        lease: The duration of the lease from now on.
        executors: The job's workers.
        disk_gb: The disk of each worker.
        refused: The service did not accept the job for now; this counts as an attempt.
    """
    return replace(
        entry,
        status="SUBMITTED",
        runner="spark",
        handed_over=reason,
        job_token=job_token,
        job_id=job_id,
        executors=executors,
        disk_gb=disk_gb,
        attempts=entry.attempts + refused,
        lease_until=format_timestamp(now + lease),
        updated_at=format_timestamp(now),
    )


def complete(
    entry: Entry,
    *,
    receipt: Receipt,
    receipt_key: str,
    output_path: str,
    now: datetime,
    bill: Bill | None = None,
    new_fields: tuple[str, ...] | None = None,
) -> Entry:
    """Complete a run: the day is published."""
    return replace(
        entry,
        status=receipt.status,
        taken_over=False,
        message_count=receipt.records.written,
        output_path=output_path,
        processed_at=format_timestamp(now),
        lease_until=None,
        run_id=receipt.run_id,
        runner=receipt.runner,
        handed_over=None,
        rejected=receipt.records.rejected,
        unreadable=receipt.objects.unreadable,
        objects=receipt.objects.in_manifest,
        quality=describe_warnings(receipt.quality),
        unknown_fields=tuple(receipt.unknown_fields),
        new_fields=new_fields,
        fingerprint=receipt.fingerprint,
        receipt=receipt_key,
        seconds=round(receipt.seconds.get("total", 0)),
        error=None,
        retryable=None,
        updated_at=format_timestamp(now),
        **_add_bill(entry, bill),
    )


def fail(entry: Entry, *, error: str, now: datetime, retryable: bool = True, bill: Bill | None = None) -> Entry:
    """Fail a run: it ended without publishing."""
    return replace(
        entry,
        status="FAILED",
        lease_until=None,
        error=error,
        retryable=retryable,
        updated_at=format_timestamp(now),
        **_add_bill(entry, bill),
    )


def lease_held(entry: Entry) -> LeaseHeldError:
    """Return the error that names the holder and the end of its lease."""
    job = f", job {entry.job_id}" if entry.job_id else ""
    return LeaseHeldError(
        f"{entry.upkeep or f'run {entry.run_id}'} of {entry.owner}{job} holds the lease until {entry.lease_until}",
        next_step="wait for it; if that run is known to be dead, run with --take-over",
        tenant=entry.tenant,
        day=entry.day.isoformat(),
    )


def _add_bill(entry: Entry, bill: Bill | None) -> dict[str, Any]:
    """Return the day's total bill with a run's; repeated writes of a run's end add it only once."""
    if bill is None or not entry.is_active:
        return {}
    total = add_bills(entry.billed, entry.cost_usd, bill)
    return {"billed": dict(total.units) or None, "cost_usd": total.usd}
