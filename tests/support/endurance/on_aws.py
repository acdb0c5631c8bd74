"""Run a month on the local AWS, deployed from template.yaml."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

from tests.local_cloud.aws.job_package import VERSION, upload_package
from tests.local_cloud.aws.lambda_functions import InvocationResult
from tests.local_cloud.aws.local_aws import LocalAws, serve_aws
from tests.local_cloud.aws.night import AwsNight
from tests.local_cloud.aws.stack import Stack, deploy
from tests.local_cloud.aws.tenant_data import register_tenant
from tests.local_cloud.common.clock import Clock
from tests.local_cloud.common.faults import Fault
from tests.support.endurance.month import Month, TenantDay, plan_crashes
from tests.support.endurance.trust import write_trust_store
from tests.support.operations.alarm_definitions import read_aws_alarms
from tests.support.operations.aws_functions import Sample, parse_samples

BUCKET = "data"
ENDED = ("SUCCESS", "FAILED", "CANCELLED")


@dataclass
class AwsMonth:
    """Implement `EnduranceCloud` on AWS."""

    stack: Stack
    crashes: Path
    samples: list[Sample] = field(default_factory=list)
    _drops_end_events: bool = False
    _event_count: int = 0
    _jobs: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.night = AwsNight(self.stack)
        self.alarms = read_aws_alarms(self.stack.deployment)
        for name, function in self.stack.functions.items():
            function.on_result = partial(self._record_call, self.stack.deployment.functions[name].name)

    @property
    def root(self) -> str:
        return f"s3://{BUCKET}"

    @property
    def options(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.aws.environment().items()}

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables for commands that read the tables and the ledger."""
        return {**self.stack.deployment.functions["WatcherFunction"].environment, **self.aws.environment()}

    @property
    def aws(self) -> LocalAws:
        return self.stack.aws

    def put(self, objects: Mapping[str, bytes]) -> None:
        for key, body in objects.items():
            self.aws.client("s3").put_object(Bucket=BUCKET, Key=key, Body=body)

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            self.aws.client("s3").delete_object(Bucket=BUCKET, Key=key)

    def read(self, key: str) -> bytes:
        return bytes(self.aws.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read())

    def start_night(self, faulty_days: Sequence[TenantDay]) -> None:
        kinds = {each.fault for each in faulty_days}
        self.samples.clear()
        plan_crashes(self.crashes, faulty_days)
        faults = [Fault(kind="throttled", pattern="dynamodb:", every=9)] if "throttled" in kinds else []
        if "surge" in kinds:
            faults.append(Fault(kind="lost", pattern="StartJobRun", times=1))
        self.aws.inject_faults(*faults)
        self._drops_end_events = "surge" in kinds

    def fire_schedule(self) -> int:
        return self.night.fire_schedule()

    def consume_queue(self) -> AbstractContextManager[object]:
        # More than the cores, because in a throttled night the workers wait for their retries.
        return self.stack.event_source_mapping("WorkerFunction", concurrency=4)

    def deploy_update(self) -> None:
        """Change the variables of new execution environments; running invocations finish."""
        worker = self.stack.functions["WorkerFunction"]
        deadline = time.monotonic() + 30
        while not worker.in_flight:
            assert time.monotonic() < deadline, "no message was delivered to the worker"
            time.sleep(0.01)
        for function in self.stack.functions.values():
            function.more = {**function.more, "MAKOTO_TARGET_FILE_BYTES": "1000000"}
            function.stop()

    def poll(self) -> bool:
        for event in self.aws.events(self._event_count):
            self._event_count += 1
            detail = event["detail"]
            self._jobs[detail["jobRunId"]] = detail["state"]
            if not (self._drops_end_events and detail["state"] in ENDED):
                self.stack.deliver(event)
        all_ended = all(state in ENDED for state in self._jobs.values())
        # The queue last: moto reads all messages to count some, which took a third of its time.
        return (
            all_ended
            and not any(each.in_flight for each in self.stack.functions.values())
            and not self._messages("TaskQueue")
        )

    def has_delayed_messages(self) -> bool:
        return bool(self._messages("TaskQueue", "NotVisible"))

    def release_messages(self) -> None:
        """Do nothing, because the queue uses the shared clock."""

    def reconcile(self) -> Mapping[str, Any]:
        return self.night.reconcile()

    def find_firing_alarms(self, now: datetime) -> set[str]:
        self._count_dead_letters(now)
        return {each.page for each in self.alarms if each.fires(self.samples, now=now)}

    def entry(self, tenant: str, day: date) -> Mapping[str, Any]:
        return self.night.ledger_item(tenant, day)

    def _messages(self, queue: str, kind: str = "") -> int:
        """Return the number of visible messages of a queue, or of those of another kind."""
        name = f"ApproximateNumberOfMessages{kind}"
        url = self.stack.deployment.queues[queue].url
        response = self.aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=[name])
        return int(response["Attributes"][name])

    def _record_call(self, function: str, result: InvocationResult) -> None:
        """Record Lambda's own metrics of an invocation, and the metrics in its log lines."""
        now = datetime.now(UTC)
        for metric in ("Invocations", "Errors") if result.error else ("Invocations",):
            dimensions = (("FunctionName", function),)
            self.samples.append(Sample(namespace="AWS/Lambda", metric=metric, dimensions=dimensions, at=now, value=1))
        for line in result.lines:
            if line.startswith("{"):
                self.samples += parse_samples(json.loads(line), at=now)

    def _count_dead_letters(self, now: datetime) -> None:
        queue = self.stack.deployment.queues["DeadLetterQueue"]
        metric = "ApproximateNumberOfMessagesVisible"
        count = self._messages("DeadLetterQueue")
        dimensions = (("QueueName", queue.name),)
        self.samples.append(Sample(namespace="AWS/SQS", metric=metric, dimensions=dimensions, at=now, value=count))


@contextmanager
def serve_month(month: Month, *, clock: Clock, folder: Path) -> Iterator[AwsMonth]:
    """Deploy to the cloud, and register the month's tenants."""
    crashes = folder / "crashes"
    crashes.mkdir(parents=True)
    more = {
        **clock.environment,
        **month.settings,
        **write_trust_store(folder),
        "CRASHES": str(crashes),
    }
    parameters = {
        "DataBucketName": BUCKET,
        "PackageVersion": VERSION,
        "BatchTimezone": month.zone,
        "LookBack": "1",
    }
    with serve_aws(folder / "aws") as aws, deploy(aws, parameters=parameters, more=more) as stack:
        upload_package(stack, folder)
        for tenant in month.tenants:
            register_tenant(aws, table=stack.deployment.table.name, tenant=tenant)
        worker = stack.functions["WorkerFunction"]
        worker.function = replace(worker.function, handler="tests.support.endurance.aws_worker.handler")
        yield AwsMonth(stack=stack, crashes=crashes)
