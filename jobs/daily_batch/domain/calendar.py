"""Business days in a time zone, as instants and as the UTC folders that hold them. Pure: callers pass the clock.

Times are microseconds since 1970-01-01 UTC; ends are exclusive.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from daily_batch.errors import UsageError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_DAY = date(1970, 1, 1)
LAST_DAY = date(9998, 12, 31)

_SECOND_US = 1_000_000
_DAY_US = 86_400 * _SECOND_US
# No two offset changes in the tz database are closer than this.
_PROBE_US = _DAY_US // 4


def load_zone(name: str) -> ZoneInfo:
    """Return the time zone of an IANA name such as `Asia/Tokyo`.

    Raises:
        UsageError: The zone does not exist.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # zoneinfo raises all three for an unknown zone
        raise UsageError(
            f"{name[:80]!a} is not a time zone", next_step="give an IANA name such as Asia/Tokyo or UTC"
        ) from error


def business_day(now: datetime, *, offset: int, zone: str) -> date:
    """Return the day that is `offset` days from today, where today is the date in `zone` at `now`.

    Raises:
        UsageError: The zone is unknown, or the day is outside the calendar's range.
        ValueError: `now` has no zone; a naive clock picks the wrong day in a function that runs in UTC.
    """
    if now.tzinfo is None:
        raise ValueError("now must have a zone")
    today = now.astimezone(load_zone(zone)).date()
    try:
        return today + timedelta(days=offset)
    except OverflowError as error:
        raise UsageError(f"no day is {offset} days from today", next_step="give an offset such as -1") from error


def oldest_retained_day(now: datetime, *, retention_days: int, zone: str) -> date | None:
    """Return the oldest day within a retention period; None if `retention_days` is 0, which retains every day.

    Raises:
        UsageError: See `business_day`.
    """
    return business_day(now, offset=-retention_days, zone=zone) if retention_days else None


def parse_day(text: str) -> date:
    """Parse a day written as `yyyy-mm-dd`.

    Raises:
        UsageError: The text has another form, is not a day, or is before 1970.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    # fromisoformat also accepts 20250812 and 2025-W33-2.
    if day is None or day.isoformat() != text or not FIRST_DAY <= day <= LAST_DAY:
        raise UsageError(f"{text[:40]!a} is not a day", next_step="write the date as yyyy-mm-dd, such as 2025-08-12")
    return day


def days_between(first: date, last: date, *, max_days: int) -> Iterator[date]:
    """Yield each day from `first` to `last`, both included.

    Raises:
        UsageError: `first` is after `last`, or the range has more than `max_days` days (the setting max_range_days).
    """
    if first > last:
        raise UsageError(f"the range ends before it begins: {first} to {last}", next_step="give --from before --to")
    number = (last - first).days + 1
    if number > max_days:
        raise UsageError(
            f"the range {first} to {last} has {number:,} days, more than max_range_days {max_days:,} allows",
            next_step="give a shorter range, or raise max_range_days",
        )
    return (first + timedelta(days=after) for after in range(number))


def day_window(day: date, zone: str) -> tuple[int, int]:
    """Return when the day begins and ends in `zone`: usually 24 hours apart, more or fewer when clocks change."""
    rules = load_zone(zone)
    return _midnight(day, rules), _midnight(day + timedelta(days=1), rules)


def utc_folders(start_us: int, end_us: int) -> tuple[str, ...]:
    """Return `yyyy/mm/dd` of every UTC day that the span touches, in order; nothing for an empty span."""
    if end_us <= start_us:
        return ()
    days = range(start_us // _DAY_US, (end_us - 1) // _DAY_US + 1)
    return tuple((EPOCH + timedelta(days=number)).strftime("%Y/%m/%d") for number in days)


def offset_spans(zone: str, start_us: int, end_us: int) -> tuple[tuple[int, int], ...]:
    """Return the UTC offsets in the span as `(from_us, offset_seconds)`, in order; the first is at the span's start."""
    rules = load_zone(zone)
    spans = [(start_us, _offset(start_us, rules))]
    before = start_us
    while before < end_us - 1:
        after = min(before + _PROBE_US, end_us - 1)
        offset = _offset(after, rules)
        if offset != spans[-1][1]:
            spans.append((_change(before, after, rules), offset))
        before = after
    return tuple(spans)


def to_us(moment: datetime) -> int:
    """Return an aware datetime as exact microseconds since 1970-01-01 UTC."""
    # Python subtracts datetimes of one zone by their wall clocks, so both sides must be UTC.
    return (moment.astimezone(UTC) - EPOCH) // timedelta(microseconds=1)


def format_timestamp(moment: datetime) -> str:
    """Return a timestamp in the platform's format, in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _midnight(day: date, rules: ZoneInfo) -> int:
    # If clocks skip midnight, fold=0 gives the moment of the jump; if midnight comes twice, the first one.
    return to_us(datetime.combine(day, time(), tzinfo=rules))


def _offset(moment_us: int, rules: ZoneInfo) -> int:
    offset = (EPOCH + timedelta(microseconds=moment_us)).astimezone(rules).utcoffset()
    assert offset is not None  # noqa: S101  (a ZoneInfo always has an offset; its type allows None)
    return offset // timedelta(seconds=1)


def _change(before: int, after: int, rules: ZoneInfo) -> int:
    """Return the first moment of `after`'s offset, given that the offset changes once in `(before, after]`."""
    old = _offset(before, rules)
    low, high = before, after
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _offset(middle, rules) == old else (low, middle)
    return high
