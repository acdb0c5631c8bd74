"""Name the state of a tenant-day as commands, summaries and reports show it."""

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from daily_batch.ledger import Entry
from daily_batch.settings import Settings

# Nothing needs attention.
SOUND = ("completed", "completed, rejects", "running", "submitted", "not due")
# The ledger did not answer, so it is unknown whether the day is late.
UNKNOWN = "unknown"
# Completed, and its objects have changed since.
CHANGED = "changed"
# Final: it does not change by itself.
ENDED = ("completed", "completed, rejects", "failed")


def day_status(entry: Entry | None, *, now: datetime, due: datetime) -> str:
    """Return the state of a tenant-day; `missing` and `not due` are days without a ledger entry."""
    if entry is None:
        return "missing" if now >= due else "not due"
    if entry.is_active and not entry.is_leased(now):
        return "dead"
    return state_label(entry.status)


def state_label(status: str) -> str:
    """Return a status of the ledger or of a receipt as it is displayed."""
    return {"COMPLETED_WITH_REJECTS": "completed, rejects"}.get(status, status.lower())


def describe(entry: Entry | None, state: str, *, now: datetime) -> str:
    """Return what is worth knowing beside the state of a tenant-day; empty if nothing is."""
    if entry is None:
        return "never run" if state == "missing" else ""
    if state.startswith("completed"):
        unreadable = f"{entry.unreadable:,} objects could not be read" if entry.unreadable else ""
        return "; ".join(filter(None, (unreadable, entry.quality)))
    return {
        "dead": _describe_lease(entry, now),
        CHANGED: "its objects are not those of the last run",
        "failed": str(entry.error),
        "running": f"{entry.owner} until {entry.lease_until}",
        "submitted": f"job {entry.job_id}",
    }.get(state, "")


def _describe_lease(entry: Entry, now: datetime) -> str:
    until = f"the lease of {entry.owner}"
    if entry.has_invalid_lease(now):
        return (
            f"{until}, to {entry.lease_until}, is longer than any can be: a clock was wrong; the next run takes the day"
        )
    return f"{until} ended at {entry.lease_until}"


def due_time(day: date, settings: Settings) -> datetime:
    """Return when a day is due: the setting `due`, on the day on which the schedule requests it."""
    hour, minute = map(int, settings.due.split(":"))
    requested = day + timedelta(days=max(1, -settings.target_date_offset))
    return datetime.combine(requested, time(hour, minute), tzinfo=ZoneInfo(settings.timezone))
