"""Name the state of a tenant-day: codes for programs, labels for people."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from daily_batch.domain.receipt import describe_unreadable
from daily_batch.ledger import Entry
from daily_batch.orchestration.new_fields import describe_new_fields
from daily_batch.settings import Settings

# Only in reports: the day has no entry and is before the tenant's first run in the ledger.
NOT_STARTED = "NOT_STARTED"
# Nothing needs attention.
SOUND = ("COMPLETED", "COMPLETED_WITH_REJECTS", "RUNNING", "SUBMITTED", "NOT_DUE", NOT_STARTED)
# The ledger did not answer, so it is unknown whether the day is late.
UNKNOWN = "UNKNOWN"
# Completed, and its objects have changed since.
CHANGED = "CHANGED"
# Final: it does not change by itself.
ENDED = ("COMPLETED", "COMPLETED_WITH_REJECTS", "FAILED")
# The runbook (docs/runbooks) for a day that needs attention, by its state.
RUNBOOKS = {
    "FAILED": "days-failed",
    "MISSING": "days-late",
    "DEAD": "dead-lease",
    UNKNOWN: "tenants-in-trouble",
    "SUBMITTED": "stuck-job",
    "RUNNING": "days-late",
}


def find_runbook(state: str) -> str:
    """Return the name of the runbook for a state; the index of all runbooks for a state without one."""
    return RUNBOOKS.get(state, "README")


def day_status(entry: Entry | None, *, now: datetime, due: datetime) -> str:
    """Return the state of a tenant-day: the ledger's status, or what follows from its absence or its lease."""
    if entry is None:
        return "MISSING" if now >= due else "NOT_DUE"
    if entry.is_active and not entry.is_leased(now):
        return "DEAD"
    return entry.status


def state_label(state: str) -> str:
    """Return a state as it is displayed to people."""
    return {"COMPLETED_WITH_REJECTS": "completed, rejects"}.get(state, state.lower().replace("_", " "))


def describe(entry: Entry | None, state: str, *, now: datetime) -> str:
    """Return what is worth knowing beside the state of a tenant-day; empty if nothing is."""
    if entry is None:
        return "never run" if state == "MISSING" else ""
    if state.startswith("COMPLETED"):
        return describe_published(entry.unreadable, entry.objects, entry.quality, entry.new_fields)
    return {
        "DEAD": _describe_lease(entry, now),
        CHANGED: "its objects are not those of the last run",
        "FAILED": str(entry.error),
        "RUNNING": f"{entry.owner} until {entry.lease_until}",
        "SUBMITTED": f"job {entry.job_id}",
    }.get(state, "")


def describe_published(
    unreadable: int | None, objects: int | None, quality: str | None, new_fields: Sequence[str] | None = None
) -> str:
    """Return the warnings of a published day: its unreadable objects, the quality rules that warned, its new fields."""
    lost = describe_unreadable(unreadable, objects) if unreadable else ""
    return "; ".join(filter(None, (lost, quality, describe_new_fields(new_fields))))


def _describe_lease(entry: Entry, now: datetime) -> str:
    until = f"the lease of {entry.owner}"
    if entry.has_invalid_lease(now):
        return (
            f"{until}, to {entry.lease_until}, is longer than any can be: a clock was wrong; the next run takes the day"
        )
    return f"{until} ended at {entry.lease_until}"


def due_time(day: date, settings: Settings) -> datetime:
    """Return when a day is due: the setting `due`, after the night that processes it."""
    hour, minute = map(int, settings.due.split(":"))
    return datetime.combine(find_night(day, settings), time(hour, minute), tzinfo=ZoneInfo(settings.timezone))


def find_night(day: date, settings: Settings) -> date:
    """Return the date of the night in which the schedule requests a day."""
    return day + timedelta(days=max(1, -settings.target_date_offset))
