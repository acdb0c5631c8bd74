"""Bounds of timestamps in Delta's text form, `YYYY-MM-DDTHH:MM:SS.mmmZ`.

Delta keeps milliseconds, so a minimum is rounded down and a maximum up: no reader skips a file that it needs.
"""

from datetime import timedelta

from daily_batch.domain.calendar import EPOCH


def timestamp_minimum(microseconds: int) -> str:
    """Return Delta's text of a timestamp (microseconds since 1970 UTC), rounded down to a millisecond."""
    return _format_milliseconds(microseconds // 1000)


def timestamp_maximum(microseconds: int) -> str:
    """Return Delta's text of a timestamp (microseconds since 1970 UTC), rounded up to a millisecond."""
    return _format_milliseconds(-(-microseconds // 1000))


def _format_milliseconds(milliseconds: int) -> str:
    moment = EPOCH + timedelta(milliseconds=milliseconds)
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
