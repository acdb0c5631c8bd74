"""Ends what was submitted, from the truth; asks again for what may succeed; tells how the night stands."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

from daily_batch.domain import metrics
from daily_batch.domain.calendar import FIRST_DAY, business_day
from daily_batch.domain.keys import is_tenant
from daily_batch.domain.request import Request
from daily_batch.domain.url import StorageUrl, parse_url
from daily_batch.errors import BatchError, LeaseHeldError, RetryableError, describe_error
from daily_batch.ledger import Entry
from daily_batch.ledger.entry import parse_timestamp
from daily_batch.ledger.factory import open_ledger
from daily_batch.orchestration.bootstrap import make_dispatch
from daily_batch.orchestration.day_metrics import log_ended, name_day
from daily_batch.orchestration.day_status import ENDED, SOUND, UNKNOWN, day_status, describe, due_time
from daily_batch.orchestration.dispatch import Dispatch
from daily_batch.orchestration.requests import build_requests
from daily_batch.orchestration.spark_jobs.reconcile import Ended
from daily_batch.orchestration.tasks import Task, name_tenants
from daily_batch.settings import Settings
from daily_batch.telemetry import Telemetry, log_step

# Days before today that are looked after each time. Days that were asked for from further back have their turn once a
# day, for to read a tenant's whole history costs a hundred times as much.
WATCHED_DAYS = 7
HISTORY_TURN = timedelta(hours=1)
ASKED_AGAIN_AFTER = timedelta(hours=2)


@dataclass(frozen=True, kw_only=True)
class Attention:
    """A tenant-day of the night that a person should look at, and why."""

    tenant: str
    state: str
    note: str


@dataclass(frozen=True, kw_only=True)
class Summary:
    """How a night's day stands: tenants by state, and whom to look at.

    `unreadable` counts objects of published days that are in no table, `late` tenants, `queued` days that were asked
    for again; `ended` says that nothing will change by itself.
    """

    date: str
    tenants: int
    states: dict[str, int]
    attention: tuple[Attention, ...]
    unreadable: int
    late: int
    queued: int
    ended: bool


@dataclass(frozen=True, kw_only=True)
class Watcher:
    """`send` puts tasks on the queue.

    `ended` is told of each day that a settlement has ended, and whether it is tried again; `trouble` of a tenant that
    could not be looked after; `drifted` of a day that only a reconciliation has settled, and how long after its job
    ended.
    """

    settings: Settings
    dispatch: Dispatch
    send: Callable[[Sequence[Task]], None]
    ended: Callable[[Entry, bool], None]
    trouble: Callable[[BatchError], None]
    drifted: Callable[[Entry, timedelta], None] = lambda entry, late: None

    def follow(self, request: Request) -> Entry | None:
        """Settle one tenant-day, as its job's event asks for; the entry, if that has ended it."""
        settled: list[Entry] = []

        def hear(entry: Entry, job_ended: datetime | None) -> None:
            self._tell(entry)
            settled.append(entry)

        self._settle(request, hear)
        self._ask_again(settled)
        return settled[0] if settled else None

    def reconcile(self, requests: Sequence[Request], *, now: datetime) -> Summary:
        """Settle all that no event told, ask again for what may succeed, and sum the night's day up.

        Args:
            requests: one for each tenant, of the night's day.
        """
        known = [self._tend(request, now) for request in requests]
        queued = self._ask_again([entry for entries in known for entry in (entries or {}).values()])
        return summarize(requests, known, now=now, settings=self.settings, queued=queued)

    def _tend(self, request: Request, now: datetime) -> dict[date, Entry] | None:
        """What the ledger knows of a tenant's days, once its ended jobs are settled; None: it did not tell."""
        today = business_day(now, offset=0, zone=self.settings.timezone)
        due = due_time(request.day, self.settings)
        first = FIRST_DAY if due <= now < due + HISTORY_TURN else today - timedelta(days=WATCHED_DAYS)
        entries: dict[date, Entry] | None = None
        with self._troubled(request):
            entries = {entry.day: entry for entry in self.dispatch.ledger.days(request.tenant, first, today)}
        if entries is None:
            return None
        for entry in [entry for entry in entries.values() if entry.status == "SUBMITTED"]:
            own = replace(request, day=entry.day)
            with self._troubled(own):
                entries[entry.day] = self._settle(own, partial(self._hear_late, now)) or entry
        return entries

    def _hear_late(self, now: datetime, entry: Entry, job_ended: datetime | None) -> None:
        """Tell of a day, and whether its job had ended long before: an event would have been quicker."""
        self._tell(entry)
        if job_ended is not None and now - job_ended > timedelta(minutes=self.settings.drift_minutes):
            self.drifted(entry, now - job_ended)

    def _tell(self, entry: Entry) -> None:
        self.ended(entry, self._may_succeed(entry))

    @contextmanager
    def _troubled(self, request: Request) -> Iterator[None]:
        """Tell of one tenant-day's trouble, and go on with the others."""
        try:
            yield
        except Exception as error:
            known = (
                error
                if isinstance(error, BatchError)
                else RetryableError(describe_error(error), next_step="look at the log")
            )
            known.add_context(request.tenant, request.day.isoformat())
            self.trouble(known)

    def _settle(self, request: Request, ended: Ended) -> Entry | None:
        """The entry of a submitted day, ended if its job has ended."""
        try:
            return self.dispatch.look(request, ended=ended)
        except LeaseHeldError:  # another run took the day meanwhile
            return self.dispatch.ledger.find(request.tenant, request.day)

    def _ask_again(self, entries: Sequence[Entry]) -> int:
        """Put what may succeed on the queue, once in a while: a message may wait there behind many others."""
        now = self.dispatch.ledger.clock()
        wanted = [
            entry
            for entry in entries
            if self._may_succeed(entry)
            and (entry.asked_at is None or now - parse_timestamp(entry.asked_at) > ASKED_AGAIN_AFTER)
        ]
        if wanted:
            self.send([Task(tenant=entry.tenant, date=entry.day.isoformat()) for entry in wanted])
        for entry in wanted:
            with suppress(LeaseHeldError):  # it was taken meanwhile
                self.dispatch.ledger.record_request(entry.lease)
        return len(wanted)

    def _may_succeed(self, entry: Entry) -> bool:
        if entry.attempts >= self.settings.max_attempts:
            return False
        if entry.status == "FAILED":
            # Where no job was asked for, the task's own message is delivered again.
            return bool(entry.job_id and entry.retryable)
        # A worker died here, and the message may be gone with it.
        return entry.is_active and not entry.job_id and not entry.is_leased(self.dispatch.ledger.clock())


def night_requests(settings: Settings, *, now: datetime, list_tenants: Callable[[], Sequence[str]]) -> list[Request]:
    """One request for each tenant, of the night's day; names that are none were refused when the night began."""
    tenants = tuple(filter(is_tenant, name_tenants(settings.tenants, list_tenants)))
    return list(build_requests(replace(settings, tenants=tenants), now)) if tenants else []


def summarize(
    requests: Sequence[Request],
    known: Sequence[Mapping[date, Entry] | None],
    *,
    now: datetime,
    settings: Settings,
    queued: int = 0,
) -> Summary:
    """How a night's day stands, from what the ledger knows of each tenant's days; of None it did not tell."""
    due = due_time(requests[0].day, settings)
    states: Counter[str] = Counter()
    attention: list[Attention] = []
    late = unreadable = 0
    for request, entries in zip(requests, known, strict=True):
        state, note, is_late = UNKNOWN, "the ledger did not tell", False
        if entries is not None:
            entry = entries.get(request.day)
            state = day_status(entry, now=now, due=due)
            note, is_late = describe(entry, state, now=now), now >= due and not (entry and entry.is_complete)
            unreadable += (entry and entry.unreadable) or 0
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
        late=late,
        queued=queued,
        ended=not queued and all(state in ENDED for state in states),
    )


# A line of the log has its limits; `makoto-batch status` tells of everyone.
MOST_TOLD = 50

Send = Callable[[Sequence[Task]], None]


def reconcile_night(settings: Settings, *, now: datetime, send: Send, teller: Telemetry) -> dict[str, Any]:
    """Reconcile all tenants; the night's summary, as the log has it.

    Args:
        send: puts tasks on the queue.
    """
    troubles: list[BatchError] = []
    drifted: list[Entry] = []
    ledger = open_ledger(settings, parse_url(settings.output))
    requests = night_requests(settings, now=now, list_tenants=ledger.tenants)
    if not requests:
        teller.info("there is no tenant yet")
        return {"tenants": 0, "ended": True}
    watcher = make_watcher(
        settings, requests[0].output, send=send, teller=teller, troubled=troubles.append, drifted=drifted.append
    )
    summary = watcher.reconcile(requests, now=now)
    teller.measure(metrics.DAYS_LATE, summary.late)
    teller.measure(metrics.DAYS_DRIFTED, len(drifted))
    teller.measure(metrics.TENANTS_IN_TROUBLE, len({error.tenant for error in troubles}))
    told = asdict(replace(summary, attention=summary.attention[:MOST_TOLD]))
    teller.info("the night", summary=told)
    return told


def make_watcher(
    settings: Settings,
    output: StorageUrl,
    *,
    send: Send,
    teller: Telemetry,
    troubled: Callable[[BatchError], None] = lambda error: None,
    drifted: Callable[[Entry], None] = lambda entry: None,
) -> Watcher:
    """A watcher that tells what it does.

    `troubled` hears of tenants that could not be looked after, `drifted` of days whose job's end no event told.
    """

    def note(error: BatchError) -> None:
        troubled(error)
        teller.error(str(error))

    def miss(entry: Entry, late: timedelta) -> None:
        drifted(entry)
        teller.error("no event told of the job's end", late_seconds=round(late.total_seconds()), **name_day(entry))

    dispatch = make_dispatch(settings, output, told=partial(log_step, teller))
    return Watcher(
        settings=settings,
        dispatch=dispatch,
        send=send,
        ended=lambda entry, again: log_ended(
            entry, again=again, ledger=dispatch.ledger, settings=settings, teller=teller
        ),
        trouble=note,
        drifted=miss,
    )
