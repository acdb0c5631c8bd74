"""Doubles for tests of the ledger: a day, a manual clock, a receipt, and stores with injected faults."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from daily_batch.domain.receipt import Objects, Receipt, Records
from daily_batch.metadata import Item, MetadataStore, VersionConflictError, VersionedItem

DAY = date(2025, 8, 12)
BEGIN = datetime(2025, 8, 12, 17, 0, tzinfo=UTC)
LEASE = timedelta(minutes=2)
# A process of another machine, of which nothing is known.
ELSEWHERE = "elsewhere:1:1"


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    now: datetime = BEGIN

    def __call__(self) -> datetime:
        return self.now

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)


def make_receipt(*, tenant: str = "acme", run_id: str = "run1", written: int = 90, rejected: int = 0) -> Receipt:
    return Receipt(
        tenant=tenant,
        date=DAY.isoformat(),
        run_id=run_id,
        status="COMPLETED_WITH_REJECTS" if rejected else "COMPLETED",
        runner="local",
        format="delta",
        layout="messages",
        objects=Objects(listed=1, read=1, unreadable=0, bytes=1),
        records=Records(
            seen=written + rejected,
            written=written,
            duplicates=0,
            superseded=0,
            rejected=rejected,
            other_day=0,
            empty=0,
        ),
        rejects={"invalid_json": rejected} if rejected else {},
        flags={},
        tables={},
        seconds={"total": 4.6},
        input="in",
        output="out",
        fingerprint=f"print-of-{run_id}",
    )


@dataclass
class MemoryStore:
    """A metadata store in memory, for one thread; see `MetadataStore`."""

    items: dict[tuple[str, str], VersionedItem] = field(default_factory=dict)

    def get(self, pk: str, sk: str) -> VersionedItem | None:
        return self.items.get((pk, sk))

    def query(self, pk: str, *, first: str, last: str) -> Iterator[Item]:
        return (stored.item for key, stored in sorted(self.items.items()) if key[0] == pk and first <= key[1] <= last)

    def put(self, item: Item, *, expected: str | None) -> str:
        key = str(item["PK"]), str(item["SK"])
        found = self.items.get(key)
        if (found.version if found else None) != expected:
            raise VersionConflictError
        version = str(int(expected or 0) + 1)
        self.items[key] = VersionedItem(dict(item), version)
        return version


@dataclass
class FaultyStore:
    """A store with injected faults.

    Each error of `lost` is raised once by a put that has written; `read_fault` and `write_fault` are raised before
    anything is done, until they are taken away. `written` is called after a put, before its answer.
    """

    inner: MetadataStore
    lost: list[Exception] = field(default_factory=list)
    read_fault: Exception | None = None
    write_fault: Exception | None = None
    written: Callable[[Item], None] = lambda item: None

    def get(self, pk: str, sk: str) -> VersionedItem | None:
        if self.read_fault:
            raise self.read_fault
        return self.inner.get(pk, sk)

    def query(self, pk: str, *, first: str, last: str) -> Iterator[Item]:
        if self.read_fault:
            raise self.read_fault
        return self.inner.query(pk, first=first, last=last)

    def put(self, item: Item, *, expected: str | None) -> str:
        if self.write_fault:
            raise self.write_fault
        version = self.inner.put(item, expected=expected)
        self.written(item)
        if self.lost:
            raise self.lost.pop()
        return version
