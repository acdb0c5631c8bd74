"""Call the three Lambda functions in this process with template.yaml's environment, and derive CloudWatch metrics."""

import importlib
import io
import json
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from datetime import datetime
from types import ModuleType, SimpleNamespace
from typing import Any

from daily_batch.orchestration import Task, write_task
from daily_batch.settings import Settings
from tests.local_cloud.aws.deployment import Deployment
from tests.local_cloud.aws.template import read_deployment
from tests.support.operations.synthetic_night import Night

PARAMETERS = {"DataBucketName": "makoto-data", "PackageVersion": "0.1.0-0123456789ab"}
FUNCTIONS = {"dispatcher": "DispatcherFunction", "worker": "WorkerFunction", "watcher": "WatcherFunction"}


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A value of a CloudWatch metric."""

    namespace: str
    metric: str
    dimensions: tuple[tuple[str, str], ...]
    at: datetime
    value: float


def parse_samples(line: dict[str, Any], *, at: datetime) -> Iterator[Sample]:
    """Yield the samples of a log line in the embedded metric format, none for other lines."""
    for directive in line.get("_aws", {}).get("CloudWatchMetrics", ()):
        for names in directive["Dimensions"]:
            dimensions = tuple(sorted((name, line[name]) for name in names))
            for metric in directive["Metrics"]:
                for value in line[metric["Name"]]:
                    yield Sample(
                        namespace=directive["Namespace"],
                        metric=metric["Name"],
                        dimensions=dimensions,
                        at=at,
                        value=value,
                    )


@dataclass
class AwsFunctions:
    """Call the handlers; `samples` and `lines` collect the metrics and log lines of the calls.

    Errors, invocations and messages are counted as the documentation of Lambda and SQS specifies.
    """

    night: Night
    deployment: Deployment = field(default_factory=lambda: read_deployment(parameters=PARAMETERS))
    samples: list[Sample] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        environment = self.deployment.functions["WorkerFunction"].environment
        powertools = {name: value for name, value in environment.items() if name.startswith("POWERTOOLS_")}
        self.night.set_env(AWS_DEFAULT_REGION="ap-northeast-1", **powertools)
        for name in [name for name in sys.modules if name.partition(".")[0] == "lambda_trigger"]:
            self.night.monkeypatch.delitem(sys.modules, name)
        self._modules = {name: self._load(name) for name in FUNCTIONS}

    def _load(self, name: str) -> ModuleType:
        module = importlib.import_module(f"lambda_trigger.{name}")
        self.night.monkeypatch.setattr(module, "now", self.night.clock)
        if hasattr(module, "send_tasks"):
            self.night.monkeypatch.setattr(module, "send_tasks", lambda _, tasks: self.night.requeued.extend(tasks))
        return module

    def settings(self) -> Settings:
        settings: Settings = self._modules["worker"].read_settings()
        return settings

    def dispatch(self, event: dict[str, Any] | None = None) -> None:
        self._call("dispatcher", event or {"time": self.night.clock().isoformat()})

    def deliver(self, task: Task) -> None:
        """Deliver a task's message once."""
        attributes = {"SentTimestamp": str(int(self.night.clock().timestamp() * 1000))}
        record = {"messageId": "1", "eventSource": "aws:sqs", "body": write_task(task), "attributes": attributes}
        self._call("worker", {"Records": [record]})

    def exhaust_deliveries(self, task: Task) -> None:
        """Deliver a task's message until it moves to the dead-letter queue."""
        receives = self.deployment.queues["TaskQueue"].max_receives
        assert receives, "the queue has no dead-letter queue"
        for _ in range(receives):
            self.deliver(task)
        self._count(
            "AWS/SQS", "ApproximateNumberOfMessagesVisible", QueueName=self.deployment.queues["DeadLetterQueue"].name
        )

    def watch(self) -> None:
        self._call("watcher", {"time": self.night.clock().isoformat()})

    def _call(self, name: str, event: dict[str, Any]) -> None:
        function_name = self.deployment.functions[FUNCTIONS[name]].name
        context = SimpleNamespace(
            function_name=function_name,
            memory_limit_in_mb=3008,
            invoked_function_arn=f"arn:aws:lambda:ap-northeast-1:123456789012:function:{function_name}",
            aws_request_id="1",
            log_stream_name="1",
            get_remaining_time_in_millis=lambda: 900_000,
        )
        self._count("AWS/Lambda", "Invocations", FunctionName=function_name)
        stdout = io.StringIO()

        # Powertools caches loggers by service name, with the output stream of their creation.
        self._modules[name].logger.handlers[0].setStream(stdout)
        try:
            with redirect_stdout(stdout):
                self._modules[name].handler(event, context)
        except Exception:
            self._count("AWS/Lambda", "Errors", FunctionName=function_name)
        for line in map(json.loads, stdout.getvalue().splitlines()):
            self._record(line)

    def _record(self, line: dict[str, Any]) -> None:
        """Record a log line and its samples."""
        self.lines.append(line)
        self.samples += parse_samples(line, at=self.night.clock())

    def _count(self, namespace: str, metric: str, **dimensions: str) -> None:
        key = tuple(sorted(dimensions.items()))
        self.samples.append(Sample(namespace=namespace, metric=metric, dimensions=key, at=self.night.clock(), value=1))
