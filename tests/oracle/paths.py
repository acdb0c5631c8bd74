"""Fields of a key, and which day's run reads and owns its object: section "Days"."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

NAME = re.compile(r"([0-9]{2})-([0-9]{2})-([0-9]{2})(?:\.([0-9]{1,9}))?Z-(.+?)\.json(?:\.gz|\.zst)?")


@dataclass(frozen=True)
class KeyFields:
    """The fields of a record that an object's key names; None where it names none."""

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
        zone = ZoneInfo(self.zone)
        next_day = day + timedelta(days=1)
        return (
            datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC),
            datetime(next_day.year, next_day.month, next_day.day, tzinfo=zone).astimezone(UTC),
        )

    def day_of(self, moment: datetime) -> date:
        return moment.astimezone(ZoneInfo(self.zone)).date()

    def reads(self, day: date, key: KeyFields) -> bool:
        """Return whether the run of a day reads a message object."""
        start, end = self.window(day)
        start, end = start - self.slack, end + self.slack
        if key.sent is not None:
            return start <= key.sent < end
        assert key.folder
        midnight = datetime(key.folder.year, key.folder.month, key.folder.day, tzinfo=UTC)
        return start < midnight + timedelta(days=1) and midnight < end

    def owner(self, key: KeyFields) -> date:
        assert key.folder
        midnight = datetime(key.folder.year, key.folder.month, key.folder.day, tzinfo=UTC)
        return self.day_of(key.sent or midnight)


def parse_key(key: str) -> KeyFields:
    """Return the fields of a message object's key, `tenant/chat/user/room/messages/yyyy/mm/dd/name`."""
    _, _, user, room, _, year, month, day, *names = key.split("/")
    folder = date(int(year), int(month), int(day))
    found = NAME.fullmatch(names[0]) if len(names) == 1 else None
    if found is None:
        return KeyFields(user, room, folder=folder)
    hour, minute, second = int(found[1]), int(found[2]), int(found[3])
    micros = int((found[4] or "").ljust(6, "0")[:6])
    if (hour, minute, second) == (23, 59, 60):
        second = 59
    try:
        sent = datetime(folder.year, folder.month, folder.day, hour, minute, second, micros, tzinfo=UTC)
    except ValueError:
        return KeyFields(user, room, folder=folder)
    return KeyFields(user, room, found[5], sent, folder)
