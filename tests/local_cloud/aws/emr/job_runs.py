"""Job runs of EMR Serverless: what is known of each, and how the service and EventBridge tell it."""

import threading
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from tests.local_cloud.aws.emr.usage import describe_use

ENDED = ("SUCCESS", "FAILED", "CANCELLED")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a job that is only pretended comes to; SCHEDULED and RUNNING are where it stays."""

    state: Literal["SUCCESS", "FAILED", "SCHEDULED", "RUNNING"] = "SUCCESS"
    details: str = ""
    seconds: float = 0.0


@dataclass(kw_only=True)
class JobRun:
    """One job run. `request` is StartJobRun's; `cancelled` is set when somebody asks for its end.

    `worked` are the seconds that each attempt ran, and `working_since` is since when one runs.
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
        """Whose job it is, by its tags."""
        return str(self.request.get("tags", {}).get("tenant", ""))

    @property
    def session_key(self) -> str:
        """The access key of this run and of no other."""
        return f"ASIAJOB{self.id.upper()}"


class Program(Protocol):
    """Runs a job's own program."""

    def start(self, run: JobRun) -> None:
        """Begin an attempt.

        Raises:
            JobFailed: it cannot begin.
        """

    def poll(self, run: JobRun) -> Outcome | None:
        """How it ended; None while it is at work."""

    def end(self, run: JobRun) -> None:
        """End it at once, if it is at work."""

    def tidy(self, run: JobRun) -> None:
        """Keep its log, and nothing else."""


class JobFailed(Exception):
    """Why a job could not begin, as its stateDetails say it."""


def describe(run: JobRun) -> dict[str, Any]:
    """The run as GetJobRun tells it."""
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
    known |= describe_use(run.conf, run.worked) if run.state in ENDED else {}
    return {name: value for name, value in known.items() if value is not None} | {
        name: run.request[name] for name in copied if name in run.request
    }


def write_event(run: JobRun, state: str, *, previous: str, region: str, account: str) -> dict[str, Any]:
    """The event of a change of state. As the service's own it has neither the job's name nor its tags."""
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
    """An outcome as the admin's path takes it; unknown names are refused."""
    return Outcome(**{**asdict(Outcome()), **given})
