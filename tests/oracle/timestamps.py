"""Timestamps: rules "Fields" 2."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from oracle.json_text import Number

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ISO = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"(?:([Zz])|([+-])([0-9]{2}):?([0-9]{2})?)?"
)
SINCE_1970 = re.compile(r"-?[0-9]{1,14}(?:\.[0-9]+)?")
MILLISECONDS_FROM = 100_000_000_000


def read_timestamp(value: Any, naive_zone: str, flags: set[str]) -> datetime | None:
    """The instant that a value means, or None where it means none."""
    text = value.text if isinstance(value, Number) else value
    if not isinstance(text, str):
        return None
    if SINCE_1970.fullmatch(text):
        flags.add("timestamp_format")
        return _since_1970(text)
    found = ISO.fullmatch(text) if isinstance(value, str) else None
    if found is None or (found[11] is None and text.endswith(":")):
        return None
    return _instant(found, naive_zone, flags)


def _since_1970(text: str) -> datetime:
    whole, _, fraction = text.partition(".")
    digits = whole + fraction.ljust(6, "0")[:6]
    micros = int(digits) if abs(int(whole)) < MILLISECONDS_FROM else int(digits) // 1000
    return EPOCH + timedelta(microseconds=micros)


def _instant(found: re.Match[str], naive_zone: str, flags: set[str]) -> datetime | None:
    year, month, day, hour, minute, second = (int(found[group]) for group in range(1, 7))
    if second == 60:
        second = 59
        flags.add("leap_second")
    try:
        local = datetime(year, month, day, hour, minute, second, int((found[7] or "").ljust(6, "0")[:6]))
    except ValueError:
        return None
    if found[8]:
        return local.replace(tzinfo=UTC)
    if found[9] is None:
        flags.add("naive_timestamp")
        return local.replace(tzinfo=ZoneInfo(naive_zone)).astimezone(UTC)
    hours, minutes = int(found[10]), int(found[11] or 0)
    if hours > 23 or minutes > 59:
        return None
    shift = timedelta(hours=hours, minutes=minutes)
    try:
        return local.replace(tzinfo=UTC) - (shift if found[9] == "+" else -shift)
    except OverflowError:  # before year 1 or behind year 9999: a day that is nobody's
        return datetime.max.replace(tzinfo=UTC)
