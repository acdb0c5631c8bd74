"""What a report says of one tenant-day, from its ledger entry and its receipt. Pure: no store, no clock, no words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from daily_batch.domain.quality import describe, warnings
from daily_batch.domain.receipt import Objects, Receipt, Records
from daily_batch.ledger import Entry
from daily_batch.orchestration.day_status import ENDED, SOUND, day_status
from daily_batch.orchestration.volume_anomaly import find_anomaly


@dataclass(frozen=True, kw_only=True)
class DayFacts:
    """One tenant-day.

    What the tables hold (`messages`, `records`, `rejects`, `seconds` by stage, …) is of the last run that published,
    whatever came after. `expected` is what was to be expected of an unusual volume, `quality` the rules that warned in
    words, `doubt` why the receipt says nothing. None: not known.
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
    objects: Objects | None = None
    records: Records | None = None
    rejects: Mapping[str, int] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    predicted_usd: float | None = None
    billed_usd: float | None = None
    expected: int | None = None
    quality: tuple[str, ...] = ()
    doubt: str | None = None

    @property
    def is_done(self) -> bool:
        """Whether the day is published and nothing came after."""
        return self.state.startswith("completed")

    @property
    def has_ended(self) -> bool:
        """Whether its last run has published or failed."""
        return self.state in ENDED

    @property
    def needs_someone(self) -> bool:
        """Whether it stays as it is until a person does something."""
        return self.state not in SOUND

    @property
    def is_odd(self) -> bool:
        """Whether a person should look at it once there is time."""
        at_work_late = self.late and not self.needs_someone
        return bool(self.expected is not None or self.quality or self.unreadable or self.doubt or at_work_late)


def state_day(
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
) -> DayFacts:
    """The facts of one tenant-day.

    Args:
        receipt: of the last run that published.
        due: when the day should be done.
        history: messages of the tenant's other days; `factor` and `floor` say what is far from them.
        doubt: why there is no receipt.
    """
    state = day_status(entry, now=now, due=due)
    if entry is None:
        return DayFacts(tenant=tenant, day=day, state=state, late=now >= due)
    known = entry.message_count
    volume = None if known is None else find_anomaly(known, history, day, factor=factor, floor=floor)
    return DayFacts(
        tenant=tenant,
        day=day,
        state=state,
        late=now >= due and not entry.is_complete,
        run_id=entry.run_id,
        runner=entry.runner,
        attempts=entry.attempts,
        error=entry.error,
        ended=entry.lease_until if state == "dead" else None,
        messages=known,
        rejected=entry.rejected,
        unreadable=entry.unreadable,
        objects=receipt.objects if receipt else None,
        records=receipt.records if receipt else None,
        rejects=receipt.rejects if receipt else {},
        seconds=receipt.seconds if receipt else {},
        predicted_usd=predicted_usd,
        billed_usd=entry.cost_usd,
        expected=volume.expected if volume and volume.is_unusual else None,
        quality=tuple(describe(finding) for finding in warnings(receipt.quality)) if receipt else (),
        doubt=doubt,
    )
