"""What a night needs of the local AWS: the template's schedules, event source mapping, rules and table."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from daily_batch.metadata.keys import day_key, days_of
from tests.local_cloud.aws.lambda_functions import Answer
from tests.local_cloud.aws.stack import Stack
from tests.local_cloud.common.night import NightFailed

Events = Sequence[dict[str, Any]]


@dataclass
class AwsNight:
    """See `NightCloud`. `route` may lose, double or reorder events of job runs."""

    stack: Stack
    route: Callable[[Events], Events] = lambda events: events
    _seen: int = 0

    def ask(self) -> int:
        """See `NightCloud.ask`."""
        return int(self._call("NightSchedule", "the dispatcher")["queued"])

    def working(self, *, concurrency: int, say: Callable[[str], None]) -> AbstractContextManager[object]:
        """See `NightCloud.working`."""

        def told(records: list[Any], answer: Answer) -> None:
            ended = f"failed: {answer.error}" if answer.error else "answered"
            if not answer.error and answer.result and answer.result.get("batchItemFailures"):
                ended = "gave the message back"
            say(f"the worker {ended} after {answer.seconds:.1f} s: {records[0]['body']}")

        return self.stack.poller("WorkerFunction", concurrency=concurrency, told=told)

    def follow(self, say: Callable[[str], None]) -> Iterator[tuple[str, str]]:
        """See `NightCloud.follow`: events go to the functions of all rules that match them."""
        events = self.stack.aws.events(self._seen)
        self._seen += len(events)
        for event in events:
            detail = event["detail"]
            yield f"job {detail['state']}", f"job run {detail['jobRunId']} is {detail['state']}"
        for event in self.route(events):
            for answer in self.stack.deliver(event):
                if answer.error:  # Lambda would call it twice more, then keep the event
                    say(f"the watcher failed at an event: {answer.error}")

    def reconcile(self) -> dict[str, Any]:
        """See `NightCloud.reconcile`."""
        return self._call("ReconcileSchedule", "the watcher")

    def look(self, tenant: str, day: date) -> dict[str, Any]:
        """See `NightCloud.look`."""
        key = {"PK": {"S": days_of(tenant)}, "SK": {"S": day_key(day)}}
        table = self.stack.deployment.table.name
        item = self.stack.aws.client("dynamodb").get_item(TableName=table, Key=key).get("Item", {})
        return {name: value for name, typed in item.items() for kind, value in typed.items() if kind in "SN"}

    def _call(self, schedule: str, who: str) -> dict[str, Any]:
        answer = self.stack.schedule(schedule, time=datetime.now(UTC).isoformat(timespec="seconds"))
        if answer.error:
            raise NightFailed(f"{who} failed: {answer.error}: {answer.message}")
        result: dict[str, Any] = answer.result
        return result
