"""Run a complete night on the local AWS, deployed from template.yaml."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from daily_batch.domain.calendar import business_day
from daily_batch.domain.metrics import METRICS
from tests.local_cloud.aws.iam.policies import as_list
from tests.local_cloud.aws.job_package import VERSION, upload_package
from tests.local_cloud.aws.local_aws import LocalAws, serve_aws
from tests.local_cloud.aws.night import AwsNight
from tests.local_cloud.aws.stack import Stack, deploy
from tests.local_cloud.aws.tenant_data import upload_samples
from tests.local_cloud.common.night import Night
from tests.local_cloud.common.sample_tenants import SAMPLES
from tests.support.night_scenario import SETTINGS, CompletedNight, NightScenario, find_zone_at_2_am

BUCKET = "data"
UNITS = {metric.name: metric.unit for metric in METRICS}
# Allowed actions that a night without faults does not use, and what uses them.
UNUSED = {
    ("SchedulerRole", "KeepUndelivered", "sqs:SendMessage"): "Scheduler, when Lambda does not respond",
    ("DispatcherRole", "KeepFailedEvents", "sqs:SendMessage"): "Lambda, when the function failed three times",
    ("WatcherRole", "KeepFailedEvents", "sqs:SendMessage"): "Lambda, when the function failed three times",
    ("WatcherRole", "QueueDaysAgain", "sqs:SendMessage"): "a job that ended without tables",
    ("WatcherRole", "FollowJobs", "emr-serverless:CancelJobRun"): "a job that waits too long for workers",
    ("WatcherRole", "FindReceipts", "s3:ListBucket"): "S3 requires it when a receipt is missing",
    ("WorkerRole", "FollowJobs", "emr-serverless:GetJobRun"): "a day that is requested while its job runs",
    ("WorkerRole", "FollowJobs", "emr-serverless:CancelJobRun"): "a day that is taken over from its job",
    ("WorkerRole", "WriteTables", "s3:DeleteObject"): "plain Parquet's staged files, and those of the previous run",
    ("WorkerRole", "WriteTables", "s3:AbortMultipartUpload"): "a large file whose upload fails",
    ("JobRole", "WriteTables", "s3:AbortMultipartUpload"): "a large file whose upload fails",
}


@dataclass(frozen=True, kw_only=True)
class CompletedAwsNight(CompletedNight):
    """A completed night and its deployment."""

    aws: LocalAws
    stack: Stack


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CompletedAwsNight]:
    folder = tmp_path_factory.mktemp("night")
    zone = find_zone_at_2_am(datetime.now(UTC))
    parameters = {"DataBucketName": BUCKET, "PackageVersion": VERSION, "BatchTimezone": zone, "LookBack": "0"}
    with serve_aws(folder / "aws") as aws, deploy(aws, parameters=parameters, more=SETTINGS) as stack:
        upload_package(stack, folder)
        day = business_day(datetime.now(UTC), offset=-1, zone=zone)
        source, cloud = folder / "in", AwsNight(stack)
        expected_counts = upload_samples(
            aws, bucket=BUCKET, table=stack.deployment.table.name, day=day, zone=zone, folder=source
        )
        report = Night(cloud=cloud, day=day, tenants=list(SAMPLES), on_progress=print).run()
        yield CompletedAwsNight(
            cloud=cloud,
            day=day,
            zone=zone,
            report=report,
            expected_counts=expected_counts,
            source=source,
            root=f"s3://{BUCKET}",
            options={name.lower(): value for name, value in aws.environment().items()},
            read=lambda key: bytes(aws.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()),
            list_jobs=lambda: find_jobs(stack),
            count_messages=lambda: count_messages(stack),
            read_lines=lambda: read_lines(stack),
            sum_metrics=lambda: sum_metrics(read_lines(stack)),
            aws=aws,
            stack=stack,
        )


def find_jobs(stack: Stack) -> list[tuple[str, str]]:
    client, application = stack.aws.client("emr-serverless"), stack.deployment.application.id
    runs = client.list_job_runs(applicationId=application, states=["SUCCESS"])["jobRuns"]
    details = [client.get_job_run(applicationId=application, jobRunId=run["id"])["jobRun"] for run in runs]
    return [(run["tags"]["tenant"], run["jobRunId"]) for run in details]


def count_messages(stack: Stack) -> int:
    client = stack.aws.client("sqs")
    names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
    attributes = [
        client.get_queue_attributes(QueueUrl=queue.url, AttributeNames=["All"])["Attributes"]
        for queue in stack.deployment.queues.values()
    ]
    return sum(int(queue[name]) for queue in attributes for name in names)


def read_lines(stack: Stack) -> list[dict[str, Any]]:
    """Return the JSON lines of the functions' and the jobs' logs."""
    client = stack.aws.client("logs")
    groups = [function.log_group for function in stack.functions.values()] + [stack.deployment.application.log_group]
    streams = [
        (group, stream["logStreamName"])
        for group in groups
        for stream in client.describe_log_streams(logGroupName=group)["logStreams"]
    ]
    lines = [
        event["message"]
        for group, stream in streams
        for event in client.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)["events"]
    ]
    return [json.loads(line) for line in lines if line.startswith("{")]


def sum_metrics(lines: list[dict[str, Any]]) -> dict[str, float]:
    """Return the sum of each metric in the embedded metric format, as CloudWatch computes it."""
    sums: Counter[str] = Counter()
    for line in lines:
        for directive in line.get("_aws", {}).get("CloudWatchMetrics", ()):
            assert (directive["Namespace"], directive["Dimensions"]) == ("MakotoDailyBatch", [["service"]])
            assert line["service"] == "makoto-daily-batch"
            for metric in directive["Metrics"]:
                assert UNITS[metric["Name"]] == metric["Unit"]
                sums[metric["Name"]] += sum(line[metric["Name"]])
    return dict(sums)


class TestNight(NightScenario):
    """The scenario of both clouds, on AWS."""


def test_template_roles_allow_every_call(night: CompletedAwsNight) -> None:
    calls = night.aws.calls()
    assert [call for call in calls if not call["allowed"]] == []
    assert {call["principal"].partition("/")[0] for call in calls} == set(night.stack.deployment.roles)


def test_template_roles_allow_no_unused_action(night: CompletedAwsNight) -> None:
    used = {(call["principal"].partition("/")[0], call["sid"], call["action"]) for call in night.aws.calls()}
    allowed = {
        (name, statement["Sid"], action)
        for name, role in night.stack.deployment.roles.items()
        for policy in role.policies
        for statement in policy["Statement"]
        if statement["Effect"] == "Allow"
        for action in as_list(statement["Action"])
    }
    assert allowed - used == set(UNUSED)


def test_job_accesses_only_its_tenant_and_its_package(night: CompletedAwsNight) -> None:
    calls = [call for call in night.aws.calls() if call["principal"] == f"JobRole/makoto-large-{night.day}"]
    objects = {call["resource"] for call in calls if call["action"] in ("s3:GetObject", "s3:PutObject")}
    allowed = (f"arn:aws:s3:::{BUCKET}/large/", "arn:aws:s3:::artifacts/emr/")
    assert objects
    assert all(resource.startswith(allowed) for resource in objects)
    listed = {call["context"]["s3:prefix"] for call in calls if call["action"] == "s3:ListBucket"}
    assert listed
    assert all(prefix.startswith("large/") for prefix in listed)


def test_every_function_and_the_job_write_logs(night: CompletedAwsNight) -> None:
    client = night.aws.client("logs")
    for function in night.stack.functions.values():
        streams = client.describe_log_streams(logGroupName=function.log_group)["logStreams"]
        assert streams
    group = night.stack.deployment.application.log_group
    names = {
        stream["logStreamName"].rpartition("/")[2]
        for stream in client.describe_log_streams(logGroupName=group)["logStreams"]
    }
    assert names == {"stdout", "stderr"}
