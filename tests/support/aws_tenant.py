"""A tenant of a deployment on the local AWS, with one day of messages."""

import json
import time
import uuid
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
from tests.local_cloud.aws.lambda_functions import InvocationResult, LocalFunction
from tests.local_cloud.aws.local_aws import LocalAws
from tests.local_cloud.aws.stack import Stack
from tests.local_cloud.aws.tenant_data import register_tenant

# Recent, because the watcher checks the last days, and past in every time zone.
DAY = (datetime.now(UTC) - timedelta(days=2)).date()
BUCKET = "makoto-data"
SETTINGS = {"MAKOTO_LEASE_SECONDS": "30", "MAKOTO_LARGE_MESSAGES": "500"}


@dataclass(frozen=True, kw_only=True)
class AwsTenant:
    """Calls to a deployment, and its state, for one tenant-day."""

    stack: Stack
    name: str
    expected: dict[str, Any]

    @property
    def aws(self) -> LocalAws:
        return self.stack.aws

    def deliver(
        self, *, crash_at: str = "", event: dict[str, Any] | None = None, more: dict[str, str] | None = None
    ) -> InvocationResult:
        """Deliver the day's message once to a new worker process.

        Args:
            crash_at: the step at which the process is killed (`crash_points`).
            event: the delivery, instead of a new one.
            more: further environment variables.
        """
        worker = self.stack.functions["WorkerFunction"]
        function = LocalFunction(
            aws=self.aws,
            function=replace(worker.function, handler="tests.support.crashing_worker.handler"),
            key=worker.key,
            folder=worker.folder / uuid.uuid4().hex,
            more={**SETTINGS, **(more or {}), "CRASH_AT": crash_at},
            log_group=worker.log_group,
        )
        try:
            return function.invoke(event or self.make_event())
        finally:
            function.stop()

    def make_event(self) -> dict[str, Any]:
        """Return the SQS event of the first delivery of the day's message."""
        body = {"tenant": self.name, "date": DAY.isoformat()}
        sent = str(int(datetime.now(UTC).timestamp() * 1000))
        attributes = {"ApproximateReceiveCount": "1", "SentTimestamp": sent, "SenderId": "x"}
        record = {"messageId": "m-1", "receiptHandle": "r", "body": json.dumps(body), "attributes": attributes}
        return {"Records": [{**record, "messageAttributes": {}, "md5OfBody": "", "eventSource": "aws:sqs"}]}

    def submit(self, outcome: Outcome) -> str:
        """Deliver the message and return the id of the job, which ends with an outcome."""
        self.aws.simulate(everyone=outcome)
        assert self.deliver().error == ""
        return str(self.entry().job_id)

    def wait_for(self, state: str) -> None:
        """Wait until the last job is in a state."""
        client, application = self.aws.client("emr-serverless"), self.stack.deployment.application.id
        job_id = str(self.entry().job_id)
        deadline = time.monotonic() + 10
        while (run := client.get_job_run(applicationId=application, jobRunId=job_id)["jobRun"])["state"] != state:
            assert time.monotonic() < deadline, run
            time.sleep(0.2)

    def reconcile(self) -> InvocationResult:
        """Fire the watcher's schedule."""
        result = self.stack.schedule("ReconcileSchedule", time=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")
        assert result.error == "", result
        return result

    def entry(self) -> Entry:
        entry = self.ledger.find(self.name, DAY)
        assert entry is not None
        return entry

    @cached_property
    def ledger(self) -> Ledger:
        table = self.stack.deployment.table.name
        store = DynamoDbStore(table, region=self.aws.region, endpoint_url=self.aws.endpoint)
        return Ledger(store=store, clock=lambda: datetime.now(UTC))

    def count_rows(self) -> int:
        """Count the messages in the table with a reader other than ours."""
        options = {**self.aws.environment(), "AWS_ALLOW_HTTP": "true"}
        table = deltalake.DeltaTable(f"s3://{BUCKET}/{self.name}/analytics/messages", storage_options=options)
        return int(table.to_pyarrow_dataset().count_rows())

    def list_published_objects(self) -> list[str]:
        """Return the keys below the tenant's tables."""
        prefix = f"{self.name}/analytics/"
        listed = self.aws.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        return [each["Key"] for each in listed.get("Contents", [])]

    def list_jobs(self) -> list[dict[str, Any]]:
        """Return the tenant's job runs."""
        client = self.aws.client("emr-serverless")
        application = self.stack.deployment.application.id
        listed = client.list_job_runs(applicationId=application)["jobRuns"]
        name = f"makoto-{self.name}-{DAY}"
        return [each for each in listed if each["name"] == name]

    def find_event(self, state: str) -> dict[str, Any]:
        """Return EventBridge's first event of the tenant's last job in a state."""
        job_id = self.entry().job_id
        details = ((event, event["detail"]) for event in self.aws.events())
        return next(event for event, detail in details if (detail["jobRunId"], detail["state"]) == (job_id, state))

    def receive_messages(self) -> list[dict[str, Any]]:
        """Empty the queue and return the tenant's messages."""
        client, url = self.aws.client("sqs"), self.stack.deployment.queues["TaskQueue"].url
        bodies = []
        while messages := client.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
            for message in messages:
                client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                bodies.append(json.loads(message["Body"]))
        return [body for body in bodies if body["tenant"] == self.name]


def create_tenant(stack: Stack, folder: Path, *, messages: int, monkeypatch: pytest.MonkeyPatch) -> AwsTenant:
    """Upload a day of messages for a new tenant, and register it."""
    for name, value in stack.aws.environment().items():
        monkeypatch.setenv(name, value)
    tenant = f"t-{uuid.uuid4().hex[:8]}"
    generate(messages=messages, layout="export", seed=1, out=folder, tenant=tenant, day=DAY, files=1)
    client = stack.aws.client("s3")
    for path in (folder / tenant).rglob("*"):
        if path.is_file():
            client.upload_file(str(path), BUCKET, str(path.relative_to(folder)))
    register_tenant(stack.aws, table=stack.deployment.table.name, tenant=tenant)
    return AwsTenant(stack=stack, name=tenant, expected=json.loads((folder / f"{tenant}-truth.json").read_text()))
