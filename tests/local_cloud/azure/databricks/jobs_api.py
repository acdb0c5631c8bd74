"""An emulator of the Databricks Jobs API 2.2: it validates requests, honours idempotency tokens and runs the jobs.

Features that it does not know are refused. docs/project/emulators.md lists what it does not prove.
"""

import secrets
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.local_cloud.azure.databricks.job_runs import JobRun, Program, RunOutcome, describe, describe_output, now_ms
from tests.local_cloud.azure.databricks.lifecycle import Lifecycle
from tests.local_cloud.azure.databricks.validation import ApiError, check_request, check_run_now, invalid, read_job

OPERATIONS = {
    "jobs/create": "POST",
    "jobs/delete": "POST",
    "jobs/get": "GET",
    "jobs/list": "GET",
    "jobs/run-now": "POST",
    "jobs/runs/cancel": "POST",
    "jobs/runs/delete": "POST",
    "jobs/runs/get": "GET",
    "jobs/runs/get-output": "GET",
    "jobs/runs/list": "GET",
}
JOBS_A_PAGE, RUNS_A_PAGE = (20, 100), (20, 24)
Params = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job."""

    id: int
    settings: Mapping[str, Any]
    lifecycle: Lifecycle
    created: int = field(default_factory=now_ms)

    def describe(self, *, detailed: bool) -> dict[str, Any]:
        """Return the job in jobs/get's format, or without `detailed` in jobs/list's."""
        settings = {
            name: value for name, value in self.settings.items() if detailed or name not in ("tasks", "parameters")
        }
        return {"job_id": self.id, "creator_user_name": "admin", "created_time": self.created, "settings": settings}


@dataclass
class JobsApi:
    """The jobs of one workspace and their runs. `outcomes`, by tenant or `*` for all, simulates runs."""

    program: Program
    outcomes: dict[str, RunOutcome] = field(default_factory=dict)
    jobs: dict[int, Job] = field(default_factory=dict)
    runs: dict[int, JobRun] = field(default_factory=dict)
    _tokens: dict[tuple[int, str], int] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def handle(self, operation: str, params: Params, *, caller: str) -> dict[str, Any]:
        """Handle a request.

        Raises:
            ApiError: the API would refuse the request.
        """
        check_request(operation, params)
        with self._lock:
            if operation == "jobs/run-now":
                return self._run_now(params, caller)
            handlers: dict[str, Callable[[Params], dict[str, Any]]] = {
                "jobs/create": self._create,
                "jobs/delete": self._delete,
                "jobs/get": lambda params: self._job(params).describe(detailed=True),
                "jobs/list": self._list,
                "jobs/runs/cancel": self._cancel,
                "jobs/runs/delete": self._delete_run,
                "jobs/runs/get": lambda params: describe(self._run(params), detailed=True),
                "jobs/runs/get-output": lambda params: describe_output(self._run(params)),
                "jobs/runs/list": self._list_runs,
            }
            return handlers[operation](params)

    def stop(self) -> None:
        """Kill all runs."""
        with self._lock:
            for run in self.runs.values():
                run.cancelled.set()
                self.program.kill(run)

    def _create(self, params: Params) -> dict[str, Any]:
        settings = read_job(params)
        lifecycle = Lifecycle(
            program=self.program,
            slots=threading.Semaphore(settings.get("max_concurrent_runs", 1)),
            simulated=lambda run: self.outcomes.get(run.tenant) or self.outcomes.get("*"),
        )
        job = Job(id=10**14 + secrets.randbelow(9 * 10**14), settings=settings, lifecycle=lifecycle)
        self.jobs[job.id] = job
        return {"job_id": job.id}

    def _delete(self, params: Params) -> dict[str, Any]:
        del self.jobs[self._job(params).id]
        return {}

    def _list(self, params: Params) -> dict[str, Any]:
        name = params.get("name", "").lower()
        found = [
            job for job in reversed(self.jobs.values()) if not name or job.settings.get("name", "").lower() == name
        ]
        return _page("jobs", [job.describe(detailed=False) for job in found], params, JOBS_A_PAGE)

    def _run_now(self, params: Params, caller: str) -> dict[str, Any]:
        job, token = self._job(params), params.get("idempotency_token", "")
        check_run_now(params, job.settings)
        if run_id := self._tokens.get((job.id, token)):
            if run_id not in self.runs:
                raise invalid(f"The run of the idempotency token, {run_id}, has been deleted")
            return {"run_id": run_id, "number_in_job": run_id}
        parameters = params.get("job_parameters", {})
        run = JobRun(
            job_id=job.id,
            settings=job.settings,
            parameters={each["name"]: each["default"] for each in job.settings.get("parameters", ())} | parameters,
            overrides=parameters,
            token=token,
            creator=caller,
            queues=params.get("queue", job.settings.get("queue", {})).get("enabled", False),
        )
        self.runs[run.id] = run
        if token:
            self._tokens[job.id, token] = run.id
        job.lifecycle.start(run)
        return {"run_id": run.id, "number_in_job": run.id}

    def _cancel(self, params: Params) -> dict[str, Any]:
        run = self._run(params)
        if run.job_id in self.jobs:
            self.jobs[run.job_id].lifecycle.cancel(run)
        return {}

    def _delete_run(self, params: Params) -> dict[str, Any]:
        run = self._run(params)
        if run.outcome is None:
            raise ApiError(400, "INVALID_STATE", f"Run {run.id} is active")
        del self.runs[run.id]
        return {}

    def _list_runs(self, params: Params) -> dict[str, Any]:
        job = int(params.get("job_id", 0))
        since = int(params.get("start_time_from", 0))
        found = [run for run in reversed(self.runs.values()) if run.started >= since and (not job or run.job_id == job)]
        for name, ended in (("active_only", False), ("completed_only", True)):
            if params.get(name) == "true":
                found = [run for run in found if (run.outcome is not None) is ended]
        return _page("runs", [describe(run, detailed=False) for run in found], params, RUNS_A_PAGE)

    def _job(self, params: Params) -> Job:
        job = self.jobs.get(int(params["job_id"]))
        if job is None:
            raise invalid(f"Job {params['job_id']} does not exist.")
        return job

    def _run(self, params: Params) -> JobRun:
        """Find a run by its own id or its task's."""
        run_id = int(params["run_id"])
        run = next((run for run in self.runs.values() if run_id in (run.id, run.task_run_id)), None)
        if run is None:
            raise invalid(f"Run {run_id} does not exist.")
        return run


def _page(name: str, found: Sequence[Any], params: Params, sizes: Iterable[int]) -> dict[str, Any]:
    """Return a page of a list; its token is the offset of the next page."""
    default, highest = sizes
    size, start = int(params.get("limit", default)), int(params.get("page_token") or 0)
    if not 0 < size <= highest:
        raise invalid(f"limit must be from 1 to {highest}")
    more = start + size < len(found)
    token = {"next_page_token": str(start + size)} if more else {}
    return {name: list(found[start : start + size]), "has_more": more, **token}
