"""What a report says of many tenant-days: sums over them, and whom to look at. Pure: no store, no clock, no words."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import TypeVar

from daily_batch.domain.receipt import Objects, Records
from daily_batch.ledger import FoundStrays
from daily_batch.orchestration.routing.costs import MonthCost, sum_by_month
from daily_batch.reporting.days import DayFacts

_Amount = TypeVar("_Amount", int, float)

NO_OBJECTS = Objects(listed=0, read=0, unreadable=0, bytes=0)
NO_RECORDS = Records(seen=0, written=0, duplicates=0, superseded=0, rejected=0, other_day=0, empty=0)


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Sums over tenant-days; `receipts` says of how many the records, objects, reasons and seconds are known.

    `messages` and `rejected` are the ledger's, which knows them of every day that is published.
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
    """A report's facts: `days` by tenant, then by day, with a day for each tenant and date of the range.

    `strays` are what was found last of tenants that have objects where no run looks.
    """

    tenants: tuple[str, ...]
    dates: tuple[date, ...]
    now: datetime
    days: tuple[DayFacts, ...]
    strays: tuple[FoundStrays, ...] = ()

    @property
    def in_need(self) -> tuple[DayFacts, ...]:
        """The days that need someone, the newest first."""
        return tuple(sorted((each for each in self.days if each.needs_someone), key=_newest))

    @property
    def odd(self) -> tuple[DayFacts, ...]:
        """The days that are worth a look, the newest first."""
        return tuple(sorted((each for each in self.days if each.is_odd), key=_newest))

    @property
    def unknown(self) -> int:
        """How many days are published and have no receipt that can be read."""
        return sum(each.messages is not None and each.records is None for each in self.days)

    @property
    def months(self) -> tuple[MonthCost, ...]:
        """What the days that have ended were billed, by tenant and month."""
        return sum_by_month((one.tenant, one.day, one.billed_usd) for one in self.days if one.has_ended)

    @property
    def dearest(self) -> tuple[MonthCost, ...]:
        """The months of which a bill is known, the highest first."""
        known = [each for each in self.months if each.unknown < each.days]
        return tuple(sorted(known, key=lambda each: -each.cost_usd))

    @property
    def by_tenant(self) -> dict[str, tuple[DayFacts, ...]]:
        """The days of each tenant."""
        width = len(self.dates)
        return {tenant: self.days[place * width :][:width] for place, tenant in enumerate(self.tenants)}

    @property
    def by_date(self) -> dict[date, Totals]:
        """The sums of each date."""
        width = len(self.dates)
        return {day: add_up(self.days[place::width]) for place, day in enumerate(self.dates)}


def _newest(each: DayFacts) -> tuple[int, str]:
    return -each.day.toordinal(), each.tenant


def add_up(days: Iterable[DayFacts]) -> Totals:
    """The sums over some tenant-days."""
    each = list(days)
    rejects = _sum(one.rejects for one in each)
    return Totals(
        days=len(each),
        states=dict(Counter(one.state for one in each)),
        late=sum(one.late for one in each),
        receipts=sum(one.records is not None for one in each),
        messages=sum(one.messages or 0 for one in each),
        rejected=sum(one.rejected or 0 for one in each),
        objects=Objects(**_sum([asdict(NO_OBJECTS), *(asdict(one.objects) for one in each if one.objects)])),
        records=Records(**_sum([asdict(NO_RECORDS), *(asdict(one.records) for one in each if one.records)])),
        rejects=dict(sorted(rejects.items(), key=lambda item: -item[1])),
        seconds=_sum(one.seconds for one in each),
        predicted_usd=sum(one.predicted_usd or 0.0 for one in each),
        billed_usd=sum(one.billed_usd or 0.0 for one in each),
        billed_days=sum(one.billed_usd is not None for one in each),
    )


def _sum(tables: Iterable[Mapping[str, _Amount]]) -> dict[str, _Amount]:
    """Each name's sum, names in the order in which they first come."""
    total: dict[str, _Amount] = {}
    for table in tables:
        for name, amount in table.items():
            total[name] = total[name] + amount if name in total else amount
    return total
