"""Job runs of EMR Serverless, and how the service and EventBridge describe them."""

import threading
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from tests.local_cloud.aws.emr.usage import describe_usage

ENDED = ("SUCCESS", "FAILED", "CANCELLED")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of a job run; a simulated one may also stay SCHEDULED or RUNNING."""

    state: Literal["SUCCESS", "FAILED", "SCHEDULED", "RUNNING"] = "SUCCESS"
    details: str = ""
    seconds: float = 0.0


@dataclass(kw_only=True)
class JobRun:
    """One job run. `request` is StartJobRun's; `cancelled` is set when cancellation is requested.

    `worked` has the seconds that each attempt ran; `working_since` is the start of the current one.
    """

    id: str
    arn: str
    release: str
    created_by: str
    request: Mapping[str, Any]
    conf: Mapping[str, str]
    state: str = "SUBMITTED"
    details: str = ""
    attempt: int = 1
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    updated: datetime = field(default_factory=lambda: datetime.now(UTC))
    started: datetime | None = None
    working_since: datetime | None = None
    worked: list[float] = field(default_factory=list)
    cancelled: threading.Event = field(default_factory=threading.Event, repr=False)

    @property
    def tenant(self) -> str:
        """The tenant of the job, from its tags."""
        return str(self.request.get("tags", {}).get("tenant", ""))

    @property
    def session_key(self) -> str:
        """The access key of this run."""
        return f"ASIAJOB{self.id.upper()}"


class Program(Protocol):
    """The interface that runs a job's program."""

    def start(self, run: JobRun) -> None:
        """Start an attempt.

        Raises:
            JobStartError: it cannot start.
        """

    def poll(self, run: JobRun) -> Outcome | None:
        """Return the outcome, or None while the program runs."""

    def kill(self, run: JobRun) -> None:
        """Kill the program if it runs."""

    def clean_up(self, run: JobRun) -> None:
        """Upload the log and delete all other files."""


class JobStartError(Exception):
    """A job could not start; the message is its stateDetails."""


def describe(run: JobRun) -> dict[str, Any]:
    """Return the run in GetJobRun's format."""
    known = {
        "jobRunId": run.id,
        "arn": run.arn,
        "createdBy": run.created_by,
        "createdAt": run.created.timestamp(),
        "updatedAt": run.updated.timestamp(),
        "startedAt": run.started and run.started.timestamp(),
        "endedAt": run.updated.timestamp() if run.state in ENDED else None,
        "executionRole": run.request["executionRoleArn"],
        "state": run.state,
        "stateDetails": run.details,
        "releaseLabel": run.release,
        "attempt": run.attempt,
        "mode": run.request.get("mode", "BATCH"),
    }
    copied = (
        *("applicationId", "name", "tags", "jobDriver", "configurationOverrides"),
        *("executionTimeoutMinutes", "retryPolicy", "executionIamPolicy"),
    )
    known |= describe_usage(run.conf, run.worked) if run.state in ENDED else {}
    return {name: value for name, value in known.items() if value is not None} | {
        name: run.request[name] for name in copied if name in run.request
    }


def write_event(run: JobRun, state: str, *, previous: str, region: str, account: str) -> dict[str, Any]:
    """Return the event of a state change. Like the service's own it has neither the job's name nor its tags."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "EMR Serverless Job Run State Change",
        "source": "aws.emr-serverless",
        "account": account,
        "time": f"{run.updated:%Y-%m-%dT%H:%M:%SZ}",
        "region": region,
        "resources": [],
        "detail": {
            "jobRunId": run.id,
            "applicationId": run.request["applicationId"],
            "arn": run.arn,
            "releaseLabel": run.release,
            "state": state,
            "previousState": previous,
            "createdBy": run.created_by,
            "updatedAt": run.updated.isoformat(),
            "createdAt": run.created.isoformat(),
        },
    }


def read_outcome(given: Mapping[str, Any]) -> Outcome:
    """Return the outcome of a request to the admin API; unknown names raise TypeError."""
    return Outcome(**{**asdict(Outcome()), **given})
