"""A stand-in for the Jobs API 2.2 of Databricks: it judges requests, knows tokens, and really runs jobs.

What it does not know of the API it refuses. docs/standins.md says what it does not prove.
"""

import secrets
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.local_cloud.azure.databricks.job_runs import Ending, JobRun, Program, describe, describe_output, now_ms
from tests.local_cloud.azure.databricks.lifecycle import Walk
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
Given = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job as it was created."""

    id: int
    settings: Mapping[str, Any]
    walk: Walk
    created: int = field(default_factory=now_ms)

    def describe(self, *, whole: bool) -> dict[str, Any]:
        """The job as jobs/get tells it, or, not `whole`, as jobs/list does."""
        settings = {
            name: value for name, value in self.settings.items() if whole or name not in ("tasks", "parameters")
        }
        return {"job_id": self.id, "creator_user_name": "admin", "created_time": self.created, "settings": settings}


@dataclass
class JobsApi:
    """Jobs of one workspace and their runs. `endings` by tenant, or for all by `*`: those runs are only pretended."""

    program: Program
    endings: dict[str, Ending] = field(default_factory=dict)
    jobs: dict[int, Job] = field(default_factory=dict)
    runs: dict[int, JobRun] = field(default_factory=dict)
    _tokens: dict[tuple[int, str], int] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def answer(self, operation: str, given: Given, *, caller: str) -> dict[str, Any]:
        """Do what a request asks for.

        Raises:
            ApiError: the API would refuse it.
        """
        check_request(operation, given)
        with self._lock:
            if operation == "jobs/run-now":
                return self._run_now(given, caller)
            do: dict[str, Callable[[Given], dict[str, Any]]] = {
                "jobs/create": self._create,
                "jobs/delete": self._delete,
                "jobs/get": lambda given: self._job(given).describe(whole=True),
                "jobs/list": self._list,
                "jobs/runs/cancel": self._cancel,
                "jobs/runs/delete": self._delete_run,
                "jobs/runs/get": lambda given: describe(self._run(given), whole=True),
                "jobs/runs/get-output": lambda given: describe_output(self._run(given)),
                "jobs/runs/list": self._list_runs,
            }
            return do[operation](given)

    def stop(self) -> None:
        """End all runs."""
        with self._lock:
            for run in self.runs.values():
                run.cancelled.set()
                self.program.end(run)

    def _create(self, given: Given) -> dict[str, Any]:
        settings = read_job(given)
        walk = Walk(
            program=self.program,
            slots=threading.Semaphore(settings.get("max_concurrent_runs", 1)),
            pretend=lambda run: self.endings.get(run.tenant) or self.endings.get("*"),
        )
        job = Job(id=10**14 + secrets.randbelow(9 * 10**14), settings=settings, walk=walk)
        self.jobs[job.id] = job
        return {"job_id": job.id}

    def _delete(self, given: Given) -> dict[str, Any]:
        del self.jobs[self._job(given).id]
        return {}

    def _list(self, given: Given) -> dict[str, Any]:
        wanted = given.get("name", "").lower()
        found = [
            job for job in reversed(self.jobs.values()) if not wanted or job.settings.get("name", "").lower() == wanted
        ]
        return _page("jobs", [job.describe(whole=False) for job in found], given, JOBS_A_PAGE)

    def _run_now(self, given: Given, caller: str) -> dict[str, Any]:
        job, token = self._job(given), given.get("idempotency_token", "")
        check_run_now(given, job.settings)
        if known := self._tokens.get((job.id, token)):
            if known not in self.runs:
                raise invalid(f"The run of the idempotency token, {known}, has been deleted")
            return {"run_id": known, "number_in_job": known}
        parameters = given.get("job_parameters", {})
        run = JobRun(
            job_id=job.id,
            settings=job.settings,
            parameters={each["name"]: each["default"] for each in job.settings.get("parameters", ())} | parameters,
            given=parameters,
            token=token,
            creator=caller,
            queues=given.get("queue", job.settings.get("queue", {})).get("enabled", False),
        )
        self.runs[run.id] = run
        if token:
            self._tokens[job.id, token] = run.id
        job.walk.begin(run)
        return {"run_id": run.id, "number_in_job": run.id}

    def _cancel(self, given: Given) -> dict[str, Any]:
        run = self._run(given)
        if run.job_id in self.jobs:
            self.jobs[run.job_id].walk.cancel(run)
        return {}

    def _delete_run(self, given: Given) -> dict[str, Any]:
        run = self._run(given)
        if run.ending is None:
            raise ApiError(400, "INVALID_STATE", f"Run {run.id} is active")
        del self.runs[run.id]
        return {}

    def _list_runs(self, given: Given) -> dict[str, Any]:
        job = int(given.get("job_id", 0))
        since = int(given.get("start_time_from", 0))
        found = [run for run in reversed(self.runs.values()) if run.started >= since and (not job or run.job_id == job)]
        for name, ended in (("active_only", False), ("completed_only", True)):
            if given.get(name) == "true":
                found = [run for run in found if (run.ending is not None) is ended]
        return _page("runs", [describe(run, whole=False) for run in found], given, RUNS_A_PAGE)

    def _job(self, given: Given) -> Job:
        job = self.jobs.get(int(given["job_id"]))
        if job is None:
            raise invalid(f"Job {given['job_id']} does not exist.")
        return job

    def _run(self, given: Given) -> JobRun:
        """By its own id, or by its task's."""
        wanted = int(given["run_id"])
        run = next((run for run in self.runs.values() if wanted in (run.id, run.task_run_id)), None)
        if run is None:
            raise invalid(f"Run {wanted} does not exist.")
        return run


def _page(name: str, found: Sequence[Any], given: Given, sizes: Iterable[int]) -> dict[str, Any]:
    """A page of a list; its token is where the next one begins."""
    usual, most = sizes
    size, start = int(given.get("limit", usual)), int(given.get("page_token") or 0)
    if not 0 < size <= most:
        raise invalid(f"limit must be from 1 to {most}")
    more = start + size < len(found)
    token = {"next_page_token": str(start + size)} if more else {}
    return {name: list(found[start : start + size]), "has_more": more, **token}
