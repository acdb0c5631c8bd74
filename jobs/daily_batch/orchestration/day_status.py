"""The state of a tenant-day in a word, as people are told it."""

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from daily_batch.ledger import Entry
from daily_batch.settings import Settings

# Nothing for a person to do.
SOUND = ("completed", "completed, rejects", "running", "submitted", "not due")
# The ledger did not tell: late or not, nobody knows.
UNKNOWN = "unknown"
# Completed, and its objects are others now.
CHANGED = "changed"
# It will not change by itself.
ENDED = ("completed", "completed, rejects", "failed")


def day_status(entry: Entry | None, *, now: datetime, due: datetime) -> str:
    """The state of a tenant-day in a word: `missing` and `not due` are days that the ledger does not know."""
    if entry is None:
        return "missing" if now >= due else "not due"
    if entry.is_active and not entry.is_leased(now):
        return "dead"
    return state_label(entry.status)


def state_label(status: str) -> str:
    """A status of the ledger or of a receipt, as people read it."""
    return {"COMPLETED_WITH_REJECTS": "completed, rejects"}.get(status, status.lower())


def describe(entry: Entry | None, state: str, *, now: datetime) -> str:
    """What a person should know of a tenant-day beside its state; nothing if there is nothing."""
    if entry is None:
        return "never run" if state == "missing" else ""
    if state.startswith("completed"):
        unreadable = f"{entry.unreadable:,} objects could not be read" if entry.unreadable else ""
        return "; ".join(filter(None, (unreadable, entry.quality)))
    return {
        "dead": _tell_lease(entry, now),
        CHANGED: "its objects are not those of the last run",
        "failed": str(entry.error),
        "running": f"{entry.owner} until {entry.lease_until}",
        "submitted": f"job {entry.job_id}",
    }.get(state, "")


def _tell_lease(entry: Entry, now: datetime) -> str:
    until = f"the lease of {entry.owner}"
    if entry.has_invalid_lease(now):
        return (
            f"{until}, to {entry.lease_until}, is longer than any can be: a clock was wrong; the next run takes the day"
        )
    return f"{until} ended at {entry.lease_until}"


def due_time(day: date, settings: Settings) -> datetime:
    """When a day should be done: `due` on the clock of the day that asks for it, by `target_date_offset`."""
    hour, minute = map(int, settings.due.split(":"))
    asking = day + timedelta(days=max(1, -settings.target_date_offset))
    return datetime.combine(asking, time(hour, minute), tzinfo=ZoneInfo(settings.timezone))
