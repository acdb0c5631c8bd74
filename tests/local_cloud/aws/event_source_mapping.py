"""The event source mapping between a queue and a function, as Lambda runs it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.local_cloud.aws.deployment import Queue
from tests.local_cloud.aws.lambda_functions import InvocationResult, LocalFunction
from tests.local_cloud.aws.local_aws import LocalAws

WAIT_SECONDS = 1


@dataclass
class EventSourceMapping:
    """Deliver a queue's messages to a function, `concurrency` batches at a time, with the function's rights.

    Messages that the function processed are deleted. Those that it reports as failed, or all if it raises, become
    visible again after their visibility timeout. `on_batch` is called after each invocation.
    """

    aws: LocalAws
    queue: Queue
    function: LocalFunction
    concurrency: int
    batch_size: int
    reports_failures: bool
    on_batch: Callable[[list[Any], InvocationResult], None] = lambda records, result: None
    _stop: threading.Event = field(default_factory=threading.Event, repr=False)
    _threads: list[threading.Thread] = field(default_factory=list, repr=False)

    def __enter__(self) -> "EventSourceMapping":
        """Start polling."""
        self._threads = [threading.Thread(target=self._poll, daemon=True) for _ in range(self.concurrency)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop polling and wait for the batches in flight."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _poll(self) -> None:
        client = self.aws.client("sqs", self.function.key)
        client.get_queue_attributes(QueueUrl=self.queue.url, AttributeNames=["All"])
        while not self._stop.is_set():
            messages = client.receive_message(
                QueueUrl=self.queue.url,
                MaxNumberOfMessages=self.batch_size,
                WaitTimeSeconds=WAIT_SECONDS,
                AttributeNames=["All"],
            ).get("Messages", [])
            if messages:
                self._deliver(client, messages)

    def _deliver(self, client: Any, messages: list[dict[str, Any]]) -> None:
        records = [self._record(message) for message in messages]
        result = self.function.invoke({"Records": records})
        failed = self._find_failed(records, result)
        for record in records:
            if record["messageId"] not in failed:
                client.delete_message(QueueUrl=self.queue.url, ReceiptHandle=record["receiptHandle"])
        self.on_batch(records, result)

    def _find_failed(self, records: list[dict[str, Any]], result: InvocationResult) -> set[str]:
        all_ids = {record["messageId"] for record in records}
        if result.error:
            return all_ids
        if not self.reports_failures or not result.result:
            return set()
        reported = {each.get("itemIdentifier", "") for each in result.result.get("batchItemFailures", [])}
        # As in Lambda, a result that names an unknown message fails the complete batch.
        return reported if reported <= all_ids else all_ids

    def _record(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return a message as a record of Lambda's event."""
        return {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message["Attributes"],
            "messageAttributes": {},
            "md5OfBody": message["MD5OfBody"],
            "eventSource": "aws:sqs",
            "eventSourceARN": self.queue.arn,
            "awsRegion": self.aws.region,
        }
