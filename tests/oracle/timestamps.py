"""Timestamps: section "Fields", rule 2."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any
from zoneinfo import ZoneInfo

from tests.oracle.json_text import Number

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NUMBER = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?")
NET = re.compile(r"/Date\((-?[0-9]{1,14})(?:[+-][0-9]{4})?\)/")
# Exclusive upper bounds, each with the number of units per second.
UNITS = ((10**11, 1), (10**14, 10**3), (10**17, 10**6), (10**20, 10**9))
MAX_FORM_BYTES = 100

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
NAME = "(?P<month>" + "|".join(MONTHS) + ")"
WEEKDAY = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
YEAR, DAY = "(?P<year>[0-9]{4})", "(?P<day>[0-9]{1,2})"
EXTENDED = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]+))?)?"
BASIC = r"(?P<hour>[0-9]{2})(?P<minute>[0-9]{2})(?:(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]+))?)?"
DATES = [
    *(rf"{YEAR}{mark}(?P<month>[0-9]{{2}}){mark}(?P<day>[0-9]{{2}})[Tt ]" for mark in ("-", "/", "")),
    rf"{YEAR}-{NAME}-{DAY}[Tt ]",
]
NAMED = [
    rf"(?:{WEEKDAY},? )?{DAY}[ /-]{NAME}[ /-]{YEAR}[ :]",
    rf"(?:{WEEKDAY},? )?{NAME}  ?{DAY},? {YEAR} ",
]
ZONE = "(?P<zone>.*)"
FORMS = [
    *(re.compile(date + time + ZONE) for date in DATES for time in (EXTENDED, BASIC)),
    *(re.compile(date + EXTENDED + ZONE) for date in NAMED),
    re.compile(rf"{WEEKDAY} {NAME}  ?{DAY} {EXTENDED}(?P<zone>(?: [^ ]+)?) {YEAR}"),
]
PLAIN = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)
SUFFIXES = re.compile(r"(?:\[[!A-Za-z0-9_+/=.~-]+\])+")
COMMENT = re.compile(r" \([^()]*\)")
UTC_ZONE = re.compile(f" ?(?:Z|z|UTC|GMT)(?:{SUFFIXES.pattern})?")
OFFSET = re.compile(r" ?(GMT(?=[+-][0-9]{4}(?: \(|$)))?([+-])([0-9]{2})(?::?([0-9]{2}))?(.*)")
# UTC and GMT name no offset but zero, and no other abbreviation begins like them.
ZERO_NAME = re.compile(r" (?:UTC|GMT)(?: m=[+-][0-9]+\.[0-9]+)?")
OTHER_NAME = re.compile(r" (?!UT|GM)[A-Z]{3,5}(?: m=[+-][0-9]+\.[0-9]+)?")


def read_timestamp(value: Any, naive_zone: str, flags: set[str]) -> datetime | None:
    """Return the instant of a value, or None if it has none."""
    text = value.text if isinstance(value, Number) else value
    if not isinstance(text, str):
        return None
    plain = PLAIN.fullmatch(text) is not None
    if not plain:
        flags.add("timestamp_format")
    if number := NUMBER.fullmatch(text):
        return _from_epoch(number)
    if not plain and len(text.encode("utf-8", "surrogatepass")) > MAX_FORM_BYTES:
        return None
    if net := NET.fullmatch(text):
        return _shift(EPOCH, timedelta(milliseconds=int(net[1])))
    return next((_instant(found, naive_zone, flags) for form in FORMS if (found := form.fullmatch(text))), None)


def _from_epoch(number: re.Match[str]) -> datetime | None:
    digits = (number[2] + (number[3] or "")).lstrip("0")
    if not digits:
        return EPOCH
    power = int(number[4] or 0) - len(number[3] or "")
    if len(digits) + power > 20:
        return None
    if len(digits) + power < -6:
        return EPOCH
    with localcontext(prec=len(digits) + 20):
        size = Decimal(digits).scaleb(power)
        units = next(units for bound, units in UNITS if size < bound)
        micros = int(size * 10**6 / units)
    return _shift(EPOCH, timedelta(microseconds=-micros if number[1] else micros))


def _instant(found: re.Match[str], naive_zone: str, flags: set[str]) -> datetime | None:
    month = MONTHS.index(found["month"]) + 1 if found["month"] in MONTHS else int(found["month"])
    second = int(found["second"] or 0)
    if second == 60:
        second = 59
        flags.add("leap_second")
    micros = int((found["fraction"] or "").ljust(6, "0")[:6])
    try:
        day = datetime(int(found["year"]), month, int(found["day"]))
        local = day.replace(hour=int(found["hour"]), minute=int(found["minute"]), second=second, microsecond=micros)
    except ValueError:
        return None
    if not found["zone"]:
        flags.add("naive_timestamp")
        offset = local.replace(tzinfo=ZoneInfo(naive_zone)).utcoffset()
        return _shift(local.replace(tzinfo=UTC), -(offset or timedelta()))
    shift = _offset(found["zone"])
    if shift is None:
        return None
    return _shift(local.replace(tzinfo=UTC), -shift)


def _shift(moment: datetime, by: timedelta) -> datetime:
    try:
        return moment + by
    except OverflowError:  # before year 1 or after year 9999, which belongs to no day
        return datetime.max.replace(tzinfo=UTC)


def _offset(zone: str) -> timedelta | None:
    if UTC_ZONE.fullmatch(zone):
        return timedelta()
    found = OFFSET.fullmatch(zone)
    if found is None:
        return None
    hours, minutes, rest = int(found[3]), int(found[4] or 0), found[5]
    if hours > 23 or minutes > 59 or not _may_follow(rest, zero=hours == minutes == 0, gmt=bool(found[1])):
        return None
    size = timedelta(hours=hours, minutes=minutes)
    return -size if found[2] == "-" else size


def _may_follow(text: str, *, zero: bool, gmt: bool) -> bool:
    """Return whether the text after an offset is a name or a comment that does not contradict it."""
    if not text or COMMENT.fullmatch(text):
        return True
    if gmt:
        return False
    return bool(SUFFIXES.fullmatch(text) or OTHER_NAME.fullmatch(text) or (zero and ZERO_NAME.fullmatch(text)))
