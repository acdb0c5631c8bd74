"""The ledger's entry of a tenant-day, and the lease on it. Pure: no store, no clock."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

Status = Literal["RUNNING", "SUBMITTED", "COMPLETED", "COMPLETED_WITH_REJECTS", "FAILED"]
COMPLETED = ("COMPLETED", "COMPLETED_WITH_REJECTS")
ACTIVE = ("RUNNING", "SUBMITTED")
# Upper limits of any lease: settings bound a run's (lease_seconds) and a job's (its wait, its run time, and the grace
# period of daily_batch.orchestration.dispatch). A lease that ends later comes from a wrong clock.
MAX_LEASE = timedelta(hours=1)
MAX_JOB_LEASE = timedelta(days=14, hours=12)
MAX_CLOCK_SKEW = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class Lease:
    """The right of a run to publish a tenant-day, until another run acquires a later lease.

    `taken_over`: an earlier run may still be alive and believe that it holds the day.
    """

    tenant: str
    day: date
    run_id: str
    token: int
    taken_over: bool = False


@dataclass(frozen=True, kw_only=True)
class Entry:
    """The state of a tenant-day. Timestamps are ISO 8601 in UTC.

    `message_count`, `output_path` and `processed_at` are the platform's fields. Like `rejected`, `unreadable`,
    `objects`, `quality`, `unknown_fields`, `new_fields`, `fingerprint` and `receipt` they are of the last completed
    run: a day that fails later still describes its tables.

    Attributes:
        token: The fencing token of the last lease.
        taken_over: An earlier run may still be alive. Stays set until a run completes: only then do the tables refuse
            the commits of a run that never reported back.
        attempts: Runs since the last completion.
        owner: The process that holds the day, as `daily_batch.ledger.process` names it.
        job_token: The idempotency token of a job's submission.
        job_id: The job; while it is unknown, a submission may have succeeded without a response.
        executors: The job's workers; `disk_gb` is the disk of each.
        objects: The objects of the day, without ignored ones; `unreadable` of them could not be read.
        quality: The rules that warned, as text.
        unknown_fields: The names in the receipt's `unknown_fields`.
        new_fields: Those of them that no day of the four weeks before had; None if that is unknown.
        billed: Usage of all ended runs by unit, as far as their services reported it; `cost_usd` by list price
            (docs/costs.md).
        retryable: Whether a failed day may succeed in another attempt.
        asked_at: When another attempt was last enqueued.
        upkeep: The maintenance run that holds the day; the result of its last run stays.
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
    objects: int | None = None
    quality: str | None = None
    unknown_fields: tuple[str, ...] | None = None
    new_fields: tuple[str, ...] | None = None
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
        """The id of the maintenance run or run that holds the day, or held it last."""
        return self.upkeep or self.run_id

    @property
    def lease(self) -> Lease:
        """The lease of the holder."""
        return Lease(
            tenant=self.tenant,
            day=self.day,
            run_id=str(self.holder),
            token=self.token,
            taken_over=self.taken_over,
        )

    @property
    def is_active(self) -> bool:
        """Whether its last run has not ended, as far as the ledger knows."""
        return self.status in ACTIVE

    @property
    def is_held(self) -> bool:
        """Whether a run or maintenance holds the day, or died holding it."""
        return self.is_active or self.upkeep is not None

    @property
    def awaits_job_id(self) -> bool:
        """Whether a job was submitted and its id is unknown: a repeated submission returns the same job."""
        return self.status == "SUBMITTED" and self.job_id is None

    def is_leased(self, now: datetime) -> bool:
        """Return whether the day is held and its lease has not ended; an invalid lease does not count."""
        return timedelta(0) < self._remaining(now) <= self._max_lease

    def has_invalid_lease(self, now: datetime) -> bool:
        """Return whether the lease ends later than any lease can: the clock that set it, or `now`, is wrong.

        Acquiring such a day is safe even if its run is alive: only the higher token can publish.
        """
        return self._remaining(now) > self._max_lease

    @property
    def _max_lease(self) -> timedelta:
        return (MAX_JOB_LEASE if self.status == "SUBMITTED" else MAX_LEASE) + MAX_CLOCK_SKEW

    def _remaining(self, now: datetime) -> timedelta:
        """Return the remaining time of the lease; negative if there is none."""
        if not self.is_held or self.lease_until is None:
            return timedelta.min
        return parse_timestamp(self.lease_until) - now


def parse_timestamp(text: str) -> datetime:
    """Parse a timestamp; one without a zone, which other programs may write, is UTC."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
