"""Runs of a Databricks job, their outcomes, and how the Jobs API describes them."""

import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

WORKSPACE = "http://localhost/?o=0"
# QUEUED, PENDING and RUNNING are active states, the others final ones.
State = Literal[
    "QUEUED", "PENDING", "RUNNING", "SUCCESS", "FAILED", "TIMEDOUT", "CANCELED", "INTERNAL_ERROR", "SKIPPED"
]


class _End(NamedTuple):
    """An outcome in the API's terms: the state's life cycle and result, and termination_details' code and type."""

    life_cycle: str
    result: str
    code: str
    type: str


ENDS: Mapping[str, _End] = {
    "SUCCESS": _End("TERMINATED", "SUCCESS", "SUCCESS", "SUCCESS"),
    "FAILED": _End("TERMINATED", "FAILED", "RUN_EXECUTION_ERROR", "CLIENT_ERROR"),
    # By the SDK's model the code CANCELED means that the platform canceled the run, for example after its time limit.
    "TIMEDOUT": _End("TERMINATED", "TIMEDOUT", "CANCELED", "CLIENT_ERROR"),
    "CANCELED": _End("TERMINATED", "CANCELED", "USER_CANCELED", "CLIENT_ERROR"),
    "INTERNAL_ERROR": _End("INTERNAL_ERROR", "FAILED", "INTERNAL_ERROR", "INTERNAL_ERROR"),
    "SKIPPED": _End("SKIPPED", "MAXIMUM_CONCURRENT_RUNS_REACHED", "MAX_CONCURRENT_RUNS_EXCEEDED", "CLIENT_ERROR"),
}


@dataclass(frozen=True, kw_only=True)
class RunOutcome:
    """The outcome of a run; a simulated one may also stay QUEUED, PENDING or RUNNING.

    Attributes:
        code: the code in termination_details, instead of the state's own.
        error: the task's error in jobs/runs/get-output.
        logs: the task's output in jobs/runs/get-output.
        seconds: how long the run is RUNNING.
    """

    state: State = "SUCCESS"
    details: str = ""
    error: str = ""
    logs: str = ""
    code: str = ""
    seconds: float = 0.0


@dataclass(kw_only=True)
class JobRun:
    """One run. `settings` are the job's at its start; `cancelled` is set when cancellation is requested.

    `spent` has the milliseconds in each state that the run has left; `moved` is the time of the last change.
    """

    job_id: int
    settings: Mapping[str, Any]
    parameters: Mapping[str, str]
    overrides: Mapping[str, str]
    token: str
    creator: str
    queues: bool
    # Larger than 32 bits, like the service's ids.
    id: int = field(default_factory=lambda: 10**14 + secrets.randbelow(9 * 10**14))
    task_run_id: int = field(default_factory=lambda: 10**14 + secrets.randbelow(9 * 10**14))
    state: str = "PENDING"
    outcome: RunOutcome | None = None
    attempt: int = 0
    started: int = field(default_factory=lambda: now_ms())
    ended: int = 0
    cancelled: threading.Event = field(default_factory=threading.Event, repr=False)
    states: list[str] = field(default_factory=list)
    moved: int = field(default_factory=lambda: now_ms())
    spent: dict[str, int] = field(default_factory=dict)

    @property
    def tenant(self) -> str:
        """The tenant of the run, from its parameters."""
        return self.parameters.get("tenant", "")

    @property
    def task(self) -> Mapping[str, Any]:
        """The job's only task."""
        task: Mapping[str, Any] = self.settings["tasks"][0]
        return task

    def move(self, state: str, outcome: RunOutcome | None = None) -> None:
        """Change the state; a final state comes with its outcome."""
        if self.state == "TERMINATING" and outcome is None:
            return
        now = now_ms()
        self.spent[self.state] = self.spent.get(self.state, 0) + now - self.moved
        self.moved, self.outcome = now, outcome
        self.ended = now if outcome else 0
        self.state = state
        self.states.append(outcome.state if outcome else state)


class Program(Protocol):
    """The interface that runs a job's program."""

    def start(self, run: JobRun) -> None:
        """Start an attempt.

        Raises:
            OSError: it cannot start.
        """

    def poll(self, run: JobRun) -> RunOutcome | None:
        """Return the outcome, or None while the program runs."""

    def kill(self, run: JobRun) -> None:
        """Kill the program if it runs."""


def now_ms() -> int:
    """Return the time in the API's unit, milliseconds since the epoch."""
    return int(time.time() * 1000)


def describe(run: JobRun, *, detailed: bool) -> dict[str, Any]:
    """Return the run in jobs/runs/get's format, or without `detailed` in jobs/runs/list's."""
    summary = {
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
    if not detailed:
        return summary
    task = {**run.task, "run_id": run.task_run_id, "attempt_number": run.attempt, **_progress(run), **_durations(run)}
    clusters = {"job_clusters": run.settings["job_clusters"]} if "job_clusters" in run.settings else {}
    return {**summary, **clusters, "queue_duration": run.spent.get("QUEUED", 0), "tasks": [task]}


def describe_output(run: JobRun) -> dict[str, Any]:
    """Return the run's task in jobs/runs/get-output's format."""
    error = run.outcome.error if run.outcome else ""
    errors = {"error": error, "error_trace": error} if error else {}
    metadata = {**describe(run, detailed=False), "run_id": run.task_run_id, "job_run_id": run.id}
    logs = run.outcome.logs if run.outcome else ""
    return {"metadata": metadata, "logs": logs, "logs_truncated": False, **errors}


def _parameters(run: JobRun) -> list[dict[str, str]]:
    defaults = {each["name"]: each["default"] for each in run.settings.get("parameters", ())}
    overrides = {name: {"value": value} for name, value in run.overrides.items()}
    return [{"name": name, "default": default, **overrides.get(name, {})} for name, default in defaults.items()]


def _durations(run: JobRun) -> dict[str, int]:
    """Return the durations of cluster set-up and execution; nothing is cleaned up here."""
    worked = run.spent.get("RUNNING", 0) + run.spent.get("TERMINATING", 0)
    return {"setup_duration": run.spent.get("PENDING", 0), "execution_duration": worked, "cleanup_duration": 0}


def _progress(run: JobRun) -> dict[str, Any]:
    """Return the state, in the API's deprecated and current fields, and the times."""
    times = {"start_time": run.started, "end_time": run.ended, "run_duration": max(run.ended - run.started, 0)}
    if run.outcome is None:
        queued = {
            "code": "MAX_CONCURRENT_RUNS_REACHED",
            "message": "The job has reached its maximum of concurrent runs.",
        }
        details = {"queue_details": queued} if run.state == "QUEUED" else {}
        state = {"life_cycle_state": run.state, "state_message": "", "user_cancelled_or_timedout": False}
        return {**times, "state": state, "status": {"state": run.state, **details}}
    end = ENDS[run.outcome.state]
    state = {
        "life_cycle_state": end.life_cycle,
        "result_state": end.result,
        "state_message": run.outcome.details,
        "user_cancelled_or_timedout": run.outcome.state in ("CANCELED", "TIMEDOUT"),
    }
    code = run.outcome.code or end.code
    termination = {"code": code, "type": code if code == "CLOUD_FAILURE" else end.type, "message": run.outcome.details}
    return {**times, "state": state, "status": {"state": "TERMINATED", "termination_details": termination}}
