"""Every alarm fires for its cause, on the metrics that our functions emit, and no other alarm does."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from daily_batch.domain.metrics import METRICS, TASKS_GIVEN_UP
from daily_batch.errors import RetryableError
from daily_batch.orchestration import Task
from tests.local_cloud.aws.template import read_deployment
from tests.support.operations.alarm_definitions import (
    AwsAlarm,
    AzureAlarm,
    find_firing,
    read_aws_alarms,
    read_azure_alarms,
)
from tests.support.operations.aws_functions import PARAMETERS, AwsFunctions
from tests.support.operations.azure_functions import AzureFunctions
from tests.support.operations.synthetic_night import DeniedRunner, Night
from tests.support.spark_session import ROOT

Functions = AwsFunctions | AzureFunctions

TASK = Task(tenant="acme", date="2025-08-12")
DUE = datetime(2025, 8, 12, 21, 0, tzinfo=UTC)  # 06:00 JST
# Runbooks of alarms that exist on AWS only.
AWS_ONLY = {"function-throttles", "undelivered-events"}


def read_alarms() -> tuple[list[AwsAlarm], list[AzureAlarm]]:
    return read_aws_alarms(read_deployment(parameters=PARAMETERS)), read_azure_alarms()


def find_firing_runbooks(functions: Functions) -> set[str]:
    """Return the runbooks of the alarms that fire now."""
    now = functions.night.clock()
    if isinstance(functions, AzureFunctions):
        return find_firing(read_azure_alarms(), functions.rows, now=now)
    alarms = read_aws_alarms(functions.deployment)
    return {each.page for each in alarms if each.fires(functions.samples, now=now)}


@dataclass
class FlakyRunner:
    name: str = "local"

    def run(self, *_: Any, **__: Any) -> Any:
        raise RetryableError("the store is down", next_step="run the day again")


# Causes, each named after its alarm's runbook


def days_failed(night: Night, functions: Functions) -> None:
    night.write_export()
    night.local_runner = DeniedRunner
    functions.deliver(TASK)


def days_late(night: Night, functions: Functions) -> None:
    night.clock.now = DUE
    functions.watch()


def tenants_in_trouble(night: Night, functions: Functions) -> None:
    night.write_export()
    night.set_env(MAKOTO_RUNNER="spark")
    functions.deliver(TASK)
    night.jobs.denies_status = True
    functions.watch()


def days_refused(night: Night, functions: Functions) -> None:
    night.set_env(TENANT_ID="acme,../globex")
    functions.dispatch()


def reject_percent(night: Night, functions: Functions) -> None:
    night.write_export(93, invalid=7)
    functions.deliver(TASK)


def days_unusual(night: Night, functions: Functions) -> None:
    night.write_export()
    night.add_completed_days(2000)
    functions.deliver(TASK)


def days_drifted(night: Night, functions: Functions) -> None:
    night.write_export()
    night.set_env(MAKOTO_RUNNER="spark")
    functions.deliver(TASK)
    night.end_job(functions.settings(), ago=timedelta(hours=1))
    functions.watch()


def quality_warnings(night: Night, functions: Functions) -> None:
    night.write_export()
    night.write_truncated_object()
    functions.deliver(TASK)


def dead_letters(night: Night, functions: Functions) -> None:
    night.write_export()
    night.local_runner = FlakyRunner
    functions.exhaust_deliveries(TASK)


def function_errors(night: Night, functions: Functions) -> None:
    night.set_env(MAKOTO_LOOK_BACK="three")
    functions.dispatch()


# Other alarms that each cause fires.
CAUSES: dict[Callable[[Night, Functions], None], set[str]] = {
    days_failed: {"function-errors"},
    days_late: set(),
    tenants_in_trouble: set(),
    days_refused: set(),
    reject_percent: set(),
    days_unusual: set(),
    days_drifted: set(),
    quality_warnings: set(),
    dead_letters: {"function-errors"},
    function_errors: set(),
}


def runbook_of(cause: Callable[[Night, Functions], None]) -> str:
    return cause.__name__.replace("_", "-")


@pytest.mark.parametrize("cloud", ["aws", "azure"])
@pytest.mark.parametrize("cause", CAUSES, ids=runbook_of)
def test_cause_fires_its_alarm_and_no_other(
    cause: Callable[[Night, Functions], None], cloud: str, night: Night, functions: Callable[[str], Functions]
) -> None:
    deployed = functions(cloud)
    deployed.dispatch()
    deployed.watch()
    cause(night, deployed)
    assert find_firing_runbooks(deployed) == {runbook_of(cause), *CAUSES[cause]}


@pytest.mark.parametrize("cloud", ["aws", "azure"])
def test_normal_night_fires_no_alarm(cloud: str, night: Night, functions: Callable[[str], Functions]) -> None:
    deployed = functions(cloud)
    night.set_env(TENANT_ID="acme,globex")
    night.write_export(2000)
    night.write_export(30, tenant="globex")
    night.add_completed_days(1900)
    deployed.dispatch()
    deployed.deliver(make_task(tenant="globex"))
    night.set_env(MAKOTO_RUNNER="spark")
    deployed.deliver(TASK)
    night.clock.now += timedelta(minutes=30)
    night.end_job(deployed.settings(), ago=timedelta(minutes=1))
    deployed.watch()
    assert {entry.status for entry in map(night.find_entry, ("acme", "globex"))} == {"COMPLETED"}
    assert find_firing_runbooks(deployed) == set()
    night.clock.now = DUE
    deployed.watch()
    assert find_firing_runbooks(deployed) == set()


@pytest.mark.parametrize("cloud", ["aws", "azure"])
def test_night_missed_fires_after_26_hours_without_a_dispatch(
    cloud: str, night: Night, functions: Callable[[str], Functions]
) -> None:
    deployed = functions(cloud)
    deployed.dispatch()
    night.clock.now += timedelta(hours=25)
    deployed.watch()
    assert "night-missed" not in find_firing_runbooks(deployed)
    night.clock.now += timedelta(hours=1, minutes=1)
    deployed.watch()
    assert "night-missed" in find_firing_runbooks(deployed)


@pytest.mark.parametrize("cloud", ["aws", "azure"])
def test_watch_missed_fires_after_an_hour_without_a_watch(
    cloud: str, night: Night, functions: Callable[[str], Functions]
) -> None:
    deployed = functions(cloud)
    deployed.dispatch()
    deployed.watch()
    night.clock.now += timedelta(minutes=59)
    assert find_firing_runbooks(deployed) == set()
    night.clock.now += timedelta(minutes=1)
    assert find_firing_runbooks(deployed) == {"watch-missed"}
    deployed.watch()
    assert find_firing_runbooks(deployed) == set()


def test_alarm_ignores_metrics_of_other_names(night: Night, functions: Callable[[str], Functions]) -> None:
    aws, azure = functions("aws"), functions("azure")
    assert isinstance(aws, AwsFunctions) and isinstance(azure, AzureFunctions)
    reject_percent(night, aws)
    azure.deliver(make_task(force=True))
    now = night.clock()
    (alarm,) = [each for each in read_aws_alarms(aws.deployment) if each.metric == "RejectPercent"]
    assert alarm.fires(aws.samples, now=now)
    assert not replace(alarm, metric="RejectRatio").fires(aws.samples, now=now)
    assert not replace(alarm, dimensions=(("service", "another"),)).fires(aws.samples, now=now)
    (twin,) = [each for each in read_azure_alarms() if each.metric == "RejectPercent"]
    assert find_firing([twin], azure.rows, now=now) == {"reject-percent"}
    renamed = replace(twin, query=twin.query.replace("RejectPercent", "RejectRatio"))
    assert find_firing([renamed], azure.rows, now=now) == set()


# Definitions


def test_both_clouds_have_the_same_alarms() -> None:
    aws, azure = read_alarms()
    assert {each.page for each in aws} - AWS_ONLY == {each.page for each in azure}
    expected = {metric.name: metric.alarm for metric in METRICS if metric.alarm}
    assert {each.metric: each.page for each in azure if each.metric} == expected
    for alarm in azure:
        (twin,) = [each for each in aws if each.page == alarm.page][:1]
        if alarm.metric and alarm.metric != TASKS_GIVEN_UP.name:
            assert alarm.metric == twin.metric
            assert (alarm.statistic, alarm.operator) == (twin.statistic, twin.operator), alarm.name
        assert alarm.threshold == twin.threshold, alarm.name


def test_every_alarm_has_a_tested_cause() -> None:
    aws, azure = read_alarms()
    assert {each.page for each in (*aws, *azure)} - AWS_ONLY == {
        *map(runbook_of, CAUSES),
        "night-missed",
        "watch-missed",
    }


def test_alarms_are_named_after_their_runbooks() -> None:
    aws, azure = read_alarms()
    for alarm in (*aws, *azure):
        assert (ROOT / f"docs/runbooks/{alarm.page}.md").exists(), alarm.page
        name = alarm.name.removeprefix("makoto-daily-batch-")
        assert re.sub("^(dispatcher|processor|watcher)", "function", name) == alarm.page


def test_reject_limit_is_a_deployment_parameter() -> None:
    aws = read_aws_alarms(read_deployment(parameters=PARAMETERS | {"RejectPercentLimit": "20"}))
    assert [each.threshold for each in aws if each.page == "reject-percent"] == [20]
    template = read_deployment(parameters=PARAMETERS)
    assert [each.threshold for each in read_aws_alarms(template) if each.page == "reject-percent"] == [5]
    assert [each.threshold for each in read_azure_alarms() if each.page == "reject-percent"] == [5]


def make_task(**changes: Any) -> Task:
    return Task(**{"tenant": "acme", "date": "2025-08-12", **changes})
