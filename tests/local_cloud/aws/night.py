"""A night's access to the local AWS: the template's schedules, event source mapping, rules and table."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from daily_batch.metadata.keys import day_key, days_of
from tests.local_cloud.aws.lambda_functions import InvocationResult
from tests.local_cloud.aws.stack import Stack
from tests.local_cloud.common.night import NightFailedError

Events = Sequence[dict[str, Any]]


@dataclass
class AwsNight:
    """Implement `NightCloud` on AWS. `route` may drop, duplicate or reorder the events of job runs."""

    stack: Stack
    route: Callable[[Events], Events] = lambda events: events
    _delivered: int = 0

    def fire_schedule(self) -> int:
        """See `NightCloud.fire_schedule`."""
        return int(self._call("NightSchedule", "the dispatcher")["queued"])

    def consume_queue(self, *, concurrency: int, on_progress: Callable[[str], None]) -> AbstractContextManager[object]:
        """See `NightCloud.consume_queue`."""

        def report(records: list[Any], result: InvocationResult) -> None:
            outcome = f"failed: {result.error}" if result.error else "succeeded"
            if not result.error and result.result and result.result.get("batchItemFailures"):
                outcome = "returned the message to the queue"
            on_progress(f"the worker {outcome} after {result.seconds:.1f} s: {records[0]['body']}")

        return self.stack.event_source_mapping("WorkerFunction", concurrency=concurrency, on_batch=report)

    def follow_jobs(self, on_progress: Callable[[str], None]) -> Iterator[tuple[str, str]]:
        """See `NightCloud.follow_jobs`: each event goes to the functions of all rules that match it."""
        events = self.stack.aws.events(self._delivered)
        self._delivered += len(events)
        for event in events:
            detail = event["detail"]
            yield f"job {detail['state']}", f"job run {detail['jobRunId']} is {detail['state']}"
        for event in self.route(events):
            for result in self.stack.deliver(event):
                if result.error:  # Lambda would retry twice, then send the event to the dead-letter queue
                    on_progress(f"the watcher failed on an event: {result.error}")

    def reconcile(self) -> dict[str, Any]:
        """See `NightCloud.reconcile`."""
        return self._call("ReconcileSchedule", "the watcher")

    def ledger_item(self, tenant: str, day: date) -> dict[str, Any]:
        """See `NightCloud.ledger_item`."""
        key = {"PK": {"S": days_of(tenant)}, "SK": {"S": day_key(day)}}
        table = self.stack.deployment.table.name
        item = self.stack.aws.client("dynamodb").get_item(TableName=table, Key=key).get("Item", {})
        return {name: value for name, typed in item.items() for kind, value in typed.items() if kind in "SN"}

    def _call(self, schedule: str, function: str) -> dict[str, Any]:
        result = self.stack.schedule(schedule, time=datetime.now(UTC).isoformat(timespec="seconds"))
        if result.error:
            raise NightFailedError(f"{function} failed: {result.error}: {result.message}")
        summary: dict[str, Any] = result.result
        return summary
