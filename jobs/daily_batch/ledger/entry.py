"""A tenant-day as the ledger knows it, and the transitions that it may make. Pure: no store, no clock.

    (none) ---take---> RUNNING ---complete---> COMPLETED, COMPLETED_WITH_REJECTS
                       RUNNING ---fail-------> FAILED
                       RUNNING ---hand_over--> SUBMITTED ---complete, fail---> …
    any state whose lease has ended, or that needs none ---take---> RUNNING
    any of those but SUBMITTED ---keep---> the same state, held ---give_back---> the same state

Every `take` raises the fencing token, which goes into the Delta log with each commit: whoever holds a lower one can
publish nothing more, whatever the clocks say.
"""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

from daily_batch.domain.bill import Bill, add_bills
from daily_batch.domain.quality import describe_warnings
from daily_batch.domain.receipt import Receipt
from daily_batch.errors import LeaseHeldError

Status = Literal["RUNNING", "SUBMITTED", "COMPLETED", "COMPLETED_WITH_REJECTS", "FAILED"]
COMPLETED = ("COMPLETED", "COMPLETED_WITH_REJECTS")
AT_WORK = ("RUNNING", "SUBMITTED")
# No lease can be longer: settings bound what a run's lasts (lease_seconds), and a job's (its waiting, its running, and
# the grace of daily_batch.orchestration.dispatch). Clocks that are further apart are wrong.
LONGEST_LEASE = timedelta(hours=1)
LONGEST_JOB_LEASE = timedelta(days=14, hours=12)
CLOCKS_APART = timedelta(hours=1)
UNKNOWN = "no run of this day is known here; its tables were only kept in order"


@dataclass(frozen=True, kw_only=True)
class Lease:
    """The right of a run to publish a tenant-day, as long as nobody took a later one.

    `taken_over` says that an earlier run may still be alive and believe that the day is its own.
    """

    tenant: str
    day: date
    run_id: str
    token: int
    taken_over: bool = False


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A tenant-day. Moments are ISO 8601 in UTC.

    The platform's own fields come first. `message_count`, `output_path` and `processed_at` are of the last completed
    run, and so are `rejected`, `unreadable`, `quality` (the rules that warned, in words), `fingerprint` and `receipt`:
    a day that fails later still says what its tables hold. `attempts` counts since the last completion. `job_token` is
    what a submission gives its service to know a repeated request by; without `job_id` the answer to it is not known.
    `executors` and `disk_gb` are the job's size. `retryable` says of a failed day whether another attempt may succeed,
    `asked_at` when one was last put on a queue. `billed` and `cost_usd` are of all its runs that have ended, as far as
    their services told: units by name, and USD by list price (docs/costs.md).
    `taken_over` stays until a run has completed:
    only then do the tables keep out a run that was never heard of again. `upkeep` names who holds the day to keep its
    tables in order, which changes nothing of what its last run came to.
    """

    tenant: str
    day: date
    status: Status
    message_count: int | None = None
    output_path: str | None = None
    processed_at: str | None = None
    token: int = 0
    taken_over: bool = False
    attempts: int = 0
    owner: str | None = None
    lease_until: str | None = None
    run_id: str | None = None
    runner: str | None = None
    handed_over: str | None = None
    job_token: str | None = None
    job_id: str | None = None
    executors: int | None = None
    disk_gb: int | None = None
    rejected: int | None = None
    unreadable: int | None = None
    quality: str | None = None
    fingerprint: str | None = None
    receipt: str | None = None
    seconds: int | None = None
    billed: dict[str, float] | None = None
    cost_usd: float | None = None
    error: str | None = None
    retryable: bool | None = None
    asked_at: str | None = None
    upkeep: str | None = None
    started_at: str | None = None
    updated_at: str | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the last run published the day."""
        return self.status in COMPLETED

    @property
    def holder(self) -> str | None:
        """Who holds the day, or did last: an upkeep, else its run."""
        return self.upkeep or self.run_id

    @property
    def lease(self) -> Lease:
        """The lease of the run, or the upkeep, that the entry names."""
        return Lease(
            tenant=self.tenant,
            day=self.day,
            run_id=str(self.holder),
            token=self.token,
            taken_over=self.taken_over,
        )

    @property
    def is_at_work(self) -> bool:
        """Whether its last run has not ended, as far as is known."""
        return self.status in AT_WORK

    @property
    def is_held(self) -> bool:
        """Whether a run or an upkeep holds it, or died with it."""
        return self.is_at_work or self.upkeep is not None

    @property
    def awaits_answer(self) -> bool:
        """Whether a job was asked for and its id is not known: asking again gives the same job."""
        return self.status == "SUBMITTED" and self.job_id is None

    def holds_lease(self, now: datetime) -> bool:
        """Whether someone is at work and the lease has not ended; one that no clock can have given is none."""
        return timedelta(0) < self._left(now) <= self._longest

    def has_wrong_lease(self, now: datetime) -> bool:
        """Whether the lease ends later than any lease can: the clock that gave it was wrong, or `now` is.

        Who takes such a day harms nobody who is still at work: only the higher token can publish.
        """
        return self._left(now) > self._longest

    @property
    def _longest(self) -> timedelta:
        return (LONGEST_JOB_LEASE if self.status == "SUBMITTED" else LONGEST_LEASE) + CLOCKS_APART

    def _left(self, now: datetime) -> timedelta:
        """How long the lease lasts from now on; less than nothing where there is none."""
        if not self.is_held or self.lease_until is None:
            return timedelta.min
        return read_moment(self.lease_until) - now


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
    """The entry of a run that begins.

    Args:
        force: take a lease that has not ended from its owner, whose commits the raised token then refuses.

    Raises:
        LeaseHeld: another run is at work.
    """
    known = before or Entry(tenant=tenant, day=day, status="RUNNING")
    if known.holds_lease(now) and not force:
        raise held(known)
    return replace(
        known,
        status="RUNNING",
        token=known.token + 1,
        taken_over=known.taken_over or (before is not None and before.is_held),
        attempts=1 if known.is_complete else known.attempts + 1,
        owner=owner,
        lease_until=write_moment(now + lease),
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
        started_at=write_moment(now),
        updated_at=write_moment(now),
    )


def keep(
    before: Entry | None,
    *,
    tenant: str,
    day: date,
    owner: str,
    upkeep: str,
    now: datetime,
    lease: timedelta,
    dead: bool = False,
) -> Entry:
    """The entry of a day whose tables are kept in order: held, under a raised token, and else as its last run left it.

    Args:
        dead: whoever holds it is known to be no more.

    Raises:
        LeaseHeld: a run is at work, or a job was asked for and is not settled.
    """
    known = before or Entry(tenant=tenant, day=day, status="FAILED", error=UNKNOWN, retryable=False)
    if known.status == "SUBMITTED" or (known.holds_lease(now) and not dead):
        raise held(known)
    return replace(
        known,
        token=known.token + 1,
        taken_over=known.taken_over or known.is_held,
        upkeep=upkeep,
        owner=owner,
        lease_until=write_moment(now + lease),
        updated_at=write_moment(now),
    )


def release(entry: Entry, *, message_count: int | None, error: str | None, now: datetime) -> Entry:
    """The entry of a day whose upkeep has ended: what its tables hold, what is said of its last run, and no holder."""
    return replace(
        entry,
        message_count=message_count,
        error=error,
        upkeep=None,
        lease_until=None,
        updated_at=write_moment(now),
    )


def renew(entry: Entry, *, now: datetime, lease: timedelta) -> Entry:
    """The entry with a lease that ends later, never sooner."""
    until = max(write_moment(now + lease), entry.lease_until or "")
    return replace(entry, lease_until=until, updated_at=write_moment(now))


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
    """The entry of a day that Spark takes over: first without `job_id`, then with the service's answer.

    Args:
        refused: the service did not take the job for now, which counts as an attempt.
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
        lease_until=write_moment(now + lease),
        updated_at=write_moment(now),
    )


def complete(
    entry: Entry, *, receipt: Receipt, receipt_key: str, output_path: str, now: datetime, bill: Bill | None = None
) -> Entry:
    """The entry of a day that is published."""
    return replace(
        entry,
        status=receipt.status,
        taken_over=False,
        message_count=receipt.records.written,
        output_path=output_path,
        processed_at=write_moment(now),
        lease_until=None,
        run_id=receipt.run_id,
        runner=receipt.runner,
        handed_over=None,
        rejected=receipt.records.rejected,
        unreadable=receipt.objects.unreadable,
        quality=describe_warnings(receipt.quality),
        fingerprint=receipt.fingerprint,
        receipt=receipt_key,
        seconds=round(receipt.seconds.get("total", 0)),
        error=None,
        retryable=None,
        updated_at=write_moment(now),
        **_add(entry, bill),
    )


def fail(entry: Entry, *, error: str, now: datetime, retryable: bool = True, bill: Bill | None = None) -> Entry:
    """The entry of a day whose run has ended without publishing."""
    return replace(
        entry,
        status="FAILED",
        lease_until=None,
        error=error,
        retryable=retryable,
        updated_at=write_moment(now),
        **_add(entry, bill),
    )


def held(entry: Entry) -> LeaseHeldError:
    """The error that names who is at work, and until when."""
    job = f", job {entry.job_id}" if entry.job_id else ""
    return LeaseHeldError(
        f"{entry.upkeep or f'run {entry.run_id}'} of {entry.owner}{job} holds the lease until {entry.lease_until}",
        next_step="wait for it; if that run is known to be dead, run with --take-over",
        tenant=entry.tenant,
        day=entry.day.isoformat(),
    )


def _add(entry: Entry, bill: Bill | None) -> dict[str, Any]:
    """What a run's end adds to the day's bill: once, however often its end is written down."""
    if bill is None or not entry.is_at_work:
        return {}
    total = add_bills(entry.billed, entry.cost_usd, bill)
    return {"billed": dict(total.units) or None, "cost_usd": total.usd}


def write_moment(moment: datetime) -> str:
    """A moment as the platform writes them."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def read_moment(text: str) -> datetime:
    """The moment of such a text; other programs may leave out its zone, which is UTC then."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
