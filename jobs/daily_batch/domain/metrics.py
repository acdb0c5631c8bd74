"""What is measured of nights: each metric's name, unit and meaning, said once for every cloud.

A metric is of a whole deployment. docs/metrics.md, which a test holds to this file, says what one of each tenant would
cost.
"""

from dataclasses import dataclass
from typing import Literal

Unit = Literal["Count", "Percent", "Seconds"]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric: its name and unit in CloudWatch and Application Insights alike, and who measures it when.

    `alarm` is the alarm that watches it, without what a deployment's names begin with; empty: none does.
    """

    name: str
    unit: Unit
    meaning: str
    measured: str
    alarm: str = ""


# What all messages of a night, and each look of the watcher, come to.

DAYS_REFUSED = Metric(
    name="DaysRefused",
    unit="Count",
    meaning="tenants that are left out of a night for their names",
    measured="dispatcher, when there are any",
    alarm="days-refused",
)
DAYS_SUBMITTED = Metric(
    name="DaysSubmitted",
    unit="Count",
    meaning="days that a Spark job was asked for",
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
    meaning="days that failed and are not tried again by themselves, and messages that are no task",
    measured="worker or watcher, when there is one",
    alarm="days-failed",
)
DAYS_REPEATED = Metric(
    name="DaysRepeated",
    unit="Count",
    meaning="days whose job ended without tables, and that are asked for again",
    measured="worker or watcher, when there is one",
)
DAYS_LATE = Metric(
    name="DaysLate",
    unit="Count",
    meaning="tenants whose day of the night is not completed although it is due (`due`, 06:00)",
    measured="watcher, each time it looks, also 0",
    alarm="days-late",
)
DAYS_DRIFTED = Metric(
    name="DaysDrifted",
    unit="Count",
    meaning="days whose job had ended more than `drift_minutes` before the watcher found out by asking: no event told",
    measured="watcher, each time it looks, also 0",
    alarm="days-drifted",
)
TENANTS_IN_TROUBLE = Metric(
    name="TenantsInTrouble",
    unit="Count",
    meaning="tenants that the watcher could not look after",
    measured="watcher, each time it looks, also 0",
    alarm="tenants-in-trouble",
)
TASKS_GIVEN_UP = Metric(
    name="TasksGivenUp",
    unit="Count",
    meaning="messages that failed as often as they are delivered; on AWS the length of the dead letters' queue says so",
    measured="Azure's function poison, for each",
    alarm="dead-letters",
)

# What a day is like, told once when it completes, by the worker or, of a job's day, by the watcher.

COMPLETION = "with each completion, also 0"
DAY_SECONDS = Metric(
    name="DaySeconds",
    unit="Seconds",
    meaning="how long the day's run took from its first listing to its receipt, without its job's start",
    measured=COMPLETION,
)
MESSAGES_WRITTEN = Metric(
    name="MessagesWritten", unit="Count", meaning="rows of the day in `messages`", measured=COMPLETION
)
RECORDS_REJECTED = Metric(
    name="RecordsRejected",
    unit="Count",
    meaning="records of the day in `rejects`, superseded ones left out",
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
    meaning="rules of the day's quality that warn",
    measured=COMPLETION,
    alarm="quality-warnings",
)
DAYS_UNUSUAL = Metric(
    name="DaysUnusual",
    unit="Count",
    meaning="days with far more or far fewer messages than the tenant's same weekdays of four weeks",
    measured=COMPLETION,
    alarm="days-unusual",
)

METRICS = (
    *(DAYS_REFUSED, DAYS_SUBMITTED, DAYS_COMPLETED, DAYS_FAILED, DAYS_REPEATED, DAYS_LATE, DAYS_DRIFTED),
    *(TENANTS_IN_TROUBLE, TASKS_GIVEN_UP),
    *(DAY_SECONDS, MESSAGES_WRITTEN, RECORDS_REJECTED, REJECT_PERCENT, OBJECTS_UNREADABLE, QUALITY_WARNINGS),
    DAYS_UNUSUAL,
)
