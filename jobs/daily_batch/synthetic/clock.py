"""Times of a day as text, looked up instead of formatted."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from daily_batch.domain.calendar import day_window, load_zone

MINUTE = 60_000
_MARGIN = 24 * 60  # minutes known on both sides of the day

# Seconds and milliseconds within a minute, as the body and the file name write them.
_BODY_SECONDS = tuple(b"%02d.%03d" % divmod(ms, 1000) for ms in range(MINUTE))


@dataclass(frozen=True)
class Clock:
    """The business day `day` in `zone`: `start_ms` since 1970 UTC, `length_ms` long; all times count from its start."""

    day: date
    start_ms: int
    length_ms: int
    first_minute: int
    bodies: tuple[bytes, ...]
    folders: tuple[bytes, ...]
    hours: tuple[int, ...]

    def body(self, ms: int) -> bytes:
        """`2025-08-12T23:36:05.123`, UTC."""
        minute, rest = divmod(self.start_ms + ms, MINUTE)
        return self.bodies[minute - self.first_minute] + _BODY_SECONDS[rest]

    def name(self, ms: int) -> bytes:
        """`2025/08/12/23-36-05.123Z-`, UTC."""
        minute, rest = divmod(self.start_ms + ms, MINUTE)
        return b"%b%bZ-" % (self.folders[minute - self.first_minute], _BODY_SECONDS[rest])

    def hour(self, ms: int) -> int:
        """The local hour."""
        return self.hours[(self.start_ms + ms) // MINUTE - self.first_minute]


def read_clock(day: date, zone: str) -> Clock:
    """The clock of a business day."""
    start_us, end_us = day_window(day, zone)
    start_ms, length_ms = start_us // 1000, (end_us - start_us) // 1000
    first = start_ms // MINUTE - _MARGIN
    begin = datetime.fromtimestamp(first * 60, tz=UTC)
    minutes = [begin + timedelta(minutes=n) for n in range(length_ms // MINUTE + 2 * _MARGIN + 1)]
    rules = load_zone(zone)
    return Clock(
        day,
        start_ms,
        length_ms,
        first,
        tuple(minute.strftime("%Y-%m-%dT%H:%M:").encode() for minute in minutes),
        tuple(minute.strftime("%Y/%m/%d/%H-%M-").encode() for minute in minutes),
        tuple(minute.astimezone(rules).hour for minute in minutes),
    )
