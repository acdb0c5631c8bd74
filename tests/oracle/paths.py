"""What a key says, and which day's run reads and owns its object: section "Days"."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

NAME = re.compile(r"([0-9]{2})-([0-9]{2})-([0-9]{2})(?:\.([0-9]{1,9}))?Z-(.+?)\.json(?:\.gz|\.zst)?")


@dataclass(frozen=True)
class Place:
    """What an object's key says about its records; None where it says nothing."""

    user: str | None = None
    room: str | None = None
    message_id: str | None = None
    sent: datetime | None = None
    folder: date | None = None


@dataclass(frozen=True)
class Calendar:
    """The business days of a time zone, and how far beyond its day a run reads."""

    zone: str
    slack: timedelta

    def window(self, day: date) -> tuple[datetime, datetime]:
        rules = ZoneInfo(self.zone)
        after = day + timedelta(days=1)
        return (
            datetime(day.year, day.month, day.day, tzinfo=rules).astimezone(UTC),
            datetime(after.year, after.month, after.day, tzinfo=rules).astimezone(UTC),
        )

    def day_of(self, moment: datetime) -> date:
        return moment.astimezone(ZoneInfo(self.zone)).date()

    def reads(self, day: date, place: Place) -> bool:
        """Return whether the run of a day reads a message object."""
        start, end = self.window(day)
        start, end = start - self.slack, end + self.slack
        if place.sent is not None:
            return start <= place.sent < end
        assert place.folder
        midnight = datetime(place.folder.year, place.folder.month, place.folder.day, tzinfo=UTC)
        return start < midnight + timedelta(days=1) and midnight < end

    def owner(self, place: Place) -> date:
        assert place.folder
        midnight = datetime(place.folder.year, place.folder.month, place.folder.day, tzinfo=UTC)
        return self.day_of(place.sent or midnight)


def place_of(key: str) -> Place:
    """Return the place of a message object, `tenant/chat/user/room/messages/yyyy/mm/dd/name`."""
    _, _, user, room, _, year, month, day, *names = key.split("/")
    folder = date(int(year), int(month), int(day))
    found = NAME.fullmatch(names[0]) if len(names) == 1 else None
    if found is None:
        return Place(user, room, folder=folder)
    hour, minute, second = int(found[1]), int(found[2]), int(found[3])
    micros = int((found[4] or "").ljust(6, "0")[:6])
    if (hour, minute, second) == (23, 59, 60):
        second = 59
    try:
        sent = datetime(folder.year, folder.month, folder.day, hour, minute, second, micros, tzinfo=UTC)
    except ValueError:
        return Place(user, room, folder=folder)
    return Place(user, room, found[5], sent, folder)
