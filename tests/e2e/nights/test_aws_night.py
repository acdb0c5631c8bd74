"""A whole night on the local AWS by template.yaml, end to end."""

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
from tests.support.night_scenario import MORE, NightScenario, Played, where_it_is_two_at_night

BUCKET = "data"
UNITS = {metric.name: metric.unit for metric in METRICS}
# Allowed, and not used in a night without trouble.
UNUSED = {
    ("SchedulerRole", "KeepUndelivered", "sqs:SendMessage"): "Scheduler itself, when Lambda does not answer",
    ("DispatcherRole", "KeepFailedEvents", "sqs:SendMessage"): "Lambda itself, when the function failed three times",
    ("WatcherRole", "KeepFailedEvents", "sqs:SendMessage"): "Lambda itself, when the function failed three times",
    ("WatcherRole", "QueueDaysAgain", "sqs:SendMessage"): "a job that ended without tables",
    ("WatcherRole", "FollowJobs", "emr-serverless:CancelJobRun"): "a job that waits too long for workers",
    ("WatcherRole", "FindReceipts", "s3:ListBucket"): "S3 asks for it when a receipt is missing",
    ("WorkerRole", "FollowJobs", "emr-serverless:GetJobRun"): "a day that is asked for while its job runs",
    ("WorkerRole", "FollowJobs", "emr-serverless:CancelJobRun"): "a day that is taken from its job",
    ("WorkerRole", "WriteTables", "s3:DeleteObject"): "plain Parquet's staged files, and those of the run before",
    ("WorkerRole", "WriteTables", "s3:AbortMultipartUpload"): "a large file whose upload fails",
    ("JobRole", "WriteTables", "s3:DeleteObject"): "plain Parquet's staged files, and those of the run before",
    ("JobRole", "WriteTables", "s3:AbortMultipartUpload"): "a large file whose upload fails",
}


@dataclass(frozen=True, kw_only=True)
class PlayedOnAws(Played):
    """A night that is over, and where it was."""

    aws: LocalAws
    stack: Stack


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlayedOnAws]:
    folder = tmp_path_factory.mktemp("night")
    zone = where_it_is_two_at_night(datetime.now(UTC))
    parameters = {"DataBucketName": BUCKET, "PackageVersion": VERSION, "BatchTimezone": zone, "LookBack": "0"}
    with serve_aws(folder / "aws") as aws, deploy(aws, parameters=parameters, more=MORE) as stack:
        upload_package(stack, folder)
        day = business_day(datetime.now(UTC), offset=-1, zone=zone)
        written, cloud = folder / "in", AwsNight(stack)
        truths = upload_samples(
            aws, bucket=BUCKET, table=stack.deployment.table.name, day=day, zone=zone, folder=written
        )
        report = Night(cloud=cloud, day=day, tenants=list(SAMPLES), on_progress=print).run()
        yield PlayedOnAws(
            cloud=cloud,
            day=day,
            zone=zone,
            report=report,
            truths=truths,
            written=written,
            root=f"s3://{BUCKET}",
            options={name.lower(): value for name, value in aws.environment().items()},
            read=lambda key: bytes(aws.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()),
            jobs=lambda: find_jobs(stack),
            messages_left=lambda: count_messages(stack),
            lines=lambda: read_lines(stack),
            measured=lambda: add_up(read_lines(stack)),
            aws=aws,
            stack=stack,
        )


def find_jobs(stack: Stack) -> list[tuple[str, str]]:
    client, application = stack.aws.client("emr-serverless"), stack.deployment.application.id
    runs = client.list_job_runs(applicationId=application, states=["SUCCESS"])["jobRuns"]
    told = [client.get_job_run(applicationId=application, jobRunId=run["id"])["jobRun"] for run in runs]
    return [(run["tags"]["tenant"], run["jobRunId"]) for run in told]


def count_messages(stack: Stack) -> int:
    client = stack.aws.client("sqs")
    names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
    told = [
        client.get_queue_attributes(QueueUrl=queue.url, AttributeNames=["All"])["Attributes"]
        for queue in stack.deployment.queues.values()
    ]
    return sum(int(attributes[name]) for attributes in told for name in names)


def read_lines(stack: Stack) -> list[dict[str, Any]]:
    """The lines of JSON of the functions' and the jobs' logs."""
    client = stack.aws.client("logs")
    groups = [function.log_group for function in stack.functions.values()] + [stack.deployment.application.log_group]
    streams = [
        (group, stream["logStreamName"])
        for group in groups
        for stream in client.describe_log_streams(logGroupName=group)["logStreams"]
    ]
    told = [
        event["message"]
        for group, stream in streams
        for event in client.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)["events"]
    ]
    return [json.loads(line) for line in told if line.startswith("{")]


def add_up(lines: list[dict[str, Any]]) -> dict[str, float]:
    """The values of embedded metrics, as CloudWatch reads them."""
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
    """The night that every cloud plays."""


def test_the_roles_of_the_template_allow_every_call(night: PlayedOnAws) -> None:
    calls = night.aws.calls()
    assert [call for call in calls if not call["allowed"]] == []
    assert {call["principal"].partition("/")[0] for call in calls} == set(night.stack.deployment.roles)


def test_the_roles_of_the_template_allow_nothing_that_is_not_used(night: PlayedOnAws) -> None:
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


def test_a_job_touches_its_own_tenant_and_its_code_and_nothing_else(night: PlayedOnAws) -> None:
    calls = [call for call in night.aws.calls() if call["principal"] == f"JobRole/makoto-large-{night.day}"]
    objects = {call["resource"] for call in calls if call["action"] in ("s3:GetObject", "s3:PutObject")}
    own = (f"arn:aws:s3:::{BUCKET}/large/", "arn:aws:s3:::artifacts/emr/")
    assert objects
    assert all(resource.startswith(own) for resource in objects)
    listed = {call["context"]["s3:prefix"] for call in calls if call["action"] == "s3:ListBucket"}
    assert listed
    assert all(prefix.startswith("large/") for prefix in listed)


def test_each_function_wrote_its_log_and_the_job_too(night: PlayedOnAws) -> None:
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
