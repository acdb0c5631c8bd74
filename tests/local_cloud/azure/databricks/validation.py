"""Validate requests of the Jobs API by the SDK's methods and the limits of its documentation."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from databricks.sdk.service.jobs import JobsAPI, JobSettings

MAX_TOKEN_LENGTH = 64
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
    """An error response of the API."""

    def __init__(self, status: int, code: str, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.retry_after = status, code, retry_after


def invalid(message: str) -> ApiError:
    """Return the error of an invalid request."""
    return ApiError(400, "INVALID_PARAMETER_VALUE", message)


def check_request(operation: str, params: Mapping[str, Any]) -> None:
    """Check a request against the SDK's method.

    Raises:
        ApiError: a member is missing or unknown.
    """
    parameters = dict(inspect.signature(_METHODS[operation]).parameters)
    # The SDK's `create` has exactly the members of JobSettings.
    parameters.pop("self")
    if unknown := sorted(set(params) - set(parameters)):
        raise invalid(f"Unknown members: {', '.join(unknown)}")
    required = [name for name, each in parameters.items() if each.default is inspect.Parameter.empty]
    if missing := [name for name in required if name not in params]:
        raise invalid(f"Missing required fields: {', '.join(missing)}")
    for name in ("job_id", "run_id"):
        if name in params and not (isinstance(params[name], int) or str(params[name]).isdigit()):
            raise invalid(f"{name} must be a number")


def check_run_now(params: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Check the parameters of jobs/run-now.

    Raises:
        ApiError: the token is too long, or a parameter is not text or not one of the job's.
    """
    if legacy := [name for name in LEGACY if name in params]:
        raise invalid(f"{', '.join(legacy)}: a job with job parameters takes only job_parameters")
    if len(params.get("idempotency_token", "")) > MAX_TOKEN_LENGTH:
        raise invalid(f"idempotency_token must have at most {MAX_TOKEN_LENGTH} characters")
    values = params.get("job_parameters", {})
    if not isinstance(values, Mapping) or not all(isinstance(value, str) for value in values.values()):
        raise invalid("job_parameters must be a map of text to text")
    if unknown := sorted(set(values) - {each["name"] for each in settings.get("parameters", ())}):
        raise invalid(f"The job has no parameters {', '.join(unknown)}")


def read_job(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return a job's settings.

    Raises:
        ApiError: the SDK does not know a member, or the job does not have exactly one task of a supported kind.
    """
    settings = JobSettings.from_dict(dict(params)).as_dict()
    if lost := sorted(set(params) - set(settings)):
        raise invalid(f"Unknown members: {', '.join(lost)}")
    tasks = settings.get("tasks", [])
    if len(tasks) != 1 or len([kind for kind in TASKS if kind in tasks[0]]) != 1:
        raise invalid(f"only a job with a single task is supported, one of {', '.join(TASKS)}")
    return settings
