"""`makoto-batch status`: what ran, what is missing, what is late or changed since, from the ledger."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from daily_batch.cli.output import console, guarded, print_json, print_rows
from daily_batch.cli.tenants import check_known, choose_tenants
from daily_batch.domain.calendar import business_day, days_between, parse_day
from daily_batch.domain.request import Request, build_requests
from daily_batch.ledger import Entry, Ledger
from daily_batch.ledger.factory import open_ledger
from daily_batch.orchestration.day_status import CHANGED, ENDED, SOUND, day_status, describe, due_time
from daily_batch.orchestration.routing.costs import sum_by_month
from daily_batch.pipeline.discover.discover import fingerprint_day
from daily_batch.settings import Settings, load_settings

COLUMNS = {
    "tenant": "tenant",
    "date": "date",
    "state": "state",
    "messages": "messages",
    "rejected": "rejected",
    "unreadable": "unreadable",
    "runner": "runner",
    "seconds": "seconds",
    "attempts": "attempts",
    "completed": "completed",
    "note": "note",
}
USUAL_DAYS = 7


@dataclass(frozen=True, kw_only=True)
class StatusOptions:
    """Which days; `verify` lists each completed day again, `check` makes what is not sound the exit status 1."""

    first: str | None = None
    last: str | None = None
    all_tenants: bool = False
    verify: bool = False
    check: bool = False
    as_json: bool = False
    debug: bool = False


def status_command(flags: Mapping[str, object], options: StatusOptions) -> int:
    """Print the state of each tenant-day and return the exit status."""

    def status() -> int:
        now = datetime.now(UTC)
        settings = load_settings(flags=flags, environ=os.environ)
        settings = choose_tenants(settings, all_tenants=options.all_tenants)
        # The ledger alone is asked, unless days are listed again.
        source = settings.input or ("" if options.verify else settings.output)
        requests = build_requests(replace(settings, input=source), now)
        ledger = open_ledger(settings, requests[0].output)
        if not options.all_tenants:
            check_known(settings.tenants, settings, requests[0].output, by_days=True)
        days = choose_days(options.first, options.last, settings, now)
        rows = [row for request in requests for row in _tell_tenant(request, days, settings, ledger, now, options)]
        strays = [each for request in requests if (each := ledger.find_strays(request.tenant)) and each.objects]
        if options.as_json:
            told = {"now": now.isoformat(timespec="seconds"), "days": rows, "months": _add_up(rows)}
            print_json({**told, "strays": [asdict(each) for each in strays]})
        else:
            print_rows(COLUMNS, [{**row, "completed": _to_minute(row)} for row in rows], folded="note")
            for each in strays:
                console().print(f"{each.tenant}: {each.sentence}", markup=False)
        return 1 if options.check and any(row["state"] not in SOUND for row in rows) else 0

    return guarded(status, debug=options.debug)


def choose_days(first: str | None, last: str | None, settings: Settings, now: datetime) -> list[date]:
    """The days that are told of: the last seven that are over, unless a first or a last one is given.

    Raises:
        UsageError: one is no day, or the first lies behind the last.
    """
    yesterday = business_day(now, offset=-1, zone=settings.timezone)
    end = parse_day(last) if last else max(yesterday, parse_day(first or str(yesterday)))
    begin = parse_day(first) if first else end - timedelta(days=USUAL_DAYS - 1)
    return list(days_between(begin, end, most=settings.max_range_days))


def _tell_tenant(
    request: Request, days: list[date], settings: Settings, ledger: Ledger, now: datetime, options: StatusOptions
) -> Iterator[dict[str, object]]:
    known = {entry.day: entry for entry in ledger.days(request.tenant, days[0], days[-1])}
    for day in days:
        entry, due = known.get(day), due_time(day, settings)
        state = day_status(entry, now=now, due=due)
        if options.verify and entry is not None and entry.is_complete:
            objects = fingerprint_day(replace(request, day=day), settings, progress=_silent, metadata=ledger.store)
            state = state if objects == entry.fingerprint else CHANGED
        yield _as_row(request.tenant, day, entry, state, now=now, late=now >= due)


def _add_up(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the days that have ended were billed, by tenant and month."""
    ended = (row for row in rows if row["state"] in (*ENDED, CHANGED))
    days = ((row["tenant"], date.fromisoformat(row["date"]), row["cost_usd"]) for row in ended)
    return [asdict(month) for month in sum_by_month(days)]


def _as_row(tenant: str, day: date, entry: Entry | None, state: str, *, now: datetime, late: bool) -> dict[str, object]:
    late = late and not (entry and entry.is_complete)
    note = describe(entry, state, now=now)
    note = f"late; {note}" if late else note
    return {
        "tenant": tenant,
        "date": day.isoformat(),
        "state": state,
        "messages": entry and entry.message_count,
        "rejected": entry and entry.rejected,
        "unreadable": entry and entry.unreadable,
        "quality": entry and entry.quality,
        "runner": entry and entry.runner,
        "seconds": entry and entry.seconds,
        "cost_usd": entry and entry.cost_usd,
        "attempts": entry and entry.attempts,
        "processed_at": entry and entry.processed_at,
        "run_id": entry and entry.run_id,
        "receipt": entry and entry.receipt,
        "late": late,
        "note": note,
    }


def _to_minute(row: Mapping[str, object]) -> str | None:
    """A moment as short as a table needs it, in UTC as the ledger has it."""
    moment = row["processed_at"]
    return f"{str(moment)[:10]} {str(moment)[11:16]}Z" if moment else None


def _silent(stage: str, done: int, total: int, unit: str) -> None:
    """A listing of a moment needs no progress."""
