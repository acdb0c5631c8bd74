"""A whole night on the local AWS by template.yaml: a small tenant, a large, a poisoned and an empty one, end to end."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from daily_batch.days import business_day
from daily_batch.metadata.keys import day_key, days_of
from daily_batch.sample import Truth
from day_runs import read_tables, run_local
from local_cloud.aws import LocalAws, serve_aws
from local_cloud.iam import as_list
from local_cloud.night import Night, NightReport
from local_cloud.package import VERSION, upload_package
from local_cloud.samples import BROKEN, SAMPLES, plant
from local_cloud.stack import Stack, deploy

BUCKET = "data"
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


class Played(NamedTuple):
    """A night that is over."""

    aws: LocalAws
    stack: Stack
    day: date
    report: NightReport
    truths: Mapping[str, Truth]
    written: Path

    @property
    def options(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.aws.environment().items()}

    def read(self, key: str) -> bytes:
        body: bytes = self.aws.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return body

    def entry(self, tenant: str) -> dict[str, Any]:
        """The ledger's word on the tenant's day."""
        key = {"PK": {"S": days_of(tenant)}, "SK": {"S": day_key(self.day)}}
        item = self.aws.client("dynamodb").get_item(TableName=self.stack.deployment.table.name, Key=key)["Item"]
        return {name: next(iter(value.values())) for name, value in item.items()}

    def receipt(self, tenant: str) -> dict[str, Any]:
        receipt: dict[str, Any] = json.loads(self.read(self.entry(tenant)["receipt"]))
        return receipt


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    folder = tmp_path_factory.mktemp("night")
    zone = _where_it_is_two_at_night(datetime.now(UTC))
    parameters = {"DataBucketName": BUCKET, "PackageVersion": VERSION, "BatchTimezone": zone, "LookBack": "0"}
    with (
        serve_aws(folder / "aws") as aws,
        deploy(aws, parameters=parameters, more={"MAKOTO_LARGE_MESSAGES": "2000"}) as stack,
    ):
        upload_package(stack, folder)
        day = business_day(datetime.now(UTC), offset=-1, zone=zone)
        written = folder / "in"
        truths = plant(aws, bucket=BUCKET, table=stack.deployment.table.name, day=day, zone=zone, folder=written)
        report = Night(stack=stack, day=day, tenants=list(SAMPLES), say=print).run()
        yield Played(aws, stack, day, report, truths, written)


def _where_it_is_two_at_night(now: datetime) -> str:
    """A zone: days do not change while the test runs, and the night's are not due yet."""
    ahead = (2 - now.hour) % 24
    ahead -= 24 if ahead > 12 else 0
    return f"Etc/GMT{-ahead:+d}"


def test_each_tenant_s_day_ends_as_it_should(night: Played) -> None:
    ended = {tenant: (night.entry(tenant)["status"], night.entry(tenant)["runner"]) for tenant in SAMPLES}
    assert ended == {
        "small": ("COMPLETED", "local"),
        "large": ("COMPLETED_WITH_REJECTS", "spark"),
        "poisoned": ("COMPLETED_WITH_REJECTS", "local"),
        "empty": ("COMPLETED", "local"),
    }
    for tenant in ("small", "large"):
        assert night.receipt(tenant)["records"] == night.truths[tenant].records


def test_what_is_broken_is_rejected_and_the_rest_of_the_day_published(night: Played) -> None:
    receipt, truth = night.receipt("poisoned"), night.truths["poisoned"]
    # Noise is read, line by line, and an object of no bytes holds no record.
    assert receipt["objects"]["unreadable"] == truth.objects["unreadable"] + 2
    assert receipt["objects"]["listed"] == truth.objects["listed"] + len(BROKEN)
    assert receipt["records"]["written"] == truth.records["written"]


def test_a_day_without_messages_has_tables_with_none(night: Played) -> None:
    tables = read_tables(f"s3://{BUCKET}", tenant="empty", day=night.day, options=night.options)
    assert [row["messages"] for row in tables["summary_daily"]] == [0]
    assert tables["messages"] == []


def test_spark_on_emr_serverless_publishes_what_this_process_would(night: Played, tmp_path: Path) -> None:
    zone = night.stack.deployment.functions["WorkerFunction"].environment["BATCH_TIMEZONE"]
    run_local(input=night.written, output=tmp_path, tenant="large", day=night.day, timezone=zone)
    published = read_tables(f"s3://{BUCKET}", tenant="large", day=night.day, options=night.options)
    assert published == read_tables(tmp_path, tenant="large", day=night.day)


def test_the_night_s_summary_says_so(night: Played) -> None:
    assert night.report.queued == len(SAMPLES)
    assert night.report.summary == {
        "date": night.day.isoformat(),
        "tenants": 4,
        "states": {"completed": 2, "completed, rejects": 2},
        "attention": [],
        "late": 0,
        "queued": 0,
        "ended": True,
    }


def test_one_large_day_is_one_job_run(night: Played) -> None:
    runs = night.aws.client("emr-serverless").list_job_runs(applicationId=night.stack.deployment.application.id)[
        "jobRuns"
    ]
    assert [(run["name"], run["state"]) for run in runs] == [(f"makoto-large-{night.day}", "SUCCESS")]
    assert runs[0]["id"] == night.entry("large")["job_id"]


def test_no_message_is_left(night: Played) -> None:
    client = night.aws.client("sqs")
    for queue in night.stack.deployment.queues.values():
        told = client.get_queue_attributes(QueueUrl=queue.url, AttributeNames=["All"])["Attributes"]
        assert told["ApproximateNumberOfMessages"] == told["ApproximateNumberOfMessagesNotVisible"] == "0"


def test_the_roles_of_the_template_allow_every_call(night: Played) -> None:
    calls = night.aws.calls()
    assert [call for call in calls if not call["allowed"]] == []
    assert {call["principal"].partition("/")[0] for call in calls} == set(night.stack.deployment.roles)


def test_the_roles_of_the_template_allow_nothing_that_is_not_used(night: Played) -> None:
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


def test_a_job_touches_its_own_tenant_and_its_code_and_nothing_else(night: Played) -> None:
    calls = [call for call in night.aws.calls() if call["principal"] == f"JobRole/makoto-large-{night.day}"]
    objects = {call["resource"] for call in calls if call["action"] in ("s3:GetObject", "s3:PutObject")}
    own = (f"arn:aws:s3:::{BUCKET}/large/", "arn:aws:s3:::artifacts/emr/")
    assert objects
    assert all(resource.startswith(own) for resource in objects)
    listed = {call["context"]["s3:prefix"] for call in calls if call["action"] == "s3:ListBucket"}
    assert listed
    assert all(prefix.startswith("large/") for prefix in listed)


def test_each_function_wrote_its_log_and_the_job_too(night: Played) -> None:
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
