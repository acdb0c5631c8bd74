"""Derive from an object's key what it says about its records, and which days' runs read the object. No I/O."""

from collections.abc import Iterable
from datetime import date, timedelta
from typing import NamedTuple

from daily_batch.domain.calendar import day_window, utc_folders
from daily_batch.domain.keys import parse_message_key
from daily_batch.domain.run import RunSpec, SourceObject

# The table `sources`: what is known of an object before it is read. `is_owner`: this day's run reports what is wrong
# with it. `read_before`, `read_after`: the run of the previous or the next day reads it too.
SOURCES = {
    "source": "INTEGER",
    "source_key": "VARCHAR",
    "modified_us": "BIGINT",
    "path_message_id": "VARCHAR",
    "path_user": "VARCHAR",
    "path_room": "VARCHAR",
    "path_us": "BIGINT",
    "is_owner": "BOOLEAN",
    "read_before": "BOOLEAN",
    "read_after": "BOOLEAN",
}


class SourceRow(NamedTuple):
    """A row of the table `sources`."""

    source: int
    source_key: str
    modified_us: int
    path_message_id: str | None
    path_user: str | None
    path_room: str | None
    path_us: int | None
    is_owner: bool
    read_before: bool
    read_after: bool


Window = tuple[int, int]


def adjacent_windows(spec: RunSpec) -> tuple[Window, Window]:
    """Return the windows of the business days before and after the spec's day."""
    day = date.fromisoformat(spec.date)
    return day_window(day - timedelta(days=1), spec.zone), day_window(day + timedelta(days=1), spec.zone)


def describe_sources(objects: Iterable[tuple[int, SourceObject]], spec: RunSpec) -> list[SourceRow]:
    """Return the rows of `sources` for numbered objects.

    A message object is owned by the day of the time in its name or, where the name has no time, of midnight UTC of its
    folder. So exactly one of the days that read an object owns it. For an export object, and for one that cannot be
    read, nothing is known about its records.
    """
    windows = adjacent_windows(spec)
    return [
        SourceRow(number, item.key, item.modified_us, None, None, None, None, True, False, False)
        if spec.layout == "export" or item.reason
        else _describe_message(number, item, spec, windows)
        for number, item in objects
    ]


def _describe_message(number: int, item: SourceObject, spec: RunSpec, windows: tuple[Window, Window]) -> SourceRow:
    key = parse_message_key(item.key)
    if key is None:
        return _describe_unnamed(number, item, spec, windows)
    at, slack = key.sent_us, spec.slack_us
    before, after = (start - slack <= at < end + slack for start, end in windows)
    is_owner = spec.start_us <= at < spec.end_us
    return SourceRow(
        number, item.key, item.modified_us, key.message_id, key.user, key.room, at, is_owner, before, after
    )


def _describe_unnamed(number: int, item: SourceObject, spec: RunSpec, windows: tuple[Window, Window]) -> SourceRow:
    parts = item.key.split("/")
    user, room, folder = parts[2], parts[3], "/".join(parts[5:8])
    before, after = (folder in utc_folders(start - spec.slack_us, end + spec.slack_us) for start, end in windows)
    midnight, _ = day_window(date.fromisoformat(folder.replace("/", "-")), "UTC")
    is_owner = spec.start_us <= midnight < spec.end_us
    return SourceRow(number, item.key, item.modified_us, None, user, room, None, is_owner, before, after)
