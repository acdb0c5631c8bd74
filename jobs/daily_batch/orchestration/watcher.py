"""Watcher: settle submitted days by reconciliation, queue again what may succeed, and summarize the night."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from daily_batch.domain import metrics
from daily_batch.domain.calendar import FIRST_DAY, business_day
from daily_batch.domain.keys import is_tenant
from daily_batch.domain.request import Request
from daily_batch.domain.url import parse_url
from daily_batch.errors import LeaseHeldError
from daily_batch.ledger import Entry
from daily_batch.ledger.entry import parse_timestamp
from daily_batch.ledger.factory import open_ledger
from daily_batch.orchestration.bootstrap import make_dispatch
from daily_batch.orchestration.day_metrics import day_context, record_end
from daily_batch.orchestration.day_status import due_time
from daily_batch.orchestration.dispatch import Dispatch
from daily_batch.orchestration.night_summary import Summary, summarize
from daily_batch.orchestration.notification import ReadSecret, notify
from daily_batch.orchestration.requests import build_requests
from daily_batch.orchestration.spark_jobs.reconcile import Reconciled
from daily_batch.orchestration.tasks import Task, name_tenants
from daily_batch.settings import Settings
from daily_batch.telemetry import Telemetry, sanitize

# Every call reads this many days before today. Older days have their turn once a day: to read a tenant's whole history
# costs a hundred times as much.
WATCHED_DAYS = 7
HISTORY_TURN = timedelta(hours=1)
QUEUED_AGAIN_AFTER = timedelta(hours=2)
# How often the queues deliver a message (maxReceiveCount in template.yaml, maxDequeueCount in host.json).
DELIVERIES = 3
# A log line has a size limit; `makoto-batch status` lists everyone.
MAX_LISTED = 50

Send = Callable[[Sequence[Task]], None]


def reconcile(
    settings: Settings, *, now: datetime, send: Send, telemetry: Telemetry, read_secret: ReadSecret | None = None
) -> dict[str, Any]:
    """Reconcile every tenant's submitted days, queue again what may succeed, and return the night's summary.

    The summary is posted to the webhook, if one is set, once the night has settled or its days are due.

    Args:
        send: Puts tasks on the queue.
        read_secret: Returns the value of an AWS secret by its ARN; only AWS has one.
    """
    ledger = open_ledger(settings, parse_url(settings.output))
    requests = night_requests(settings, now=now, list_tenants=ledger.tenants)
    if not requests:
        telemetry.info("there is no tenant yet")
        return {"tenants": 0, "ended": True}
    dispatch = make_dispatch(settings, requests[0].output, telemetry=telemetry)
    found = Watcher(settings=settings, dispatch=dispatch, send=send, telemetry=telemetry).reconcile(requests, now=now)
    telemetry.measure(metrics.DAYS_LATE, found.summary.late)
    telemetry.measure(metrics.DAYS_DRIFTED, found.drifted)
    telemetry.measure(metrics.TENANTS_IN_TROUBLE, len(found.failed_tenants))
    summary = asdict(replace(found.summary, attention=found.summary.attention[:MAX_LISTED]))
    telemetry.info("the night", summary=summary)
    if found.settled or now >= due_time(requests[0].day, settings):
        notify(
            found.summary,
            settings=settings,
            store=ledger.store,
            now=now,
            telemetry=telemetry,
            read_secret=read_secret,
        )
    return summary


def settle_event(request: Request, settings: Settings, *, send: Send, telemetry: Telemetry) -> bool:
    """Settle the tenant-day whose job an event reports as ended; return whether its job had ended.

    Args:
        send: Puts tasks on the queue.
    """
    dispatch = make_dispatch(settings, request.output, telemetry=telemetry)
    return Watcher(settings=settings, dispatch=dispatch, send=send, telemetry=telemetry).settle(request)


@dataclass(frozen=True, kw_only=True)
class NightReport:
    """The result of one reconciliation.

    `drifted` counts days whose job had ended more than `drift_minutes` before: no event had reported it.
    `failed_tenants` are those that could not be reconciled. `settled` says that the night has ended and that no failed
    day is tried again.
    """

    summary: Summary
    settled: bool
    drifted: int
    failed_tenants: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Watcher:
    """Settles submitted days and queues again what may succeed; `send` puts tasks on the queue."""

    settings: Settings
    dispatch: Dispatch
    send: Send
    telemetry: Telemetry

    def settle(self, request: Request) -> bool:
        """Settle one tenant-day; return whether its job had ended."""
        found = self._reconcile_day(request)
        if found is None or not found.has_ended:
            return False
        self._record_end(found)
        self._queue_again([found.entry])
        return True

    def reconcile(self, requests: Sequence[Request], *, now: datetime) -> NightReport:
        """Settle what no event has reported, queue again what may succeed, and summarize the night.

        Args:
            requests: One for each tenant, for the night's day.
        """
        drifted = 0
        failed = set[str]()
        known: list[dict[date, Entry] | None] = []
        for request in requests:
            entries: dict[date, Entry] | None = None
            with self._logged_failure(request, failed):
                entries = self._read_days(request, now)
            for entry in [entry for entry in (entries or {}).values() if entry.status == "SUBMITTED"]:
                own = replace(request, day=entry.day)
                with self._logged_failure(own, failed):
                    found = self._reconcile_day(own, entry)
                    if entries is not None and found is not None:
                        entries[entry.day] = found.entry
                        drifted += self._record_late(found, now)
            known.append(entries)
        queued = self._queue_again([entry for entries in known for entry in (entries or {}).values()])
        summary = summarize(requests, known, now=now, settings=self.settings, queued=queued)
        night = [(entries or {}).get(request.day) for request, entries in zip(requests, known, strict=True)]
        settled = summary.ended and not any(entry and self._is_retried(entry) for entry in night)
        return NightReport(summary=summary, settled=settled, drifted=drifted, failed_tenants=frozenset(failed))

    def _read_days(self, request: Request, now: datetime) -> dict[date, Entry]:
        """Return what the ledger knows of a tenant's recent days; once a day, of all its days."""
        today = business_day(now, offset=0, zone=self.settings.timezone)
        due = due_time(request.day, self.settings)
        first = FIRST_DAY if due <= now < due + HISTORY_TURN else today - timedelta(days=WATCHED_DAYS)
        return {entry.day: entry for entry in self.dispatch.ledger.days(request.tenant, first, today)}

    def _reconcile_day(self, request: Request, entry: Entry | None = None) -> Reconciled | None:
        try:
            return self.dispatch.reconcile(request, entry)
        except LeaseHeldError:  # another run acquired the day meanwhile
            found = self.dispatch.ledger.find(request.tenant, request.day)
            return Reconciled(entry=found) if found else None

    def _record_late(self, found: Reconciled, now: datetime) -> bool:
        """Record the end of a job that no event has reported; return whether it had ended long before."""
        if not found.has_ended:
            return False
        self._record_end(found)
        if found.ended_at is None or now - found.ended_at <= timedelta(minutes=self.settings.drift_minutes):
            return False
        late = round((now - found.ended_at).total_seconds())
        self.telemetry.error("no event reported the job's end", late_seconds=late, **day_context(found.entry))
        return True

    def _record_end(self, found: Reconciled) -> None:
        again = self._may_succeed(found.entry)
        record_end(found, again=again, ledger=self.dispatch.ledger, settings=self.settings, telemetry=self.telemetry)

    @contextmanager
    def _logged_failure(self, request: Request, failed: set[str]) -> Iterator[None]:
        """Log a failure, add its tenant to `failed`, and go on with the other tenants."""
        try:
            yield
        except Exception as error:
            known = sanitize(error)
            known.add_context(request.tenant, request.day.isoformat())
            failed.add(known.tenant)
            self.telemetry.error(str(known))

    def _queue_again(self, entries: Sequence[Entry]) -> int:
        """Queue what may succeed, at most once in `QUEUED_AGAIN_AFTER`: a message may wait behind many others."""
        now = self.dispatch.ledger.clock()
        wanted = [
            entry
            for entry in entries
            if self._may_succeed(entry)
            and (entry.asked_at is None or now - parse_timestamp(entry.asked_at) > QUEUED_AGAIN_AFTER)
        ]
        if wanted:
            self.send([Task(tenant=entry.tenant, date=entry.day.isoformat()) for entry in wanted])
        for entry in wanted:
            with suppress(LeaseHeldError):  # another run acquired it meanwhile
                self.dispatch.ledger.record_request(entry.lease)
        return len(wanted)

    def _may_succeed(self, entry: Entry) -> bool:
        """Return whether another attempt may succeed that nothing else will make."""
        if entry.attempts >= self.settings.max_attempts:
            return False
        if entry.status == "FAILED":
            # Where no job was submitted, the queue delivers the task's own message again.
            return bool(entry.job_id and entry.retryable)
        # A worker died here, and its message may be lost with it.
        return entry.is_active and not entry.job_id and not entry.is_leased(self.dispatch.ledger.clock())

    def _is_retried(self, entry: Entry) -> bool:
        """Return whether a failed day is tried again: its job by this watcher, a run of a worker by the queue."""
        attempts = self.settings.max_attempts if entry.job_id else DELIVERIES
        return entry.status == "FAILED" and bool(entry.retryable) and entry.attempts < attempts


def night_requests(settings: Settings, *, now: datetime, list_tenants: Callable[[], Sequence[str]]) -> list[Request]:
    """Return one request for each tenant, for the night's day; invalid names were refused by the dispatcher."""
    tenants = tuple(filter(is_tenant, name_tenants(settings.tenants, list_tenants)))
    return list(build_requests(replace(settings, tenants=tenants), now)) if tenants else []
