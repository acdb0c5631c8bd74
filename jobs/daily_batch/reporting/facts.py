"""The facts of a report: what it says of each tenant-day, and sums over them. Pure: no store, no clock, no texts."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import TypeVar

from daily_batch.domain.quality import describe, warnings
from daily_batch.domain.receipt import Objects, Receipt, Records
from daily_batch.ledger import Entry, StrayCount
from daily_batch.orchestration.day_status import ENDED, NOT_STARTED, SOUND, day_status
from daily_batch.orchestration.routing.costs import MonthCost, sum_by_month
from daily_batch.orchestration.volume_anomaly import find_anomaly

_Amount = TypeVar("_Amount", int, float)

NO_OBJECTS = Objects(listed=0, read=0, unreadable=0, bytes=0)
NO_RECORDS = Records(seen=0, written=0, duplicates=0, superseded=0, rejected=0, other_day=0, empty=0)


@dataclass(frozen=True, kw_only=True)
class DayFacts:
    """The facts of one tenant-day; None means unknown.

    The counts (`messages`, `records`, `rejects`, `seconds` by stage, …) are those of the last run that published,
    whatever came after. `total_objects` is the number of objects without ignored ones; `unreadable` of them could not
    be read. `expected` is the expected volume of a day whose volume is anomalous, `quality` describes the rules that
    warned, `new_fields` names the fields that no day of the four weeks before had, and `doubt` says why the receipt
    cannot be relied on. `input` is the URL that the run read.
    """

    tenant: str
    day: date
    state: str
    late: bool = False
    run_id: str | None = None
    runner: str | None = None
    attempts: int = 0
    error: str | None = None
    ended: str | None = None
    messages: int | None = None
    rejected: int | None = None
    unreadable: int | None = None
    total_objects: int | None = None
    objects: Objects | None = None
    records: Records | None = None
    rejects: Mapping[str, int] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    predicted_usd: float | None = None
    billed_usd: float | None = None
    expected: int | None = None
    quality: tuple[str, ...] = ()
    unknown_fields: Mapping[str, int] = field(default_factory=dict)
    new_fields: tuple[str, ...] = ()
    doubt: str | None = None
    input: str | None = None

    @property
    def is_done(self) -> bool:
        """Whether the last run published the day."""
        return self.state.startswith("COMPLETED")

    @property
    def has_ended(self) -> bool:
        """Whether the last run has published or failed."""
        return self.state in ENDED

    @property
    def needs_attention(self) -> bool:
        """Whether the day stays in its state until an operator acts."""
        return self.state not in SOUND

    @property
    def is_anomalous(self) -> bool:
        """Whether the day has warnings."""
        overdue = self.late and not self.needs_attention
        warned = self.quality or self.new_fields or self.unreadable
        return bool(self.expected is not None or warned or self.doubt or overdue)


def make_day_facts(
    tenant: str,
    day: date,
    entry: Entry | None,
    receipt: Receipt | None,
    *,
    now: datetime,
    due: datetime,
    history: Sequence[tuple[date, int]] = (),
    factor: float = 3.0,
    floor: int = 100,
    predicted_usd: float | None = None,
    doubt: str | None = None,
    is_before_first: bool = False,
) -> DayFacts:
    """Return the facts of one tenant-day.

    Args:
        receipt: of the last run that published.
        due: when the day must be completed.
        history: messages of the tenant's other days, with which `factor` and `floor` define an anomaly.
        doubt: why the receipt is missing or cannot be relied on.
        is_before_first: the day is before the tenant's first run, so nothing says that it was missed.
    """
    state = day_status(entry, now=now, due=due)
    if entry is None and is_before_first:
        return DayFacts(tenant=tenant, day=day, state=NOT_STARTED)
    if entry is None:
        return DayFacts(tenant=tenant, day=day, state=state, late=now >= due)
    messages = entry.message_count
    volume = None if messages is None else find_anomaly(messages, history, day, factor=factor, floor=floor)
    return DayFacts(
        tenant=tenant,
        day=day,
        state=state,
        late=now >= due and not entry.is_complete,
        run_id=entry.run_id,
        runner=entry.runner,
        attempts=entry.attempts,
        error=entry.error,
        ended=entry.lease_until if state == "DEAD" else None,
        messages=messages,
        rejected=entry.rejected,
        unreadable=entry.unreadable,
        total_objects=receipt.objects.in_manifest if receipt else entry.objects,
        objects=receipt.objects if receipt else None,
        records=receipt.records if receipt else None,
        rejects=receipt.rejects if receipt else {},
        seconds=receipt.seconds if receipt else {},
        predicted_usd=predicted_usd,
        billed_usd=entry.cost_usd,
        expected=volume.expected if volume and volume.is_unusual else None,
        quality=tuple(describe(result) for result in warnings(receipt.quality)) if receipt else (),
        unknown_fields=receipt.unknown_fields if receipt else {},
        new_fields=entry.new_fields or (),
        doubt=doubt,
        input=receipt.input if receipt else None,
    )


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Sums over tenant-days; records, objects, reasons and seconds are sums over `receipts` of them.

    `messages` and `rejected` come from the ledger, which has them for every published day.
    """

    days: int
    states: Mapping[str, int]
    late: int
    receipts: int
    messages: int
    rejected: int
    objects: Objects
    records: Records
    rejects: Mapping[str, int]
    seconds: Mapping[str, float]
    predicted_usd: float
    billed_usd: float
    billed_days: int


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The facts of a report: `days` has one entry per tenant and date, ordered by tenant, then by date.

    `strays` are the last findings of tenants with objects outside every folder that a run reads. `nights` are the
    first and the last night, in which the first and the last date were processed. `flags` are the command-line flags
    that lead a command to the same tables, and `docs` is the URL or folder of the documentation.
    """

    tenants: tuple[str, ...]
    dates: tuple[date, ...]
    now: datetime
    days: tuple[DayFacts, ...]
    nights: tuple[date, date]
    strays: tuple[StrayCount, ...] = ()
    flags: Mapping[str, str] = field(default_factory=dict)
    docs: str = "docs"

    @property
    def needing_attention(self) -> tuple[DayFacts, ...]:
        """The days that need attention, the newest first."""
        return tuple(sorted((day for day in self.days if day.needs_attention), key=_newest))

    @property
    def anomalous(self) -> tuple[DayFacts, ...]:
        """The days with warnings, the newest first."""
        return tuple(sorted((day for day in self.days if day.is_anomalous), key=_newest))

    @property
    def without_receipt(self) -> int:
        """The number of published days without a readable receipt."""
        return sum(day.messages is not None and day.records is None for day in self.days)

    @property
    def months(self) -> tuple[MonthCost, ...]:
        """The billed cost of the days that have ended, by tenant and month."""
        return sum_by_month((day.tenant, day.day, day.billed_usd) for day in self.days if day.has_ended)

    @property
    def months_by_cost(self) -> tuple[MonthCost, ...]:
        """The months with a known bill, the highest first."""
        billed = [month for month in self.months if month.unknown < month.days]
        return tuple(sorted(billed, key=lambda month: -month.cost_usd))

    @property
    def by_tenant(self) -> dict[str, tuple[DayFacts, ...]]:
        """The days of each tenant, the worst tenants first."""
        width = len(self.dates)
        rows = [(tenant, self.days[place * width :][:width]) for place, tenant in enumerate(self.tenants)]
        return dict(sorted(rows, key=lambda row: (_severity(row[1]), row[0])))

    @property
    def by_date(self) -> dict[date, Totals]:
        """The sums of each date."""
        width = len(self.dates)
        return {day: add_up(self.days[place::width]) for place, day in enumerate(self.dates)}


def _newest(day: DayFacts) -> tuple[int, str]:
    return -day.day.toordinal(), day.tenant


def _severity(days: Sequence[DayFacts]) -> tuple[int, int, int, float]:
    """Return a sort key of a tenant: the newest and the most days that need attention, warnings, share of rejects."""
    failed = [day.day.toordinal() for day in days if day.needs_attention]
    rejected = sum(day.rejected or 0 for day in days)
    records = rejected + sum(day.messages or 0 for day in days)
    warned = sum(day.is_anomalous for day in days)
    return -max(failed, default=0), -len(failed), -warned, -rejected / records if records else 0.0


def add_up(days: Iterable[DayFacts]) -> Totals:
    """Return the sums over some tenant-days."""
    every = list(days)
    rejects = _sum(day.rejects for day in every)
    return Totals(
        days=len(every),
        states=dict(Counter(day.state for day in every)),
        late=sum(day.late for day in every),
        receipts=sum(day.records is not None for day in every),
        messages=sum(day.messages or 0 for day in every),
        rejected=sum(day.rejected or 0 for day in every),
        objects=Objects(**_sum([asdict(NO_OBJECTS), *(asdict(day.objects) for day in every if day.objects)])),
        records=Records(**_sum([asdict(NO_RECORDS), *(asdict(day.records) for day in every if day.records)])),
        rejects=dict(sorted(rejects.items(), key=lambda item: -item[1])),
        seconds=_sum(day.seconds for day in every),
        predicted_usd=sum(day.predicted_usd or 0.0 for day in every),
        billed_usd=sum(day.billed_usd or 0.0 for day in every),
        billed_days=sum(day.billed_usd is not None for day in every),
    )


def _sum(tables: Iterable[Mapping[str, _Amount]]) -> dict[str, _Amount]:
    """Return the sum of each name, in order of first occurrence."""
    total: dict[str, _Amount] = {}
    for table in tables:
        for name, amount in table.items():
            total[name] = total[name] + amount if name in total else amount
    return total
