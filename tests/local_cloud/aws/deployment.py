"""One deployment of template.yaml: its functions, roles, queues and other resources.

Times are in seconds unless the name says otherwise; resources refer to each other by logical id.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.local_cloud.aws.iam.policies import Document, Role

SCHEDULED_TIME = "<aws.scheduler.scheduled-time>"


@dataclass(frozen=True, kw_only=True)
class EventSource:
    """The queue that triggers a function, by logical id."""

    queue: str
    batch_size: int
    concurrency: int
    reports_failures: bool


@dataclass(frozen=True, kw_only=True)
class Function:
    """A function; `timeout` is in seconds, `role` a logical id."""

    name: str
    arn: str
    handler: str
    environment: Mapping[str, str]
    timeout: int
    memory_mb: int
    temp_mb: int
    role: str
    source: EventSource | None


@dataclass(frozen=True, kw_only=True)
class Queue:
    """A queue; times are in seconds, `dead_letters` is the logical id of its dead-letter queue."""

    name: str
    arn: str
    url: str
    visibility: int
    retention: int
    max_receives: int | None
    dead_letters: str | None


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A schedule and the function that it calls, by logical id."""

    name: str
    expression: str
    timezone: str
    target: str
    input: str
    enabled: bool

    def event(self, scheduled_time: str) -> dict[str, Any]:
        """Return the event that the function receives."""
        event: dict[str, Any] = json.loads(self.input.replace(SCHEDULED_TIME, scheduled_time))
        return event


@dataclass(frozen=True, kw_only=True)
class Rule:
    """An EventBridge rule and the function that it calls."""

    name: str
    pattern: Document
    target: str

    def matches(self, event: Document) -> bool:
        """Return whether an event matches; patterns may only list exact values."""
        return _matches(self.pattern, event)


@dataclass(frozen=True, kw_only=True)
class Table:
    """The metadata table; `created` is false if it existed before the stack."""

    name: str
    arn: str
    key_schema: tuple[tuple[str, str], ...]
    attributes: Mapping[str, str]
    created: bool


@dataclass(frozen=True, kw_only=True)
class Application:
    """The EMR Serverless application and its limits."""

    id: str
    arn: str
    release: str
    architecture: str
    vcpus: int
    memory_gb: int
    disk_gb: int
    concurrent_runs: int
    queue_minutes: int
    idle_minutes: int
    log_group: str


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """All resources of the deployment by logical id; `resources` has their resolved definitions."""

    functions: Mapping[str, Function]
    roles: Mapping[str, Role]
    queues: Mapping[str, Queue]
    schedules: Mapping[str, Schedule]
    rules: Mapping[str, Rule]
    table: Table
    application: Application
    outputs: Mapping[str, str]
    resources: Mapping[str, Document] = field(repr=False)


def _matches(pattern: Document, event: Document) -> bool:
    for name, expected in pattern.items():
        found = event.get(name)
        if isinstance(expected, Mapping):
            if not isinstance(found, Mapping) or not _matches(expected, found):
                return False
        elif found not in expected:
            return False
    return True
