"""The night's summary: tenants by state, and those that need attention, from the ledger's entries."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from daily_batch.domain.request import Request
from daily_batch.ledger import Entry
from daily_batch.orchestration.day_status import ENDED, SOUND, UNKNOWN, day_status, describe, due_time
from daily_batch.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Attention:
    """A tenant-day of the night that needs attention, and why."""

    tenant: str
    state: str
    note: str


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The state of a night: tenants by state, and which need attention.

    `unreadable` counts objects of published days that are in no table, `new_fields` fields that a tenant did not send
    before, `late` tenants, `queued` days that were queued again; `ended` says that nothing will change by itself.
    """

    date: str
    tenants: int
    states: dict[str, int]
    attention: tuple[Attention, ...]
    unreadable: int
    new_fields: int
    late: int
    queued: int
    ended: bool


def summarize(
    requests: Sequence[Request],
    known: Sequence[Mapping[date, Entry] | None],
    *,
    now: datetime,
    settings: Settings,
    queued: int = 0,
) -> Summary:
    """Summarize a night from the ledger's entries of each tenant's days; None where the ledger did not answer."""
    due = due_time(requests[0].day, settings)
    states: Counter[str] = Counter()
    attention: list[Attention] = []
    late = unreadable = new_fields = 0
    for request, entries in zip(requests, known, strict=True):
        state, note, is_late = UNKNOWN, "the ledger did not answer", False
        if entries is not None:
            entry = entries.get(request.day)
            state = day_status(entry, now=now, due=due)
            note, is_late = describe(entry, state, now=now), now >= due and not (entry and entry.is_complete)
            unreadable += (entry and entry.unreadable) or 0
            new_fields += len((entry and entry.new_fields) or ())
        states[state] += 1
        late += is_late
        if is_late or state not in SOUND:
            attention.append(Attention(tenant=request.tenant, state=state, note=note))
    return Summary(
        date=requests[0].day.isoformat(),
        tenants=len(requests),
        states=dict(states),
        attention=tuple(attention),
        unreadable=unreadable,
        new_fields=new_fields,
        late=late,
        queued=queued,
        ended=not queued and all(state in ENDED for state in states),
    )
