"""Convert the resolved resources of a template to the dataclasses of a deployment."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from tests.local_cloud.aws.cloudformation import Scope
from tests.local_cloud.aws.deployment import (
    Application,
    Deployment,
    EventSource,
    Function,
    Queue,
    Rule,
    Schedule,
    Table,
)
from tests.local_cloud.aws.iam.policies import Role
from tests.local_cloud.aws.resource_names import Names

Properties = Mapping[str, Any]
View = TypeVar("View")


class ResourceReader:
    """Convert resolved resources to dataclasses."""

    def __init__(self, names: Names, scope: Scope, resources: Mapping[str, Properties]) -> None:
        self._names = names
        self._scope = scope
        self._resources = resources
        self._by_arn = {
            self._arn(logical_id): logical_id
            for logical_id, resource in resources.items()
            if resource["Type"] in ("AWS::Serverless::Function", "AWS::SQS::Queue", "AWS::IAM::Role")
        }

    def deployment(self, table: Properties, outputs: Mapping[str, Properties]) -> Deployment:
        """Return the deployment; `table` is separate because the stack may not create it."""
        (application,) = self._all("AWS::EMRServerless::Application", self._application).values()
        return Deployment(
            functions=self._all("AWS::Serverless::Function", self._function),
            roles=self._all("AWS::IAM::Role", self._role),
            queues=self._all("AWS::SQS::Queue", self._queue),
            schedules=self._all("AWS::Scheduler::Schedule", self._schedule),
            rules=self._all("AWS::Events::Rule", self._rule),
            table=self._table(self._scope.resolve(table)),
            application=application,
            outputs={name: self._scope.resolve(output["Value"]) for name, output in outputs.items()},
            resources=self._resources,
        )

    def _all(self, kind: str, view: Callable[[str, Properties], View]) -> dict[str, View]:
        return {
            logical_id: view(logical_id, resource["Properties"])
            for logical_id, resource in self._resources.items()
            if resource["Type"] == kind
        }

    def _arn(self, logical_id: str) -> str:
        return self._names.attribute(logical_id, "Arn", self._scope.resolve)

    def _ref(self, logical_id: str) -> str:
        return self._names.reference(logical_id, self._scope.resolve)

    def _function(self, logical_id: str, properties: Properties) -> Function:
        return Function(
            name=properties["FunctionName"],
            arn=self._arn(logical_id),
            handler=properties["Handler"],
            environment={name: str(value) for name, value in properties["Environment"]["Variables"].items()},
            timeout=properties["Timeout"],
            memory_mb=int(properties["MemorySize"]),
            temp_mb=properties.get("EphemeralStorage", {"Size": 512})["Size"],
            role=self._by_arn[properties["Role"]],
            source=next(self._sources(properties), None),
        )

    def _sources(self, properties: Properties) -> Iterator[EventSource]:
        for event in properties.get("Events", {}).values():
            source = event["Properties"]
            yield EventSource(
                queue=self._by_arn[source["Queue"]],
                batch_size=source["BatchSize"],
                concurrency=int(source["ScalingConfig"]["MaximumConcurrency"]),
                reports_failures="ReportBatchItemFailures" in source["FunctionResponseTypes"],
            )

    def _role(self, logical_id: str, properties: Properties) -> Role:
        return Role(
            name=self._ref(logical_id),
            arn=self._arn(logical_id),
            policies=tuple(policy["PolicyDocument"] for policy in properties["Policies"]),
            trust=properties["AssumeRolePolicyDocument"],
        )

    def _queue(self, logical_id: str, properties: Properties) -> Queue:
        redrive = properties.get("RedrivePolicy", {})
        return Queue(
            name=properties["QueueName"],
            arn=self._arn(logical_id),
            url=self._ref(logical_id),
            visibility=properties.get("VisibilityTimeout", 30),
            retention=properties["MessageRetentionPeriod"],
            max_receives=redrive.get("maxReceiveCount"),
            dead_letters=self._by_arn[redrive["deadLetterTargetArn"]] if redrive else None,
        )

    def _schedule(self, _: str, properties: Properties) -> Schedule:
        target = properties["Target"]
        return Schedule(
            name=properties["Name"],
            expression=properties["ScheduleExpression"],
            timezone=properties.get("ScheduleExpressionTimezone", "UTC"),
            target=self._by_arn[target["Arn"]],
            input=target["Input"],
            enabled=properties["State"] == "ENABLED",
        )

    def _rule(self, _: str, properties: Properties) -> Rule:
        (target,) = properties["Targets"]
        return Rule(name=properties["Name"], pattern=properties["EventPattern"], target=self._by_arn[target["Arn"]])

    def _table(self, properties: Properties) -> Table:
        return Table(
            name=properties["TableName"],
            arn=self._arn("MetadataTable"),
            key_schema=tuple((key["AttributeName"], key["KeyType"]) for key in properties["KeySchema"]),
            attributes={each["AttributeName"]: each["AttributeType"] for each in properties["AttributeDefinitions"]},
            created="MetadataTable" in self._resources,
        )

    def _application(self, logical_id: str, properties: Properties) -> Application:
        capacity = {name: int(re.match(r"\d+", text)[0]) for name, text in properties["MaximumCapacity"].items()}  # type: ignore[index]
        scheduler = properties["SchedulerConfiguration"]
        return Application(
            id=self._ref(logical_id),
            arn=self._arn(logical_id),
            release=properties["ReleaseLabel"],
            architecture=properties["Architecture"],
            vcpus=capacity["Cpu"],
            memory_gb=capacity["Memory"],
            disk_gb=capacity["Disk"],
            concurrent_runs=int(scheduler["MaxConcurrentRuns"]),
            queue_minutes=scheduler["QueueTimeoutMinutes"],
            idle_minutes=properties["AutoStopConfiguration"]["IdleTimeoutMinutes"],
            log_group=properties["MonitoringConfiguration"]["CloudWatchLoggingConfiguration"]["LogGroupName"],
        )
