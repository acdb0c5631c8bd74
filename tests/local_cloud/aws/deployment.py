"""One deployment of the template: its functions, roles, queues and what else a local cloud must have.

Times are in seconds unless named otherwise; resources refer to each other by the template's logical ids.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SCHEDULED_TIME = "<aws.scheduler.scheduled-time>"

Document = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class EventSource:
    """The queue that a function is fed from, by logical id."""

    queue: str
    batch_size: int
    concurrency: int
    reports_failures: bool


@dataclass(frozen=True, kw_only=True)
class Function:
    """A function; `timeout` in seconds, `role` a logical id."""

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
class Role:
    """A role: its policy documents, and who may take it."""

    name: str
    arn: str
    policies: tuple[Document, ...]
    trust: Document


@dataclass(frozen=True, kw_only=True)
class Queue:
    """A queue; times in seconds, `dead_letters` a logical id."""

    name: str
    arn: str
    url: str
    visibility: int
    retention: int
    max_receives: int | None
    dead_letters: str | None


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """A schedule and the function, by logical id, that it calls."""

    name: str
    expression: str
    timezone: str
    target: str
    input: str
    enabled: bool

    def event(self, scheduled_time: str) -> dict[str, Any]:
        """The event that the function gets."""
        event: dict[str, Any] = json.loads(self.input.replace(SCHEDULED_TIME, scheduled_time))
        return event


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule of EventBridge, and the function that it calls."""

    name: str
    pattern: Document
    target: str

    def matches(self, event: Document) -> bool:
        """Whether the event is one of the rule's; patterns of exact values only."""
        return _matches(self.pattern, event)


@dataclass(frozen=True, kw_only=True)
class Table:
    """The metadata table; `created` is false for one that was there before the stack."""

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
    """What the template makes, by logical id; `resources` holds all of it, resolved."""

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
    for name, wanted in pattern.items():
        found = event.get(name)
        if isinstance(wanted, Mapping):
            if not isinstance(found, Mapping) or not _matches(wanted, found):
                return False
        elif found not in wanted:
            return False
    return True
