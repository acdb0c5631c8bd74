"""Runs of a Databricks job: what is known of each, how it may end, and how the Jobs API tells it."""

import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

WORKSPACE = "http://localhost/?o=0"
# QUEUED, PENDING and RUNNING are where a run may stay; the others are ends.
State = Literal[
    "QUEUED", "PENDING", "RUNNING", "SUCCESS", "FAILED", "TIMEDOUT", "CANCELED", "INTERNAL_ERROR", "SKIPPED"
]


class _End(NamedTuple):
    """An end in the words of the API: state's life cycle and result, termination_details' code and type."""

    life_cycle: str
    result: str
    code: str
    type: str


ENDS: Mapping[str, _End] = {
    "SUCCESS": _End("TERMINATED", "SUCCESS", "SUCCESS", "SUCCESS"),
    "FAILED": _End("TERMINATED", "FAILED", "RUN_EXECUTION_ERROR", "CLIENT_ERROR"),
    # The SDK's model says that CANCELED is the platform's doing, as when a run takes too long.
    "TIMEDOUT": _End("TERMINATED", "TIMEDOUT", "CANCELED", "CLIENT_ERROR"),
    "CANCELED": _End("TERMINATED", "CANCELED", "USER_CANCELED", "CLIENT_ERROR"),
    "INTERNAL_ERROR": _End("INTERNAL_ERROR", "FAILED", "INTERNAL_ERROR", "INTERNAL_ERROR"),
    "SKIPPED": _End("SKIPPED", "MAXIMUM_CONCURRENT_RUNS_REACHED", "MAX_CONCURRENT_RUNS_EXCEEDED", "CLIENT_ERROR"),
}


@dataclass(frozen=True, kw_only=True)
class Ending:
    """What a run that is only pretended comes to, or where it stays.

    Attributes:
        code: of termination_details, instead of the state's own.
        error: what the task said at its end, as jobs/runs/get-output tells it.
        logs: what it said before, as that tells it too.
        seconds: how long it is RUNNING.
    """

    state: State = "SUCCESS"
    details: str = ""
    error: str = ""
    logs: str = ""
    code: str = ""
    seconds: float = 0.0


@dataclass(kw_only=True)
class JobRun:
    """One run. `settings` are the job's when it began; `cancelled` is set when somebody asks for its end.

    `spent` are the milliseconds in each state that it has left, the last time at `moved`.
    """

    job_id: int
    settings: Mapping[str, Any]
    parameters: Mapping[str, str]
    given: Mapping[str, str]
    token: str
    creator: str
    queues: bool
    # Larger than 32 bits, as the service's own.
    id: int = field(default_factory=lambda: 10**14 + secrets.randbelow(9 * 10**14))
    task_run_id: int = field(default_factory=lambda: 10**14 + secrets.randbelow(9 * 10**14))
    state: str = "PENDING"
    ending: Ending | None = None
    attempt: int = 0
    started: int = field(default_factory=lambda: now_ms())
    ended: int = 0
    cancelled: threading.Event = field(default_factory=threading.Event, repr=False)
    states: list[str] = field(default_factory=list)
    moved: int = field(default_factory=lambda: now_ms())
    spent: dict[str, int] = field(default_factory=dict)

    @property
    def tenant(self) -> str:
        """Whose day it is, by its parameters."""
        return self.parameters.get("tenant", "")

    @property
    def task(self) -> Mapping[str, Any]:
        """The job's one task."""
        task: Mapping[str, Any] = self.settings["tasks"][0]
        return task

    def move(self, state: str, ending: Ending | None = None) -> None:
        """Change the state; one that ends is given how."""
        if self.state == "TERMINATING" and ending is None:
            return
        now = now_ms()
        self.spent[self.state] = self.spent.get(self.state, 0) + now - self.moved
        self.moved, self.ending = now, ending
        self.ended = now if ending else 0
        self.state = state
        self.states.append(ending.state if ending else state)


class Program(Protocol):
    """Runs a job's own program."""

    def start(self, run: JobRun) -> None:
        """Begin an attempt.

        Raises:
            OSError: it cannot begin.
        """

    def poll(self, run: JobRun) -> Ending | None:
        """How it ended; None while it is at work."""

    def end(self, run: JobRun) -> None:
        """End it at once, if it is at work."""


def now_ms() -> int:
    """As the API tells times."""
    return int(time.time() * 1000)


def describe(run: JobRun, *, whole: bool) -> dict[str, Any]:
    """The run as jobs/runs/get tells it, or, not `whole`, as jobs/runs/list does."""
    known = {
        "job_id": run.job_id,
        "run_id": run.id,
        "job_run_id": run.id,
        "original_attempt_run_id": run.id,
        "number_in_job": run.id,
        "creator_user_name": run.creator,
        "run_name": run.settings.get("name", "Untitled"),
        "run_page_url": f"{WORKSPACE}#job/{run.job_id}/run/{run.id}",
        "run_type": "JOB_RUN",
        "trigger": "ONE_TIME",
        "format": "MULTI_TASK",
        "job_parameters": _parameters(run),
        **_progress(run),
    }
    if not whole:
        return known
    task = {**run.task, "run_id": run.task_run_id, "attempt_number": run.attempt, **_progress(run), **_durations(run)}
    clusters = {"job_clusters": run.settings["job_clusters"]} if "job_clusters" in run.settings else {}
    return {**known, **clusters, "queue_duration": run.spent.get("QUEUED", 0), "tasks": [task]}


def describe_output(run: JobRun) -> dict[str, Any]:
    """The run's task as jobs/runs/get-output tells it."""
    error = run.ending.error if run.ending else ""
    said = {"error": error, "error_trace": error} if error else {}
    metadata = {**describe(run, whole=False), "run_id": run.task_run_id, "job_run_id": run.id}
    logs = run.ending.logs if run.ending else ""
    return {"metadata": metadata, "logs": logs, "logs_truncated": False, **said}


def _parameters(run: JobRun) -> list[dict[str, str]]:
    defaults = {each["name"]: each["default"] for each in run.settings.get("parameters", ())}
    given = {name: {"value": value} for name, value in run.given.items()}
    return [{"name": name, "default": default, **given.get(name, {})} for name, default in defaults.items()]


def _durations(run: JobRun) -> dict[str, int]:
    """How long its cluster was set up, and worked; nothing is taken down here."""
    worked = run.spent.get("RUNNING", 0) + run.spent.get("TERMINATING", 0)
    return {"setup_duration": run.spent.get("PENDING", 0), "execution_duration": worked, "cleanup_duration": 0}


def _progress(run: JobRun) -> dict[str, Any]:
    """State, in the API's old words and in its new ones, and times."""
    times = {"start_time": run.started, "end_time": run.ended, "run_duration": max(run.ended - run.started, 0)}
    if run.ending is None:
        queued = {"code": "MAX_CONCURRENT_RUNS_REACHED", "message": "The job runs as often as it may at once."}
        details = {"queue_details": queued} if run.state == "QUEUED" else {}
        state = {"life_cycle_state": run.state, "state_message": "", "user_cancelled_or_timedout": False}
        return {**times, "state": state, "status": {"state": run.state, **details}}
    end = ENDS[run.ending.state]
    state = {
        "life_cycle_state": end.life_cycle,
        "result_state": end.result,
        "state_message": run.ending.details,
        "user_cancelled_or_timedout": run.ending.state in ("CANCELED", "TIMEDOUT"),
    }
    code = run.ending.code or end.code
    told = {"code": code, "type": code if code == "CLOUD_FAILURE" else end.type, "message": run.ending.details}
    return {**times, "state": state, "status": {"state": "TERMINATED", "termination_details": told}}
