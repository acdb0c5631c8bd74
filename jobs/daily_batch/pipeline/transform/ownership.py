"""What an object's key says of its records, and which days' runs read it. Pure."""

from collections.abc import Iterable
from datetime import date, timedelta
from typing import NamedTuple

from daily_batch.domain.calendar import day_window, utc_folders
from daily_batch.domain.keys import parse_message_key
from daily_batch.domain.run import RunSpec, SourceObject

# The table `sources`: what is known of an object before it is read. `owned`: this day's run answers for what is
# wrong in it; `read_before`, `read_after`: the run of the day before, or after, reads it too.
SOURCES = {
    "source": "INTEGER",
    "source_key": "VARCHAR",
    "modified_us": "BIGINT",
    "path_message_id": "VARCHAR",
    "path_user": "VARCHAR",
    "path_room": "VARCHAR",
    "path_us": "BIGINT",
    "owned": "BOOLEAN",
    "read_before": "BOOLEAN",
    "read_after": "BOOLEAN",
}


class SourceRow(NamedTuple):
    """A row of `sources`."""

    source: int
    source_key: str
    modified_us: int
    path_message_id: str | None
    path_user: str | None
    path_room: str | None
    path_us: int | None
    owned: bool
    read_before: bool
    read_after: bool


Window = tuple[int, int]


def adjacent_windows(plan: RunSpec) -> tuple[Window, Window]:
    """The windows of the business days before and after the plan's."""
    day = date.fromisoformat(plan.date)
    return day_window(day - timedelta(days=1), plan.zone), day_window(day + timedelta(days=1), plan.zone)


def describe(objects: Iterable[tuple[int, SourceObject]], plan: RunSpec) -> list[SourceRow]:
    """Rows of `sources` for numbered objects.

    A message's object is owned by the day of the time in its name, or, where the name tells no time, of its UTC
    folder's midnight; so of two days that read an object one answers for it. Nothing is known of what an export's
    object holds, nor of one that cannot be read.
    """
    windows = adjacent_windows(plan)
    return [
        SourceRow(number, item.key, item.modified_us, None, None, None, None, True, False, False)
        if plan.layout == "export" or item.reason
        else _describe_message(number, item, plan, windows)
        for number, item in objects
    ]


def _describe_message(number: int, item: SourceObject, plan: RunSpec, windows: tuple[Window, Window]) -> SourceRow:
    key = parse_message_key(item.key)
    if key is None:
        return _describe_unnamed(number, item, plan, windows)
    at, slack = key.sent_us, plan.slack_us
    before, after = (start - slack <= at < end + slack for start, end in windows)
    owned = plan.start_us <= at < plan.end_us
    return SourceRow(number, item.key, item.modified_us, key.message_id, key.user, key.room, at, owned, before, after)


def _describe_unnamed(number: int, item: SourceObject, plan: RunSpec, windows: tuple[Window, Window]) -> SourceRow:
    parts = item.key.split("/")
    user, room, folder = parts[2], parts[3], "/".join(parts[5:8])
    before, after = (folder in utc_folders(start - plan.slack_us, end + plan.slack_us) for start, end in windows)
    midnight, _ = day_window(date.fromisoformat(folder.replace("/", "-")), "UTC")
    owned = plan.start_us <= midnight < plan.end_us
    return SourceRow(number, item.key, item.modified_us, None, user, room, None, owned, before, after)
