"""Deploy template.yaml to the local AWS: its buckets, queues, table, roles, application and functions."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from makoto_packaging.targets import Target
from tests.local_cloud.aws.deployment import Application, Deployment, Queue
from tests.local_cloud.aws.event_source_mapping import EventSourceMapping
from tests.local_cloud.aws.lambda_functions import InvocationResult, LocalFunction
from tests.local_cloud.aws.local_aws import LocalAws
from tests.local_cloud.aws.template import read_deployment

ARTIFACTS = "artifacts"


@dataclass(frozen=True, kw_only=True)
class Stack:
    """One deployment; functions are keyed by logical id."""

    aws: LocalAws
    deployment: Deployment
    functions: Mapping[str, LocalFunction]

    def schedule(self, name: str, *, time: str) -> InvocationResult:
        """Fire a schedule, by its logical id, at a scheduled time (ISO 8601).

        Raises:
            PermissionError: the scheduler's role does not allow it.
        """
        schedule = self.deployment.schedules[name]
        arn = self.deployment.functions[schedule.target].arn
        if not self.aws.check(role_key("SchedulerRole"), action="lambda:InvokeFunction", resource=arn):
            raise PermissionError(f"the scheduler may not call {schedule.target}")
        return self.functions[schedule.target].invoke(schedule.event(time))

    def deliver(self, event: Mapping[str, Any]) -> list[InvocationResult]:
        """Deliver an EventBridge event to the functions of all rules that match it."""
        rules = [rule for rule in self.deployment.rules.values() if rule.matches(event)]
        return [self.functions[rule.target].invoke(dict(event)) for rule in rules]

    def event_source_mapping(self, function: str, **more: Any) -> EventSourceMapping:
        """Return the event source mapping of a function."""
        source = self.deployment.functions[function].source
        if source is None:
            raise ValueError(f"{function} has no queue")
        options = {"concurrency": source.concurrency} | more
        return EventSourceMapping(
            aws=self.aws,
            queue=self.deployment.queues[source.queue],
            function=self.functions[function],
            batch_size=source.batch_size,
            reports_failures=source.reports_failures,
            **options,
        )


def role_key(role: str) -> str:
    """Return the access key of a role, by its logical id."""
    return f"ASIA{role.upper()}"


@contextmanager
def deploy(
    aws: LocalAws,
    *,
    parameters: Mapping[str, str],
    more: Mapping[str, str] | None = None,
    visibility: int | None = None,
) -> Iterator[Stack]:
    """Create the template's resources; its functions stop when the context ends.

    Args:
        parameters: the template's parameters; DataBucketName and PackageVersion are required.
        more: additional environment variables of all functions.
        visibility: the queues' visibility timeout in seconds, instead of the template's.
    """
    # Jobs run on this Python, not on that of the EMR release.
    parameters = {"EmrPython": Target.here().python, **parameters}
    planned = read_deployment(parameters=parameters, physical={"ArtifactBucket": ARTIFACTS})
    urls = _make_queues(aws, planned.queues, visibility)
    deployment = read_deployment(parameters=parameters, physical={"ArtifactBucket": ARTIFACTS, **urls})
    buckets = {ARTIFACTS, *(parameters.get(name, "") for name in ("DataBucketName", "OutputBucketName"))} - {""}
    for bucket in sorted(buckets):
        aws.client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": aws.region})
    _make_table(aws, deployment)
    _make_log_groups(aws, deployment)
    for name, role in deployment.roles.items():
        aws.register_principal(role_key(name), name=name, policies=role.policies, arn=role.arn, trust=role.trust)
    aws.create_application(_describe(deployment.application))
    functions = {
        name: LocalFunction(
            aws=aws,
            function=function,
            key=role_key(function.role),
            folder=aws.folder / "functions" / name,
            more=dict(more or {}),
            log_group=f"/aws/lambda/{function.name}",
        )
        for name, function in deployment.functions.items()
    }
    try:
        yield Stack(aws=aws, deployment=deployment, functions=functions)
    finally:
        for each in functions.values():
            each.stop()


def _make_queues(aws: LocalAws, queues: Mapping[str, Queue], visibility: int | None) -> dict[str, str]:
    """Create the queues, dead-letter queues first, and return their URLs."""
    client = aws.client("sqs")
    urls = {}
    for name, queue in sorted(queues.items(), key=lambda each: each[1].dead_letters is not None):
        seconds = queue.visibility if visibility is None else visibility
        attributes = {"VisibilityTimeout": str(seconds), "MessageRetentionPeriod": str(queue.retention)}
        if queue.dead_letters:
            target = {"deadLetterTargetArn": queues[queue.dead_letters].arn, "maxReceiveCount": queue.max_receives}
            attributes["RedrivePolicy"] = json.dumps(target)
        urls[name] = client.create_queue(QueueName=queue.name, Attributes=attributes)["QueueUrl"]
    return urls


def _make_table(aws: LocalAws, deployment: Deployment) -> None:
    table = deployment.table
    aws.client("dynamodb").create_table(
        TableName=table.name,
        AttributeDefinitions=[
            {"AttributeName": name, "AttributeType": kind} for name, kind in table.attributes.items()
        ],
        KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in table.key_schema],
        BillingMode="PAY_PER_REQUEST",
    )


def _make_log_groups(aws: LocalAws, deployment: Deployment) -> None:
    client = aws.client("logs")
    for resource in deployment.resources.values():
        if resource["Type"] == "AWS::Logs::LogGroup":
            client.create_log_group(logGroupName=resource["Properties"]["LogGroupName"])


def _describe(application: Application) -> dict[str, Any]:
    """Return the application in GetApplication's format."""
    return {
        "applicationId": application.id,
        "name": "makoto-daily-batch",
        "arn": application.arn,
        "releaseLabel": application.release,
        "architecture": application.architecture,
        "type": "SPARK",
        "state": "STARTED",
        "createdAt": 0,
        "updatedAt": 0,
        "maximumCapacity": {
            "cpu": f"{application.vcpus} vCPU",
            "memory": f"{application.memory_gb} GB",
            "disk": f"{application.disk_gb} GB",
        },
        "schedulerConfiguration": {
            "maxConcurrentRuns": application.concurrent_runs,
            "queueTimeoutMinutes": application.queue_minutes,
        },
    }
