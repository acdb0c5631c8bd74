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
    meaning="tenants that a schedule skips because their ids are invalid",
    measured="dispatcher, when there are any",
    alarm="days-refused",
)
DAYS_SUBMITTED = Metric(
    name="DaysSubmitted",
    unit="Count",
    meaning="days for which a Spark job was submitted",
    measured="worker, when there is one",
)
DAYS_COMPLETED = Metric(
    name="DaysCompleted",
    unit="Count",
    meaning="days whose tables are published, with or without rejects",
    measured="worker or watcher, once for each completion",
)
DAYS_FAILED = Metric(
    name="DaysFailed",
    unit="Count",
    meaning="days that failed and are not retried automatically, and messages that are not a task",
    measured="worker or watcher, when there is one",
    alarm="days-failed",
)
DAYS_REPEATED = Metric(
    name="DaysRepeated",
    unit="Count",
    meaning="days that are enqueued again because their job ended without publishing",
    measured="worker or watcher, when there is one",
)
DAYS_LATE = Metric(
    name="DaysLate",
    unit="Count",
    meaning="tenants whose last business day is not complete although it is due (`due`, 06:00)",
    measured="watcher, in each check, also 0",
    alarm="days-late",
)
DAYS_DRIFTED = Metric(
    name="DaysDrifted",
    unit="Count",
    meaning="days whose job ended more than `drift_minutes` before the watcher found it by polling: its event was lost",
    measured="watcher, in each check, also 0",
    alarm="days-drifted",
)
TENANTS_IN_TROUBLE = Metric(
    name="TenantsInTrouble",
    unit="Count",
    meaning="tenants that the watcher could not check",
    measured="watcher, in each check, also 0",
    alarm="tenants-in-trouble",
)
TASKS_GIVEN_UP = Metric(
    name="TasksGivenUp",
    unit="Count",
    meaning="messages that failed in every delivery; on AWS the length of the dead-letter queue shows them",
    measured="Azure's function poison, for each",
    alarm="dead-letters",
)

# Measured once for each day that completes, by the worker or, if a job ran the day, by the watcher.

COMPLETION = "with each completion, also 0"
DAY_SECONDS = Metric(
    name="DaySeconds",
    unit="Seconds",
    meaning="duration of the day's run from its first listing to its receipt, without the start of its job",
    measured=COMPLETION,
)
MESSAGES_WRITTEN = Metric(
    name="MessagesWritten", unit="Count", meaning="rows of the day in `messages`", measured=COMPLETION
)
RECORDS_REJECTED = Metric(
    name="RecordsRejected",
    unit="Count",
    meaning="records of the day in `rejects`, without superseded ones",
    measured=COMPLETION,
)
REJECT_PERCENT = Metric(
    name="RejectPercent",
    unit="Percent",
    meaning="100 × rejected / seen records of the day, as `max_reject_ratio` limits it; 100 if no object could be read",
    measured=COMPLETION,
    alarm="reject-percent",
)
OBJECTS_UNREADABLE = Metric(
    name="ObjectsUnreadable", unit="Count", meaning="objects of the day that could not be read", measured=COMPLETION
)
QUALITY_WARNINGS = Metric(
    name="QualityWarnings",
    unit="Count",
    meaning="quality rules of the day that warn",
    measured=COMPLETION,
    alarm="quality-warnings",
)
DAYS_UNUSUAL = Metric(
    name="DaysUnusual",
    unit="Count",
    meaning="days with far more or far fewer messages than the tenant's same weekdays of the last four weeks",
    measured=COMPLETION,
    alarm="days-unusual",
)

METRICS = (
    *(DAYS_REFUSED, DAYS_SUBMITTED, DAYS_COMPLETED, DAYS_FAILED, DAYS_REPEATED, DAYS_LATE, DAYS_DRIFTED),
    *(TENANTS_IN_TROUBLE, TASKS_GIVEN_UP),
    *(DAY_SECONDS, MESSAGES_WRITTEN, RECORDS_REJECTED, REJECT_PERCENT, OBJECTS_UNREADABLE, QUALITY_WARNINGS),
    DAYS_UNUSUAL,
)
