"""Read the alarms of template.yaml and infra/azure/alarms.bicep, and evaluate them.

Only what our alarms use of CloudWatch and Azure Monitor is implemented, as their documentation specifies it.
"""

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tests.local_cloud.aws.deployment import Deployment
from tests.support.deployment.bicep_files import FOLDER, read_bicep
from tests.support.deployment.bicep_values import Values
from tests.support.operations.aws_functions import Sample
from tests.support.operations.insights_tables import Row, open_engine

RUNBOOK_LINK = re.compile(r"docs/runbooks/([\w-]+)\.md$")
_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqual": operator.ge,
    "GreaterThan": operator.gt,
    "LessThan": operator.lt,
}
_STATISTICS: Mapping[str, Callable[[Iterable[float]], float]] = {"Sum": sum, "Maximum": max}
_SPANS = {"PT15M": timedelta(minutes=15), "PT1H": timedelta(hours=1), "P2D": timedelta(days=2)}


@dataclass(frozen=True, kw_only=True)
class AwsAlarm:
    """A CloudWatch alarm; `page` is the runbook that its description links."""

    name: str
    page: str
    namespace: str
    metric: str
    dimensions: tuple[tuple[str, str], ...]
    statistic: str
    period: timedelta
    periods: int
    operator: str
    threshold: float
    missing_breaches: bool

    def fires(self, samples: Sequence[Sample], *, now: datetime) -> bool:
        """Return whether every evaluation period up to `now` breaches the threshold."""
        key = (self.namespace, self.metric, self.dimensions)
        matching = [each for each in samples if (each.namespace, each.metric, each.dimensions) == key]
        return all(self._is_breached(matching, now - number * self.period) for number in range(self.periods))

    def _is_breached(self, samples: Sequence[Sample], end: datetime) -> bool:
        values = [each.value for each in samples if end - self.period < each.at <= end]
        if not values:
            return self.missing_breaches
        return _COMPARE[self.operator](_STATISTICS[self.statistic](values), self.threshold)


@dataclass(frozen=True, kw_only=True)
class AzureAlarm:
    """An Azure Monitor rule over a log query; it counts rows if it has no column."""

    name: str
    page: str
    query: str
    column: str | None
    statistic: str
    operator: str
    threshold: float
    window: timedelta

    @property
    def metric(self) -> str | None:
        """The metric that the query reads, or None."""
        match = re.search(r'^customMetrics .* name == "(\w+)"$', self.query)
        return match[1] if match else None

    def fires(self, run_query: Callable[[str], Sequence[Row]]) -> bool:
        """Return whether the query's result breaches the threshold."""
        rows = run_query(self.query)
        if self.column is None:
            return _COMPARE[self.operator](len(rows), self.threshold)
        values = [row[self.column] for row in rows]
        return bool(values) and _COMPARE[self.operator](_STATISTICS[self.statistic](values), self.threshold)


def find_firing(alarms: Sequence[AzureAlarm], rows: Mapping[str, Sequence[Row]], *, now: datetime) -> set[str]:
    """Return the runbooks of the rules that fire on the rows of their windows, which end at `now`."""
    firing = set()
    for window in {each.window for each in alarms}:
        in_window = {
            name: [row for row in table if now - window < row["timestamp"] <= now] for name, table in rows.items()
        }
        with open_engine(in_window, now=now) as run_query:
            firing |= {each.page for each in alarms if each.window == window and each.fires(run_query)}
    return firing


def read_aws_alarms(deployment: Deployment) -> list[AwsAlarm]:
    """Return the alarms of a deployment of template.yaml."""
    alarms = (each["Properties"] for each in deployment.resources.values() if each["Type"] == "AWS::CloudWatch::Alarm")
    return [_read_aws(each) for each in alarms]


def _read_aws(alarm: Mapping[str, Any]) -> AwsAlarm:
    return AwsAlarm(
        name=alarm["AlarmName"],
        page=find_page(alarm["AlarmDescription"]),
        namespace=alarm["Namespace"],
        metric=alarm["MetricName"],
        dimensions=tuple(sorted((each["Name"], each["Value"]) for each in alarm["Dimensions"])),
        statistic=alarm["Statistic"],
        period=timedelta(seconds=int(alarm["Period"])),
        periods=int(alarm["EvaluationPeriods"]),
        operator=re.sub("(To)?Threshold$", "", alarm["ComparisonOperator"]),
        threshold=float(alarm["Threshold"]),
        missing_breaches={"breaching": True, "notBreaching": False}[alarm["TreatMissingData"]],
    )


def read_azure_alarms(**parameters: Any) -> list[AzureAlarm]:
    """Return the alarms of a deployment of infra/azure."""
    file, main = read_bicep(FOLDER / "alarms.bicep"), read_bicep(FOLDER / "main.bicep")
    shared = ("namePrefix", "rejectPercentLimit")
    values = Values(file, **{name: Values(main).find(name) for name in shared}, nightBeginsByItself=True, **parameters)
    rules = file.of_kind("resource")["rules"]
    window = _SPANS[values.resolve(rules.property("properties", "windowSize"))]
    return [
        AzureAlarm(
            name=each["name"],
            page=find_page(each["description"]),
            query=each["query"],
            column=_none_if_null(each["column"]),
            statistic=each["aggregation"].replace("Total", "Sum"),
            operator=each["operator"],
            threshold=float(each["threshold"]),
            window=_SPANS.get(str(each["range"]), window),
        )
        for each in values.find("alarms")
    ]


def find_page(description: str) -> str:
    """Return the runbook's name at the end of a description."""
    match = RUNBOOK_LINK.search(description)
    assert match, description
    return match[1]


def _none_if_null(value: Any) -> str | None:
    return None if value is None or isinstance(value, dict) else str(value)
