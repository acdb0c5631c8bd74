"""Requests of the Jobs API, judged by the SDK's own method of each, and by what its documentation adds."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from databricks.sdk.service.jobs import JobsAPI, JobSettings

LONGEST_TOKEN = 64
LEGACY = (
    "dbt_commands",
    "jar_params",
    "notebook_params",
    "python_named_params",
    "python_params",
    "spark_submit_params",
)
TASKS = ("python_wheel_task", "spark_python_task")
_METHODS: Mapping[str, Callable[..., Any]] = {
    "jobs/create": JobsAPI.create,
    "jobs/delete": JobsAPI.delete,
    "jobs/get": JobsAPI.get,
    "jobs/list": JobsAPI.list,
    "jobs/run-now": JobsAPI.run_now,
    "jobs/runs/cancel": JobsAPI.cancel_run,
    "jobs/runs/delete": JobsAPI.delete_run,
    "jobs/runs/get": JobsAPI.get_run,
    "jobs/runs/get-output": JobsAPI.get_run_output,
    "jobs/runs/list": JobsAPI.list_runs,
}


class ApiError(Exception):
    """An error that the caller is told, as the API writes it."""

    def __init__(self, status: int, code: str, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.retry_after = status, code, retry_after


def invalid(message: str) -> ApiError:
    """The refusal of a request that makes no sense."""
    return ApiError(400, "INVALID_PARAMETER_VALUE", message)


def check_request(operation: str, given: Mapping[str, Any]) -> None:
    """Compare a request with the SDK's method.

    Raises:
        ApiError: something is missing, or nobody knows it.
    """
    known = dict(inspect.signature(_METHODS[operation]).parameters)
    # The SDK's `create` has the members of JobSettings, and no more.
    known.pop("self")
    if unknown := sorted(set(given) - set(known)):
        raise invalid(f"Unknown members: {', '.join(unknown)}")
    required = [name for name, each in known.items() if each.default is inspect.Parameter.empty]
    if missing := [name for name in required if name not in given]:
        raise invalid(f"Missing required fields: {', '.join(missing)}")
    for name in ("job_id", "run_id"):
        if name in given and not (isinstance(given[name], int) or str(given[name]).isdigit()):
            raise invalid(f"{name} must be a number")


def check_run_now(given: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Judge what a run of a job is given.

    Raises:
        ApiError: the token is too long, or a parameter is no text, or not one of the job's.
    """
    if legacy := [name for name in LEGACY if name in given]:
        raise invalid(f"{', '.join(legacy)}: a job with job parameters takes job_parameters alone")
    if len(given.get("idempotency_token", "")) > LONGEST_TOKEN:
        raise invalid(f"idempotency_token must have at most {LONGEST_TOKEN} characters")
    parameters = given.get("job_parameters", {})
    if not isinstance(parameters, Mapping) or not all(isinstance(value, str) for value in parameters.values()):
        raise invalid("job_parameters must be a map of text to text")
    if unknown := sorted(set(parameters) - {each["name"] for each in settings.get("parameters", ())}):
        raise invalid(f"The job has no parameters {', '.join(unknown)}")


def read_job(given: Mapping[str, Any]) -> dict[str, Any]:
    """A job's settings.

    Raises:
        ApiError: the SDK knows a member of them not, or the job has not exactly one task that can be run here.
    """
    settings = JobSettings.from_dict(dict(given)).as_dict()
    if lost := sorted(set(given) - set(settings)):
        raise invalid(f"Unknown members: {', '.join(lost)}")
    tasks = settings.get("tasks", [])
    if len(tasks) != 1 or len([kind for kind in TASKS if kind in tasks[0]]) != 1:
        raise invalid(f"only a job of one task is known here, one of {', '.join(TASKS)}")
    return settings
