"""The worker killed between every two steps, messages twice, events lost, services down: on the local AWS.

Jobs are only simulated here: what they do is tested in the nights and by the Spark runner's tests.
"""

import json
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import deltalake
import pytest

from daily_batch.ledger import Entry, Ledger
from daily_batch.metadata.dynamodb import DynamoDbStore
from daily_batch.synthetic import generate
from tests.local_cloud.aws.emr.job_runs import Outcome
from tests.local_cloud.aws.job_package import VERSION
from tests.local_cloud.aws.lambda_functions import InvocationResult, LocalFunction
from tests.local_cloud.aws.local_aws import LocalAws, serve_aws
from tests.local_cloud.aws.stack import Stack, deploy
from tests.local_cloud.common.faults import Fault
from tests.support.crash_points import STEPS

# Of late, for the watcher looks at the last days; over in every time zone.
DAY = (datetime.now(UTC) - timedelta(days=2)).date()
BUCKET = "makoto-data"
MESSAGES = 60
# Nobody knows of a function that it is dead, so its lease must end.
LEASE_SECONDS = 1.2
SHORT = {"MAKOTO_LEASE_SECONDS": "1"}
MORE = {"MAKOTO_LEASE_SECONDS": "30", "MAKOTO_LARGE_MESSAGES": "500"}


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """A deployment, as a test of one tenant sees it."""

    stack: Stack
    tenant: str
    truth: dict[str, Any]

    @property
    def aws(self) -> LocalAws:
        return self.stack.aws

    def work(
        self, *, crash_at: str = "", event: dict[str, Any] | None = None, more: dict[str, str] | None = None
    ) -> InvocationResult:
        """One delivery of the tenant-day's message to the worker, in a process of its own."""
        worker = self.stack.functions["WorkerFunction"]
        variables = {**MORE, **(more or {}), "CRASH_AT": crash_at}
        dying = replace(worker.function, handler="tests.support.crashing_worker.handler")
        function = LocalFunction(
            aws=self.aws,
            function=dying,
            key=worker.key,
            folder=worker.folder / uuid.uuid4().hex,
            more=variables,
            log_group=worker.log_group,
        )
        try:
            return function.invoke(event or self.event())
        finally:
            function.stop()

    def event(self, *, sent: datetime | None = None, **changes: Any) -> dict[str, Any]:
        body = {"tenant": self.tenant, "date": DAY.isoformat(), **changes}
        moment = str(int((sent or datetime.now(UTC)).timestamp() * 1000))
        attributes = {"ApproximateReceiveCount": "1", "SentTimestamp": moment, "SenderId": "x"}
        record = {"messageId": "m-1", "receiptHandle": "r", "body": json.dumps(body), "attributes": attributes}
        return {"Records": [{**record, "messageAttributes": {}, "md5OfBody": "", "eventSource": "aws:sqs"}]}

    def entry(self) -> Entry:
        found = self.ledger.find(self.tenant, DAY)
        assert found is not None
        return found

    @cached_property
    def ledger(self) -> Ledger:
        table = self.stack.deployment.table.name
        store = DynamoDbStore(table, region=self.aws.region, endpoint_url=self.aws.endpoint)
        return Ledger(store=store, clock=lambda: datetime.now(UTC))

    def rows(self) -> int:
        """Messages in the table, by a reader of its own."""
        options = {**self.aws.environment(), "AWS_ALLOW_HTTP": "true"}
        table = deltalake.DeltaTable(f"s3://{BUCKET}/{self.tenant}/analytics/messages", storage_options=options)
        return int(table.to_pyarrow_dataset().count_rows())

    def objects(self) -> list[str]:
        """What lies below the tenant's tables."""
        prefix = f"{self.tenant}/analytics/"
        listed = self.aws.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        return [each["Key"] for each in listed.get("Contents", [])]

    def jobs(self) -> list[dict[str, Any]]:
        """The tenant's job runs."""
        client = self.aws.client("emr-serverless")
        application = self.stack.deployment.application.id
        listed = client.list_job_runs(applicationId=application)["jobRuns"]
        name = f"makoto-{self.tenant}-{DAY}"
        return [each for each in listed if each["name"] == name]

    def events(self) -> list[dict[str, Any]]:
        """EventBridge's events of the tenant's last job."""
        job_id = self.entry().job_id
        return [event for event in self.aws.events() if event["detail"]["jobRunId"] == job_id]

    def watch(self) -> InvocationResult:
        """The quarter of an hour is over."""
        answer = self.stack.schedule("ReconcileSchedule", time=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")
        assert answer.error == "", answer
        return answer

    def queued(self) -> list[dict[str, Any]]:
        """The tenant's messages on the queue, which are taken from it."""
        client, url = self.aws.client("sqs"), self.stack.deployment.queues["TaskQueue"].url
        found = []
        while messages := client.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
            for message in messages:
                client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                found.append(json.loads(message["Body"]))
        return [message for message in found if message["tenant"] == self.tenant]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One deployment for all tests of this module; each has a tenant of its own."""
    parameters = {"DataBucketName": BUCKET, "PackageVersion": VERSION, "TenantId": "*", "EmrConcurrentRuns": "100"}
    with serve_aws(tmp_path_factory.mktemp("aws")) as aws, deploy(aws, parameters=parameters, more=MORE) as made:
        yield made


@pytest.fixture
def cloud(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """A small tenant with a day of messages."""
    yield create_tenant(stack, tmp_path, messages=MESSAGES, monkeypatch=monkeypatch)
    stack.aws.inject_faults()


@pytest.fixture
def large(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """A tenant whose day goes to EMR Serverless, where its job is at work until a test says otherwise."""
    made = create_tenant(stack, tmp_path, messages=700, monkeypatch=monkeypatch)
    stack.aws.simulate(everyone=Outcome(state="RUNNING"))
    yield made
    stack.aws.inject_faults()


def create_tenant(stack: Stack, folder: Path, *, messages: int, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    for name, value in stack.aws.environment().items():
        monkeypatch.setenv(name, value)
    tenant = f"t-{uuid.uuid4().hex[:8]}"
    generate(messages=messages, layout="export", seed=1, out=folder, tenant=tenant, day=DAY, files=1)
    client = stack.aws.client("s3")
    for path in (folder / tenant).rglob("*"):
        if path.is_file():
            client.upload_file(str(path), BUCKET, str(path.relative_to(folder)))
    known = {"PK": {"S": "SYSTEM#TENANTS"}, "SK": {"S": f"TENANT#{tenant}"}}
    stack.aws.client("dynamodb").put_item(TableName=stack.deployment.table.name, Item=known)
    return Cloud(stack=stack, tenant=tenant, truth=json.loads((folder / f"{tenant}-truth.json").read_text()))


# The answer to StartJobRun came, and nobody wrote it down.
LOST = ["after the submission"]


# Killed between every two steps


@pytest.mark.parametrize("step", [step for step in STEPS if "submission" not in step])
def test_1_2_retry_after_a_crash_at_any_step_publishes_once(cloud: Cloud, step: str) -> None:
    event = cloud.event()
    killed = cloud.work(crash_at=step, event=event, more=SHORT)
    assert killed.error == "Runtime.ExitError"
    time.sleep(LEASE_SECONDS)
    again = cloud.work(event=event, more={"MAKOTO_RUNNER": "local"})
    assert (again.error, again.result) == ("", {"batchItemFailures": []})
    assert cloud.entry().is_complete
    assert cloud.rows() == cloud.entry().message_count == cloud.truth["records"]["written"]
    assert cloud.jobs() == []


@pytest.mark.parametrize(
    "step", ["after the lease", "after the manifest", "before the submission", "after the submission"]
)
def test_6_retry_after_a_crash_around_submission_uses_one_job(large: Cloud, step: str) -> None:
    event = large.event()
    assert large.work(crash_at=step, event=event, more=SHORT).error == "Runtime.ExitError"
    time.sleep(LEASE_SECONDS)
    again = large.work(event=event)
    assert (again.error, again.result) == ("", {"batchItemFailures": []})
    (job,) = large.jobs()
    assert (large.entry().status, large.entry().job_id) == ("SUBMITTED", job["id"])


def test_day_whose_worker_crashed_is_submitted_to_emr_serverless(cloud: Cloud) -> None:
    cloud.aws.simulate(everyone=Outcome(state="RUNNING"))
    cloud.work(crash_at="before the commit", more=SHORT)
    time.sleep(LEASE_SECONDS)
    assert cloud.work().error == ""
    assert cloud.entry().handed_over == "an earlier run in a function's own process was killed before it ended"
    assert len(cloud.jobs()) == 1


# Messages twice


def test_5_concurrent_deliveries_run_the_day_once(cloud: Cloud) -> None:
    event = cloud.event()
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: cloud.work(event=event), range(2)))
    assert [answer.error for answer in answers] == ["", ""]
    assert cloud.entry().is_complete
    assert (cloud.entry().token, cloud.rows()) == (1, cloud.truth["records"]["written"])


def test_5_second_delivery_submits_no_second_job(large: Cloud) -> None:
    for _ in range(2):
        assert large.work().result == {"batchItemFailures": []}
    assert len(large.jobs()) == 1


# Services in trouble


def test_8_throttled_ledger_is_retried(cloud: Cloud) -> None:
    cloud.aws.inject_faults(Fault(kind="throttled", pattern="dynamodb:PutItem", times=2))
    assert cloud.work().error == ""
    assert cloud.entry().is_complete


def test_8_unavailable_ledger_prevents_publication(cloud: Cloud) -> None:
    cloud.aws.inject_faults(Fault(kind="unavailable", pattern="dynamodb:"))
    failed = cloud.work()
    assert failed.error == "RetryableError"
    assert "the DynamoDB table" in failed.message
    assert cloud.objects() == []
    cloud.aws.inject_faults()
    assert cloud.work().error == ""


def test_18_denied_output_fails_the_day_permanently(cloud: Cloud) -> None:
    cloud.aws.inject_faults(Fault(kind="denied", pattern="s3:PutObject"))
    event = cloud.event()
    failed = cloud.work(event=event)
    assert failed.error == "TerminalError"
    assert "access is denied" in str(cloud.entry().error)
    assert cloud.work(event=event).error == ""  # delivered again, it is given up
    assert cloud.entry().attempts == 1


def test_6_retry_after_a_lost_submission_response_reuses_the_job(large: Cloud) -> None:
    large.aws.inject_faults(Fault(kind="lost", pattern="emr-serverless:StartJobRun", times=1))
    assert large.work().error == ""
    (job,) = large.jobs()
    assert large.entry().job_id == job["id"]


def test_throttled_submission_is_retried(large: Cloud) -> None:
    large.aws.inject_faults(Fault(kind="throttled", pattern="emr-serverless:StartJobRun", times=2))
    assert large.work().error == ""
    assert len(large.jobs()) == 1


def test_exceeded_quota_is_named_and_the_message_retried(large: Cloud) -> None:
    large.aws.inject_faults(Fault(kind="quota", pattern="emr-serverless:StartJobRun"))
    event = large.event()
    failed = large.work(event=event)
    assert failed.error == "RetryableError"
    assert "L-D05C8A75" in failed.message
    large.aws.inject_faults()
    assert large.work(event=event).error == ""
    assert len(large.jobs()) == 1


# Jobs that fail, and events that do not come


def submit(cloud: Cloud, outcome: Outcome) -> str:
    cloud.aws.simulate(everyone=outcome)
    assert cloud.work().error == ""
    return str(cloud.entry().job_id)


def wait_for(cloud: Cloud, state: str) -> None:
    client, application = cloud.aws.client("emr-serverless"), cloud.stack.deployment.application.id
    job_id = str(cloud.entry().job_id)
    deadline = time.monotonic() + 10
    while (run := client.get_job_run(applicationId=application, jobRunId=job_id)["jobRun"])["state"] != state:
        assert time.monotonic() < deadline, run
        time.sleep(0.2)


def last_event(cloud: Cloud, state: str) -> dict[str, Any]:
    return next(event for event in cloud.events() if event["detail"]["state"] == state)


def test_job_without_capacity_is_requeued_and_the_quota_named(large: Cloud) -> None:
    submit(large, Outcome(state="FAILED", details="Worker could not be allocated: the vCPU limit is reached"))
    wait_for(large, "FAILED")
    (answer,) = large.stack.deliver(last_event(large, "FAILED"))
    assert (answer.error, answer.result) == ("", {"settled": 1})
    assert "L-D05C8A75" in str(large.entry().error)
    assert large.queued() == [{"tenant": large.tenant, "date": DAY.isoformat(), "force": False}]


def test_failed_spark_job_is_requeued_and_its_error_quotes_no_content(large: Cloud) -> None:
    submit(large, Outcome(state="FAILED", details="ExitCode: 1. Caused by: SparkException: could not read 'Hello Bob'"))
    wait_for(large, "FAILED")
    large.stack.deliver(last_event(large, "FAILED"))
    assert "Exit status 1, SparkException" in str(large.entry().error)
    assert "Bob" not in str(large.entry().error)
    assert len(large.queued()) == 1


def test_cancelled_job_is_not_requeued(large: Cloud) -> None:
    job_id = submit(large, Outcome(state="RUNNING"))
    application = large.stack.deployment.application.id
    large.aws.client("emr-serverless").cancel_job_run(applicationId=application, jobRunId=job_id)
    wait_for(large, "CANCELLED")
    large.stack.deliver(last_event(large, "CANCELLED"))
    assert (large.entry().status, large.entry().retryable) == ("FAILED", False)
    assert large.queued() == []


def test_job_stuck_in_scheduled_is_cancelled_and_requeued(large: Cloud) -> None:
    submit(large, Outcome(state="SCHEDULED", details="ApplicationMaxCapacityExceededException: [memory: 48 GB]"))
    wait_for(large, "SCHEDULED")
    large.watch()
    assert large.entry().status == "SUBMITTED"
    large.aws.age_jobs(hours=2)
    large.watch()
    wait_for(large, "CANCELLED")
    large.watch()
    entry = large.entry()
    assert (entry.status, entry.retryable) == ("FAILED", True)
    assert "had waited 60 minutes for workers" in str(entry.error)
    assert "L-D05C8A75" in str(entry.error)
    assert len(large.queued()) == 1


def test_19_reconciliation_settles_a_job_whose_event_was_lost(large: Cloud) -> None:
    submit(large, Outcome(state="FAILED", details="ExitCode: 3"))
    wait_for(large, "FAILED")
    summary = large.watch().result
    assert large.entry().status == "FAILED"
    assert summary["tenants"] >= 1
    assert large.queued() == []  # for good


def test_duplicate_and_out_of_order_events_change_nothing(large: Cloud) -> None:
    submit(large, Outcome(state="FAILED", details="ExitCode: 3"))
    wait_for(large, "FAILED")
    failed = last_event(large, "FAILED")
    assert [answer.result for answer in large.stack.deliver(failed)] == [{"settled": 1}]
    before = large.entry()
    assert [answer.result for answer in large.stack.deliver(failed)] == [{"settled": 0}]
    late = json.loads(json.dumps(failed).replace('"FAILED"', '"SUCCESS"'))
    assert [answer.result for answer in large.stack.deliver(late)] == [{"settled": 0}]
    assert large.entry() == before
    assert large.stack.deliver(last_event(large, "RUNNING")) == []  # of no interest to the rule


def test_event_of_an_unknown_job_run_is_ignored(large: Cloud) -> None:
    submit(large, Outcome(state="RUNNING"))
    event = json.loads(json.dumps(last_event(large, "RUNNING")).replace('"RUNNING"', '"SUCCESS"'))
    event["detail"]["jobRunId"] = "00f1unknown"
    (answer,) = large.stack.deliver(event)
    assert (answer.error, answer.result) == ("", {"settled": 0})
    assert large.entry().status == "SUBMITTED"
