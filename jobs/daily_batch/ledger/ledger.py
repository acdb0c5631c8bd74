"""Who works on which tenant-day, and what came of it: transitions in a metadata store, one winner each."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, TypeVar

from daily_batch.domain.bill import Bill
from daily_batch.domain.receipt import Receipt
from daily_batch.errors import LeaseHeldError, RetryableError, error_context
from daily_batch.ledger import entry as transitions
from daily_batch.ledger.entry import Entry, Lease
from daily_batch.ledger.item_codec import FoundStrays, from_item, is_day, strays_from_item, to_item
from daily_batch.ledger.process import is_dead
from daily_batch.metadata import Item, MetadataStore, VersionConflictError, keys

Answer = TypeVar("Answer")

# Each round has a winner, so this many rivals can meet at one item.
ROUNDS = 50


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """The tenant-days of a metadata store. `clock` gives the time, with its zone; `lease` is how long one lasts."""

    store: MetadataStore
    clock: Callable[[], datetime]
    lease: timedelta = timedelta(minutes=2)

    def find(self, tenant: str, day: date) -> Entry | None:
        """What the ledger knows of a tenant-day."""
        with error_context(tenant, day.isoformat()):
            stored = self.store.get(keys.days_of(tenant), keys.day_key(day))
        return from_item(stored.item) if stored else None

    def days(self, tenant: str, first: date, last: date) -> Iterator[Entry]:
        """What the ledger knows of a tenant's days in a range, both ends included, in order."""
        with error_context(tenant, "-"):
            found = self.store.query(keys.days_of(tenant), first=keys.day_key(first), last=keys.day_key(last))
            yield from map(from_item, filter(is_day, found))

    def find_strays(self, tenant: str) -> FoundStrays | None:
        """What was found last of a tenant's objects that lie where no run looks; None if nobody has looked."""
        with error_context(tenant, "-"):
            stored = self.store.get(keys.days_of(tenant), keys.STRAYS)
            return strays_from_item(stored.item, tenant) if stored else None

    def note_strays(self, tenant: str, objects: int) -> None:
        """Keep how many there are now."""
        place = {"PK": keys.days_of(tenant), "SK": keys.STRAYS}
        item: Item = {**place, "objects": objects, "found_at": transitions.write_moment(self.clock())}
        with error_context(tenant, "-"):
            self._replace(place["PK"], place["SK"], lambda before: (item, None))

    def tenants(self) -> list[str]:
        """The tenants that the metadata store names; each must still be checked."""
        first, last = keys.all_of(keys.TENANT)
        found = self.store.query(keys.TENANTS, first=first, last=last)
        return [str(item["SK"]).removeprefix(keys.TENANT) for item in found]

    def acquire(self, tenant: str, day: date, *, owner: str, run_id: str, force: bool = False) -> Lease:
        """Begin a run: the lease, with a token that is greater than every earlier one.

        Raises:
            LeaseHeld: another run is at work.
        """

        def begin(before: Entry | None) -> Entry:
            if before is not None and before.holder == run_id:
                return before  # a write of ours whose answer was lost
            dead = _is_dead(before)
            return transitions.acquire(
                before,
                tenant=tenant,
                day=day,
                owner=owner,
                run_id=run_id,
                now=self.clock(),
                lease=self.lease,
                force=force or dead,
            )

        return self._change(tenant, day, begin).lease

    def keep(self, tenant: str, day: date, *, owner: str, upkeep: str) -> Lease:
        """Hold a day to keep its tables in order: nobody runs it meanwhile, and what its last run came to stays.

        Raises:
            LeaseHeld: a run is at work.
        """

        def begin(before: Entry | None) -> Entry:
            if before is not None and before.upkeep == upkeep:
                return before  # a write of ours whose answer was lost
            return self._keep(before, tenant, day, owner=owner, upkeep=upkeep)

        return self._change(tenant, day, begin).lease

    def check_free(self, tenant: str, day: date) -> None:
        """Return if `keep` would hold the day now.

        Raises:
            LeaseHeld: a run is at work.
        """
        self._keep(self.find(tenant, day), tenant, day, owner="", upkeep="")

    def _keep(self, before: Entry | None, tenant: str, day: date, *, owner: str, upkeep: str) -> Entry:
        return transitions.keep(
            before,
            tenant=tenant,
            day=day,
            owner=owner,
            upkeep=upkeep,
            now=self.clock(),
            lease=self.lease,
            dead=_is_dead(before),
        )

    def release(self, lease: Lease, **changes: Any) -> None:
        """End an upkeep; `changes` are of `message_count` and `error`, which else stay."""

        def end(entry: Entry) -> Entry:
            told = {"message_count": entry.message_count, "error": entry.error, **changes}
            return transitions.release(entry, now=self.clock(), **told)

        self._change_own(lease, end)

    def renew(self, lease: Lease) -> None:
        """Hold the lease for longer.

        Raises:
            LeaseHeld: another run has taken it, or this one has ended.
        """
        self._change_at_work(lease, lambda entry: transitions.renew(entry, now=self.clock(), lease=self.lease))

    def raise_token(self, lease: Lease, *, above: int) -> Lease:
        """A token above one that the tables hold already: the ledger is younger than they are, or was lost."""
        if lease.token > above:
            return lease
        raised = replace(lease, token=above + 1)

        def lift(entry: Entry | None) -> Entry:
            holder = raised if entry is not None and entry.token == raised.token else lease
            return replace(self._own(holder, entry), token=raised.token)

        self._change(lease.tenant, lease.day, lift)
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
        lasting: timedelta | None = None,
    ) -> None:
        """Say that Spark takes the day over: before the submission, and again with the service's answer."""
        self._change_at_work(
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
                lease=self.lease if lasting is None else lasting,
            ),
        )

    def note(self, lease: Lease, **changes: str | None) -> None:
        """Note the runner, or why the day goes to Spark, while the run is at work."""
        self._change_at_work(lease, lambda entry: replace(entry, **changes))  # type: ignore[arg-type]

    def note_asked(self, lease: Lease) -> None:
        """Note that the day of a run that has ended, or died, was asked for again.

        Raises:
            LeaseHeld: another run has taken it.
        """
        self._change_own(lease, lambda entry: replace(entry, asked_at=transitions.write_moment(self.clock())))

    def complete(
        self, lease: Lease, receipt: Receipt, *, receipt_key: str, output_path: str, bill: Bill | None = None
    ) -> None:
        """Say that the day is published, and what the run is billed."""

        def finish(entry: Entry) -> Entry:
            return transitions.complete(
                entry, receipt=receipt, receipt_key=receipt_key, output_path=output_path, now=self.clock(), bill=bill
            )

        self._change_own(lease, finish)

    def fail(self, lease: Lease, error: str, *, retryable: bool = True, bill: Bill | None = None) -> None:
        """Say that the run has ended and published nothing, and give the lease back; a completed day stays that."""

        def end(entry: Entry) -> Entry:
            if not entry.is_at_work:
                return entry
            return transitions.fail(entry, error=error, retryable=retryable, now=self.clock(), bill=bill)

        self._change_own(lease, end)

    def _change_at_work(self, lease: Lease, change: Callable[[Entry], Entry]) -> None:
        def guarded(entry: Entry) -> Entry:
            if not entry.is_held:
                raise self._lost(lease, f"the run has ended as {entry.status}")
            return change(entry)

        self._change_own(lease, guarded)

    def _change_own(self, lease: Lease, change: Callable[[Entry], Entry]) -> None:
        self._change(lease.tenant, lease.day, lambda entry: change(self._own(lease, entry)))

    def _change(self, tenant: str, day: date, change: Callable[[Entry | None], Entry]) -> Entry:
        def change_item(before: Item | None) -> tuple[Item, Entry]:
            after = change(from_item(before) if before else None)
            # What other programs keep in the item stays there.
            return {**(before or {}), **to_item(after)}, after

        with error_context(tenant, day.isoformat()):
            return self._replace(keys.days_of(tenant), keys.day_key(day), change_item)

    def _replace(self, pk: str, sk: str, change: Callable[[Item | None], tuple[Item, Answer]]) -> Answer:
        """Write what `change` makes of an item, whoever else writes it meanwhile; return what it says of it."""
        for _ in range(ROUNDS):
            stored = self.store.get(pk, sk)
            item, answer = change(stored.item if stored else None)
            try:
                self.store.put(item, expected=stored.version if stored else None)
            except VersionConflictError:
                continue
            return answer
        raise RetryableError(
            "the ledger's item is changed by others faster than it can be read", next_step="run the day again"
        )

    def _own(self, lease: Lease, entry: Entry | None) -> Entry:
        """The entry, if it is still the lease's."""
        if entry is not None and (entry.token, entry.holder) == (lease.token, lease.run_id):
            return entry
        raise self._lost(lease, f"run {entry.holder} of {entry.owner} has taken it" if entry else "its item is gone")

    def _lost(self, lease: Lease, why: str) -> LeaseHeldError:
        return LeaseHeldError(
            f"the lease is lost: {why}; this run publishes nothing more",
            next_step="nothing to do, the later run goes on",
            tenant=lease.tenant,
            day=lease.day.isoformat(),
        )


def _is_dead(entry: Entry | None) -> bool:
    """Whether a process of this machine holds the day, and is no more; of a job nothing is known here."""
    return entry is not None and entry.is_held and entry.status != "SUBMITTED" and is_dead(str(entry.owner))
