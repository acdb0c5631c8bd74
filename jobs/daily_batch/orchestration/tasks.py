"""Turn a schedule's or an operator's event into tasks: one queue message for each tenant-day. Pure."""

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
# More tenants than an operator names; `*` stands for all.
MAX_NAMED = 10_000
# An error may quote a field name of the event, of any length and any characters.
MAX_REASON = 120
FORM = (
    '{"tenants": ["acme"], "date": "2025-08-12"}, with "from" and "to" instead of "date", "force" where wanted, and'
    ' "allow_shrink" with your name'
)


TASK_FORM = '{"tenant": "acme", "date": "2025-08-12"}, with "force" and "allow_shrink" where wanted'


class Task(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tenant-day to process. A completed day whose objects did not change is skipped unless `force` is set.

    `allow_shrink` names who allows the loss of published rows; unset if nobody does.
    """

    tenant: str
    date: str
    force: bool = False
    allow_shrink: str | msgspec.UnsetType = msgspec.UNSET


class DayRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an operator requests."""

    tenants: str | Annotated[list[str], msgspec.Meta(max_length=MAX_NAMED)] | None = None
    date: str | None = None
    first: str | None = msgspec.field(default=None, name="from")
    last: str | None = msgspec.field(default=None, name="to")
    force: bool = False
    allow_shrink: str | msgspec.UnsetType = msgspec.UNSET


_REQUEST_FIELDS = {each.encode_name for each in msgspec.structs.fields(DayRequest)}


@dataclass(frozen=True, kw_only=True)
class PlannedTasks:
    """Tasks, and the tenants refused for their names, in printable form."""

    tasks: tuple[Task, ...]
    refused: tuple[str, ...]


def write_task(task: Task) -> str:
    """Return a task as a queue message."""
    return msgspec.json.encode(task).decode()


def read_task(text: object) -> Task:
    """Return the task of a queue message.

    Raises:
        UsageError: It is not a task, or its tenant or day is invalid. The error does not quote the message.
    """
    try:
        task = msgspec.json.decode(text if isinstance(text, str) else "", type=Task)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise UsageError("a queue message is not a task", next_step=f"give {TASK_FORM}") from error
    check_tenant(task.tenant)
    parse_day(task.date)
    return task


def plan_tasks(
    event: object, settings: Settings, *, now: datetime, list_tenants: Callable[[], Sequence[str]]
) -> PlannedTasks:
    """Return the tasks of an event: a schedule's, which has a `time` or is empty, or an operator's (`FORM`).

    A schedule's event means the business day of its time, however late it arrives, and `look_back` days before.

    Args:
        list_tenants: Returns the tenants of the metadata store, for `*`.

    Raises:
        UsageError: The event has another form, a day is invalid or has not begun, there are too many days, or there
            is no tenant.
    """
    if not isinstance(event, Mapping):
        raise UsageError("the event is not a JSON object", next_step=f"give {FORM}")
    scheduled = not event or ("time" in event and not set(event) & _REQUEST_FIELDS)
    wanted = DayRequest() if scheduled else _read_event(event)
    moment = _read_time(event["time"]) if scheduled and event else now
    days = _days(wanted, settings, moment, look_back=settings.look_back if scheduled else 0)
    if days[-1] > business_day(now, offset=0, zone=settings.timezone):
        raise UsageError("the day has not begun", next_step="give a day that is over", day=days[-1].isoformat())
    tenants = name_tenants(_requested_tenants(wanted, settings), list_tenants)
    if not tenants:
        raise UsageError("there is no tenant", next_step="name some in TENANT_ID, or in the metadata store for *")
    return PlannedTasks(
        # The night's own day comes first for every tenant; earlier days are less urgent.
        tasks=tuple(
            Task(tenant=tenant, date=day.isoformat(), force=wanted.force, allow_shrink=wanted.allow_shrink)
            for day in reversed(days)
            for tenant in tenants
            if is_tenant(tenant)
        ),
        refused=tuple(ascii(tenant[:80]) for tenant in tenants if not is_tenant(tenant)),
    )


def name_tenants(tenants: Sequence[str], list_tenants: Callable[[], Sequence[str]]) -> list[str]:
    """Return the named tenants, or those of the metadata store for `*`; the names are not checked yet."""
    return list(dict.fromkeys(list_tenants() if list(tenants) == [ALL] else tenants))


def _read_event(event: Mapping[object, object]) -> DayRequest:
    try:
        return msgspec.convert(event, DayRequest)
    except (msgspec.MsgspecError, UnicodeError) as error:
        reason = ascii(str(error))[1:-1][:MAX_REASON]
        raise UsageError(f"the event is not understood: {reason}", next_step=f"give {FORM}") from error


def _read_time(text: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
        parse_day(moment.date().isoformat())
    except (ValueError, TypeError, OverflowError, UsageError) as error:
        raise UsageError("the event's time is invalid", next_step="give it as 2025-08-12T17:00:00Z") from error
    return moment


def _days(wanted: DayRequest, settings: Settings, moment: datetime, *, look_back: int) -> list[date]:
    if wanted.date is not None and (wanted.first, wanted.last) != (None, None):
        raise UsageError("the event names a day and a range", next_step=f"give {FORM}")
    if (wanted.first, wanted.last) != (None, None):
        first, last = parse_day(wanted.first or ""), parse_day(wanted.last or "")
        return list(days_between(first, last, max_days=settings.max_range_days))
    if wanted.date is not None:
        return [parse_day(wanted.date)]
    day = business_day(moment, offset=settings.target_date_offset, zone=settings.timezone)
    return list(days_between(day - timedelta(days=look_back), day, max_days=look_back + 1))


def _requested_tenants(wanted: DayRequest, settings: Settings) -> list[str]:
    if wanted.tenants is None:
        return list(settings.tenants)
    named = wanted.tenants.split(",") if isinstance(wanted.tenants, str) else wanted.tenants
    return [tenant.strip(" ") for tenant in named]
