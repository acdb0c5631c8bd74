"""The metrics of a deployment: name, unit and meaning of each, defined once for both clouds.

Metrics have no tenant dimension; docs/metrics.md, which a test compares with this file, has the cost of one.
"""

from dataclasses import dataclass
from typing import Literal

Unit = Literal["Count", "Percent", "Seconds"]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric with its name and unit in CloudWatch and Application Insights, and who measures it when.

    `alarm` is the name of its alarm without the deployment's prefix; empty if it has none.
    """

    name: str
    unit: Unit
    meaning: str
    measured: str
    alarm: str = ""


# Measured for each message, and in each check of the watcher.

DAYS_REFUSED = Metric(
    name="DaysRefused",
    unit="Count",
    meaning="tenants skipped because their ids are invalid",
    measured="dispatcher",
    alarm="days-refused",
)
DAYS_SUBMITTED = Metric(
    name="DaysSubmitted",
    unit="Count",
    meaning="days submitted to Spark",
    measured="worker",
)
DAYS_COMPLETED = Metric(
    name="DaysCompleted",
    unit="Count",
    meaning="days published, with or without rejects",
    measured="worker or watcher",
)
DAYS_FAILED = Metric(
    name="DaysFailed",
    unit="Count",
    meaning="days that failed and are not retried, and messages that are no task",
    measured="worker or watcher",
    alarm="days-failed",
)
DAYS_REPEATED = Metric(
    name="DaysRepeated",
    unit="Count",
    meaning="days enqueued again because their job did not publish",
    measured="worker or watcher",
)
DAYS_LATE = Metric(
    name="DaysLate",
    unit="Count",
    meaning="tenants whose last business day is due (`due`, 06:00) but not complete",
    measured="watcher, each check",
    alarm="days-late",
)
DAYS_DRIFTED = Metric(
    name="DaysDrifted",
    unit="Count",
    meaning="days whose job ended more than `drift_minutes` before the watcher found it: its event was lost",
    measured="watcher, each check",
    alarm="days-drifted",
)
TENANTS_IN_TROUBLE = Metric(
    name="TenantsInTrouble",
    unit="Count",
    meaning="tenants that the watcher could not check",
    measured="watcher, each check",
    alarm="tenants-in-trouble",
)
TASKS_GIVEN_UP = Metric(
    name="TasksGivenUp",
    unit="Count",
    meaning="messages that failed in every delivery; on AWS they are in the dead-letter queue",
    measured="Azure's function poison",
    alarm="dead-letters",
)

# Measured once for each day that completes, by the worker or, if a job ran the day, by the watcher.

COMPLETION = "each completion"
DAY_SECONDS = Metric(
    name="DaySeconds",
    unit="Seconds",
    meaning="duration from first listing to receipt, without the job's start",
    measured=COMPLETION,
)
MESSAGES_WRITTEN = Metric(name="MessagesWritten", unit="Count", meaning="rows in `messages`", measured=COMPLETION)
RECORDS_REJECTED = Metric(
    name="RecordsRejected",
    unit="Count",
    meaning="records in `rejects`, without superseded ones",
    measured=COMPLETION,
)
REJECT_PERCENT = Metric(
    name="RejectPercent",
    unit="Percent",
    meaning="100 × rejected / seen records (`max_reject_ratio`); 100 if no object could be read",
    measured=COMPLETION,
    alarm="reject-percent",
)
OBJECTS_UNREADABLE = Metric(
    name="ObjectsUnreadable", unit="Count", meaning="objects that could not be read", measured=COMPLETION
)
QUALITY_WARNINGS = Metric(
    name="QualityWarnings",
    unit="Count",
    meaning="quality rules that warn",
    measured=COMPLETION,
    alarm="quality-warnings",
)
DAYS_UNUSUAL = Metric(
    name="DaysUnusual",
    unit="Count",
    meaning="days with far more or fewer messages than the same weekdays of four weeks",
    measured=COMPLETION,
    alarm="days-unusual",
)
NEW_FIELDS = Metric(
    name="NewFields",
    unit="Count",
    meaning="fields of messages that no day of the four weeks before had",
    measured=COMPLETION,
)

METRICS = (
    *(DAYS_REFUSED, DAYS_SUBMITTED, DAYS_COMPLETED, DAYS_FAILED, DAYS_REPEATED, DAYS_LATE, DAYS_DRIFTED),
    *(TENANTS_IN_TROUBLE, TASKS_GIVEN_UP),
    *(DAY_SECONDS, MESSAGES_WRITTEN, RECORDS_REJECTED, REJECT_PERCENT, OBJECTS_UNREADABLE, QUALITY_WARNINGS),
    *(DAYS_UNUSUAL, NEW_FIELDS),
)
