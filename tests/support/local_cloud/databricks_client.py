"""Requests to the Databricks emulator by Databricks' SDK, as a submitter sends them."""

import time
from typing import Any

from databricks.sdk import WorkspaceClient
from databricks.sdk.config import Config
from databricks.sdk.service.jobs import QueueSettings, Run

from tests.local_cloud.azure.local_azure import LocalAzure

JOB = {
    "name": "makoto-daily-messages",
    "max_concurrent_runs": 2,
    "parameters": [{"name": name, "default": ""} for name in ("tenant", "date", "token")],
    "tasks": [
        {
            "task_key": "daily",
            "python_wheel_task": {"package_name": "makoto-daily-batch", "entry_point": "makoto-daily-messages"},
        }
    ],
}
PARAMETERS = {"tenant": "acme", "date": "2025-08-12", "token": "7"}
QUEUED = QueueSettings(enabled=True)


def connect(azure: LocalAzure, **options: Any) -> WorkspaceClient:
    """Return a client of the submitter with a new token."""
    token = azure.workspace.admit("submitter")
    defaults = {"retry_timeout_seconds": 20}
    return WorkspaceClient(config=Config(host=azure.host, token=token, auth_type="pat", **(defaults | options)))


def run_now(client: WorkspaceClient, job: int, **changes: Any) -> int:
    """Run a job with PARAMETERS and a queue, or with changes to that, and return the run's id."""
    options: dict[str, Any] = {"job_parameters": PARAMETERS, "queue": QUEUED, **changes}
    run = client.jobs.run_now(job, **options).run_id
    assert run is not None
    return run


def read_state(run: Run) -> str:
    """Return the state of a run."""
    assert run.status is not None and run.status.state is not None
    return run.status.state.value


def wait_for_state(client: WorkspaceClient, run: int, *states: str) -> Run:
    """Wait until a run is in one of some states, by default until it has ended, and return it."""
    deadline = time.monotonic() + 60
    while read_state(found := client.jobs.get_run(run)) not in (states or ("TERMINATED",)):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def read_end(run: Run) -> tuple[str, str, str, str]:
    """Return the life cycle, result, termination code and type of a run that has ended."""
    assert run.state is not None and run.status is not None and run.status.termination_details is not None
    details = run.status.termination_details
    values = (run.state.life_cycle_state, run.state.result_state, details.code, details.type)
    return tuple(each.value if each is not None else "" for each in values)  # type: ignore[return-value]
