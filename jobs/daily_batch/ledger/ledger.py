"""The ledger: transitions of tenant-days in a metadata store, with optimistic concurrency and one winner each."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, TypeVar

from daily_batch.domain.bill import Bill
from daily_batch.domain.calendar import format_timestamp
from daily_batch.domain.receipt import Receipt
from daily_batch.errors import LeaseHeldError, RetryableError, error_context
from daily_batch.ledger import transitions
from daily_batch.ledger.entry import Entry, Lease
from daily_batch.ledger.item_codec import StrayCount, from_item, is_day, strays_from_item, to_item
from daily_batch.ledger.process import is_dead
from daily_batch.metadata import Item, MetadataStore, VersionConflictError, keys
from daily_batch.settings import Settings

Result = TypeVar("Result")

# Each conflict means that another writer succeeded, so this many writers may compete for one item.
MAX_ATTEMPTS = 50


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """The tenant-days of a metadata store. `clock` returns the time with its zone; `lease` is a lease's duration."""

    store: MetadataStore
    clock: Callable[[], datetime]
    lease: timedelta = timedelta(seconds=Settings.lease_seconds)

    def find(self, tenant: str, day: date) -> Entry | None:
        """Return a tenant-day's entry, or None if there is none."""
        with error_context(tenant, day.isoformat()):
            stored = self.store.get(keys.days_of(tenant), keys.day_key(day))
        return from_item(stored.item) if stored else None

    def days(self, tenant: str, first: date, last: date) -> Iterator[Entry]:
        """Yield the entries of a tenant's days from `first` to `last`, both included, in order."""
        with error_context(tenant, "-"):
            found = self.store.query(keys.days_of(tenant), first=keys.day_key(first), last=keys.day_key(last))
            yield from map(from_item, filter(is_day, found))

    def stray_count(self, tenant: str) -> StrayCount | None:
        """Return the result of the last check for a tenant's stray objects; None before the first check."""
        with error_context(tenant, "-"):
            stored = self.store.get(keys.days_of(tenant), keys.STRAYS)
            return strays_from_item(stored.item, tenant) if stored else None

    def record_strays(self, tenant: str, objects: int) -> None:
        """Store the number of a tenant's stray objects."""
        place = {"PK": keys.days_of(tenant), "SK": keys.STRAYS}
        item: Item = {**place, "objects": objects, "found_at": format_timestamp(self.clock())}
        with error_context(tenant, "-"):
            self._replace(place["PK"], place["SK"], lambda before: (item, None))

    def tenants(self) -> list[str]:
        """Return the tenants in the metadata store; callers must validate each."""
        first, last = keys.all_of(keys.TENANT)
        found = self.store.query(keys.TENANTS, first=first, last=last)
        return [str(item["SK"]).removeprefix(keys.TENANT) for item in found]

    def acquire(self, tenant: str, day: date, *, owner: str, run_id: str, force: bool = False) -> Lease:
        """Start a run and return its lease, with a greater token than every earlier one.

        Raises:
            LeaseHeldError: Another run holds the day.
        """

        def start(before: Entry | None) -> Entry:
            if before is not None and before.holder == run_id:
                return before  # written by this call already; the response was lost
            return transitions.acquire(
                before,
                tenant=tenant,
                day=day,
                owner=owner,
                run_id=run_id,
                now=self.clock(),
                lease=self.lease,
                force=force or _holder_is_dead(before),
            )

        return self._update(tenant, day, start).lease

    def hold(self, tenant: str, day: date, *, owner: str, upkeep: str) -> Lease:
        """Hold a day for maintenance: no run can acquire it, and the result of its last run stays.

        Raises:
            LeaseHeldError: A run holds the day.
        """

        def start(before: Entry | None) -> Entry:
            if before is not None and before.upkeep == upkeep:
                return before  # written by this call already; the response was lost
            return self._hold(before, tenant, day, owner=owner, upkeep=upkeep)

        return self._update(tenant, day, start).lease

    def check_available(self, tenant: str, day: date) -> None:
        """Check that `hold` would succeed now.

        Raises:
            LeaseHeldError: A run holds the day.
        """
        self._hold(self.find(tenant, day), tenant, day, owner="", upkeep="")

    def _hold(self, before: Entry | None, tenant: str, day: date, *, owner: str, upkeep: str) -> Entry:
        return transitions.hold(
            before,
            tenant=tenant,
            day=day,
            owner=owner,
            upkeep=upkeep,
            now=self.clock(),
            lease=self.lease,
            holder_is_dead=_holder_is_dead(before),
        )

    def release(self, lease: Lease, **changes: Any) -> None:
        """End maintenance; `changes` say what the day contains now."""

        def end(entry: Entry) -> Entry:
            return transitions.release(replace(entry, **changes), now=self.clock())

        self._update_own(lease, end)

    def renew(self, lease: Lease) -> None:
        """Extend the lease.

        Raises:
            LeaseHeldError: Another run has acquired the day, or this one has ended.
        """
        self._update_held(lease, lambda entry: transitions.renew(entry, now=self.clock(), lease=self.lease))

    def raise_token(self, lease: Lease, *, above: int) -> Lease:
        """Raise the token above one that the tables contain: the ledger is newer than they are, or was lost."""
        if lease.token > above:
            return lease
        raised = replace(lease, token=above + 1)

        def set_token(entry: Entry | None) -> Entry:
            current = raised if entry is not None and entry.token == raised.token else lease
            return replace(self._check_own(current, entry), token=raised.token)

        self._update(lease.tenant, lease.day, set_token)
        return raised

    def hand_over(
        self,
        lease: Lease,
        *,
        reason: str,
        job_token: str,
        job_id: str | None = None,
        executors: int | None = None,
        disk_gb: int | None = None,
        refused: bool = False,
        duration: timedelta | None = None,
    ) -> None:
        """Record the hand-over to Spark: before the submission, and again with the service's response."""
        self._update_held(
            lease,
            lambda entry: transitions.hand_over(
                entry,
                reason=reason,
                job_token=job_token,
                job_id=job_id,
                executors=executors,
                disk_gb=disk_gb,
                refused=refused,
                now=self.clock(),
                lease=self.lease if duration is None else duration,
            ),
        )

    def record(self, lease: Lease, **changes: str | None) -> None:
        """Set the runner, or why the day goes to Spark, while the run holds the day."""
        self._update_held(lease, lambda entry: replace(entry, **changes))  # type: ignore[arg-type]

    def record_request(self, lease: Lease) -> None:
        """Record that another attempt was enqueued for a day whose run has ended or died.

        Raises:
            LeaseHeldError: Another run has acquired the day.
        """
        self._update_own(lease, lambda entry: replace(entry, asked_at=format_timestamp(self.clock())))

    def complete(
        self,
        lease: Lease,
        receipt: Receipt,
        *,
        receipt_key: str,
        output_path: str,
        bill: Bill | None = None,
        new_fields: tuple[str, ...] | None = None,
    ) -> None:
        """Record that the day is published, with the run's bill and its new fields."""

        def finish(entry: Entry) -> Entry:
            return transitions.complete(
                entry,
                receipt=receipt,
                receipt_key=receipt_key,
                output_path=output_path,
                now=self.clock(),
                bill=bill,
                new_fields=new_fields,
            )

        self._update_own(lease, finish)

    def fail(self, lease: Lease, error: str, *, retryable: bool = True, bill: Bill | None = None) -> None:
        """Record that the run ended without publishing, and release the lease; a completed day stays completed."""

        def end(entry: Entry) -> Entry:
            if not entry.is_active:
                return entry
            return transitions.fail(entry, error=error, retryable=retryable, now=self.clock(), bill=bill)

        self._update_own(lease, end)

    def _update_held(self, lease: Lease, change: Callable[[Entry], Entry]) -> None:
        def guarded(entry: Entry) -> Entry:
            if not entry.is_held:
                raise self._lost(lease, f"the run has ended as {entry.status}")
            return change(entry)

        self._update_own(lease, guarded)

    def _update_own(self, lease: Lease, change: Callable[[Entry], Entry]) -> None:
        self._update(lease.tenant, lease.day, lambda entry: change(self._check_own(lease, entry)))

    def _update(self, tenant: str, day: date, change: Callable[[Entry | None], Entry]) -> Entry:
        def change_item(before: Item | None) -> tuple[Item, Entry]:
            after = change(from_item(before) if before else None)
            # Attributes of other programs stay in the item.
            return {**(before or {}), **to_item(after)}, after

        with error_context(tenant, day.isoformat()):
            return self._replace(keys.days_of(tenant), keys.day_key(day), change_item)

    def _replace(self, pk: str, sk: str, change: Callable[[Item | None], tuple[Item, Result]]) -> Result:
        """Apply `change` to an item, again after each conflict with another writer; return its result."""
        for _ in range(MAX_ATTEMPTS):
            stored = self.store.get(pk, sk)
            item, result = change(stored.item if stored else None)
            try:
                self.store.put(item, expected=stored.version if stored else None)
            except VersionConflictError:
                continue
            return result
        raise RetryableError(
            "other writers change the ledger's item faster than it can be read", next_step="run the day again"
        )

    def _check_own(self, lease: Lease, entry: Entry | None) -> Entry:
        """Return the entry if the lease still holds it."""
        if entry is not None and (entry.token, entry.holder) == (lease.token, lease.run_id):
            return entry
        raise self._lost(lease, f"run {entry.holder} of {entry.owner} has acquired it" if entry else "its item is gone")

    def _lost(self, lease: Lease, why: str) -> LeaseHeldError:
        return LeaseHeldError(
            f"the lease is lost: {why}; this run publishes nothing more",
            next_step="none, the later run continues",
            tenant=lease.tenant,
            day=lease.day.isoformat(),
        )


def _holder_is_dead(entry: Entry | None) -> bool:
    """Return whether a dead process of this machine holds the day; nothing is known of jobs here."""
    return entry is not None and entry.is_held and entry.status != "SUBMITTED" and is_dead(str(entry.owner))
