"""Read the alarms of template.yaml and infra/azure/alarms.bicep, and evaluate them.

An evaluator knows what our alarms use of CloudWatch's and of Azure Monitor's rules, as their documentation has them.
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
from tests.support.operations.insights_tables import Row, ask

PAGE = re.compile(r"docs/runbooks/([\w-]+)\.md$")
_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqual": operator.ge,
    "GreaterThan": operator.gt,
    "LessThan": operator.lt,
}
_STATISTICS: Mapping[str, Callable[[Iterable[float]], float]] = {"Sum": sum, "Maximum": max}
_SPANS = {"PT15M": timedelta(minutes=15), "PT1H": timedelta(hours=1), "P2D": timedelta(days=2)}


@dataclass(frozen=True, kw_only=True)
class AwsAlarm:
    """A CloudWatch alarm; `page` is the runbook in its description."""

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

    def sounds(self, samples: Sequence[Sample], *, now: datetime) -> bool:
        """Return whether all of its periods, the last of which ends now, breach the threshold."""
        known = (self.namespace, self.metric, self.dimensions)
        own = [each for each in samples if (each.namespace, each.metric, each.dimensions) == known]
        return all(self._is_breached(own, now - number * self.period) for number in range(self.periods))

    def _is_breached(self, samples: Sequence[Sample], end: datetime) -> bool:
        values = [each.value for each in samples if end - self.period < each.at <= end]
        if not values:
            return self.missing_breaches
        return _COMPARE[self.operator](_STATISTICS[self.statistic](values), self.threshold)


@dataclass(frozen=True, kw_only=True)
class AzureAlarm:
    """An Azure Monitor rule over a log query; without a column its rows are counted."""

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
        """The metric that the query reads, if it is one of ours."""
        found = re.search(r'^customMetrics .* name == "(\w+)"$', self.query)
        return found[1] if found else None

    def sounds(self, run: Callable[[str], Sequence[Row]]) -> bool:
        """Return whether its query over its window breaches the threshold."""
        found = run(self.query)
        if self.column is None:
            return _COMPARE[self.operator](len(found), self.threshold)
        values = [row[self.column] for row in found]
        return bool(values) and _COMPARE[self.operator](_STATISTICS[self.statistic](values), self.threshold)


def find_sounding(alarms: Sequence[AzureAlarm], rows: Mapping[str, Sequence[Row]], *, now: datetime) -> set[str]:
    """Return the pages of the rules that fire over the rows of their windows, which end now."""
    sounding = set()
    for window in {each.window for each in alarms}:
        seen = {name: [row for row in table if now - window < row["timestamp"] <= now] for name, table in rows.items()}
        with ask(seen, now=now) as run:
            sounding |= {each.page for each in alarms if each.window == window and each.sounds(run)}
    return sounding


def read_aws_alarms(deployment: Deployment) -> list[AwsAlarm]:
    """Return the alarms of a deployment of template.yaml."""
    found = (each["Properties"] for each in deployment.resources.values() if each["Type"] == "AWS::CloudWatch::Alarm")
    return [_read_aws(each) for each in found]


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


def read_azure_alarms(**given: Any) -> list[AzureAlarm]:
    """Return the alarms of a deployment of infra/azure."""
    file, main = read_bicep(FOLDER / "alarms.bicep"), read_bicep(FOLDER / "main.bicep")
    names = ("namePrefix", "rejectPercentLimit")
    values = Values(file, **{name: Values(main).find(name) for name in names}, nightBeginsByItself=True, **given)
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
    found = PAGE.search(description)
    assert found, description
    return found[1]


def _none_if_null(value: Any) -> str | None:
    return None if value is None or isinstance(value, dict) else str(value)
