"""From a schedule's or a person's event to tasks: one message of the queue for each tenant-day. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

import msgspec

from daily_batch.domain.calendar import business_day, days_between, parse_day
from daily_batch.domain.keys import check_tenant, is_tenant
from daily_batch.errors import UsageError
from daily_batch.settings import Settings

ALL = "*"
# More tenants than a person names; `*` is all that there are.
MOST_NAMED = 10_000
# An error may name a field of the event, which can be of any length and of any characters.
LONGEST_WHY = 120
FORM = (
    '{"tenants": ["acme"], "date": "2025-08-12"}, with "from" and "to" instead of "date", "force" where wanted, and'
    ' "allow_shrink" with your name'
)


TASK_FORM = '{"tenant": "acme", "date": "2025-08-12"}, with "force" and "allow_shrink" where wanted'


class Task(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tenant-day to be dealt with; one that did not change since it was completed is left alone unless by `force`.

    `allow_shrink` is who allows that it loses rows that are published; unset: nobody.
    """

    tenant: str
    date: str
    force: bool = False
    allow_shrink: str | msgspec.UnsetType = msgspec.UNSET


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person asks for."""

    tenants: str | Annotated[list[str], msgspec.Meta(max_length=MOST_NAMED)] | None = None
    date: str | None = None
    first: str | None = msgspec.field(default=None, name="from")
    last: str | None = msgspec.field(default=None, name="to")
    force: bool = False
    allow_shrink: str | msgspec.UnsetType = msgspec.UNSET


_ASKED = {each.encode_name for each in msgspec.structs.fields(Asked)}


@dataclass(frozen=True, kw_only=True)
class Planned:
    """Tasks, and the tenants that are none by their names, printable."""

    tasks: tuple[Task, ...]
    refused: tuple[str, ...]


def write_task(task: Task) -> str:
    """A task as the queue's message."""
    return msgspec.json.encode(task).decode()


def read_task(text: object) -> Task:
    """The task of a message.

    Raises:
        UsageError: it is none, or names a tenant or a day that is none. The message does not repeat it.
    """
    try:
        task = msgspec.json.decode(text if isinstance(text, str) else "", type=Task)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise UsageError("a message of the queue is no task", next_step=f"give {TASK_FORM}") from error
    check_tenant(task.tenant)
    parse_day(task.date)
    return task


def plan_tasks(
    event: object, settings: Settings, *, now: datetime, list_tenants: Callable[[], Sequence[str]]
) -> Planned:
    """The tasks of an event: a schedule's, which has a `time`, or a person's (`FORM`); an empty one is a schedule's.

    A schedule's event is of the day that its time says, however late it comes, and of `look_back` days before.

    Args:
        list_tenants: gives the tenants of the metadata store, where all are meant.

    Raises:
        UsageError: The event has another form, a day is invalid or has not begun, there are too many days, or there
            is no tenant.
    """
    if not isinstance(event, Mapping):
        raise UsageError("the event is no JSON object", next_step=f"give {FORM}")
    scheduled = not event or ("time" in event and not set(event) & _ASKED)
    asked = Asked() if scheduled else _read_event(event)
    moment = _read_time(event["time"]) if scheduled and event else now
    days = _days(asked, settings, moment, look_back=settings.look_back if scheduled else 0)
    if days[-1] > business_day(now, offset=0, zone=settings.timezone):
        raise UsageError("the day has not begun", next_step="give a day that is over", day=days[-1].isoformat())
    tenants = name_tenants(_asked_tenants(asked, settings), list_tenants)
    if not tenants:
        raise UsageError("there is no tenant", next_step="name some in TENANT_ID, or in the metadata store for *")
    return Planned(
        # The night's own day first, for everyone; the days before are less urgent.
        tasks=tuple(
            Task(tenant=tenant, date=day.isoformat(), force=asked.force, allow_shrink=asked.allow_shrink)
            for day in reversed(days)
            for tenant in tenants
            if is_tenant(tenant)
        ),
        refused=tuple(ascii(tenant[:80]) for tenant in tenants if not is_tenant(tenant)),
    )


def name_tenants(tenants: Sequence[str], list_tenants: Callable[[], Sequence[str]]) -> list[str]:
    """The tenants as they are named, or all of the metadata store for `*`; none of the names is checked yet."""
    return list(dict.fromkeys(list_tenants() if list(tenants) == [ALL] else tenants))


def _read_event(event: Mapping[object, object]) -> Asked:
    try:
        return msgspec.convert(event, Asked)
    except (msgspec.MsgspecError, UnicodeError) as error:
        why = ascii(str(error))[1:-1][:LONGEST_WHY]
        raise UsageError(f"the event is not understood: {why}", next_step=f"give {FORM}") from error


def _read_time(text: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
        parse_day(moment.date().isoformat())
    except (ValueError, TypeError, OverflowError, UsageError) as error:
        raise UsageError("the event's time is none", next_step="give it as 2025-08-12T17:00:00Z") from error
    return moment


def _days(asked: Asked, settings: Settings, moment: datetime, *, look_back: int) -> list[date]:
    if asked.date is not None and (asked.first, asked.last) != (None, None):
        raise UsageError("the event names a day and a range", next_step=f"give {FORM}")
    if (asked.first, asked.last) != (None, None):
        first, last = parse_day(asked.first or ""), parse_day(asked.last or "")
        return list(days_between(first, last, max_days=settings.max_range_days))
    if asked.date is not None:
        return [parse_day(asked.date)]
    day = business_day(moment, offset=settings.target_date_offset, zone=settings.timezone)
    return list(days_between(day - timedelta(days=look_back), day, max_days=look_back + 1))


def _asked_tenants(asked: Asked, settings: Settings) -> list[str]:
    if asked.tenants is None:
        return list(settings.tenants)
    named = asked.tenants.split(",") if isinstance(asked.tenants, str) else asked.tenants
    return [tenant.strip(" ") for tenant in named]
