"""Run Spark jobs on Databricks: each is a run of the bundle's job (databricks.yml) with a tenant-day's parameters."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from databricks.sdk import WorkspaceClient
from databricks.sdk.config import Config
from databricks.sdk.credentials_provider import CredentialsProvider, CredentialsStrategy
from databricks.sdk.errors import base as sdk_base
from databricks.sdk.errors import platform as sdk
from databricks.sdk.service.jobs import QueueSettings, Run, TerminationTypeType

from daily_batch.errors import BatchError, RetryableError, TerminalError, UsageError
from daily_batch.orchestration.spark_jobs.base import (
    ENDED_STATES,
    FINAL_EXIT_CODES,
    MAX_LOG_CHARACTERS,
    JobState,
    JobStatus,
    SparkJob,
)
from daily_batch.settings import Settings
from daily_batch.storage.azure_identity import AzureIdentity

# The application id of Azure Databricks in every Entra tenant.
SCOPE = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d/.default"
# How long the SDK itself retries, throttled requests included.
RETRY_SECONDS = 60
STATES: dict[str, JobState] = {
    **dict.fromkeys(("BLOCKED", "QUEUED", "PENDING", "WAITING"), "WAITING"),
    **dict.fromkeys(("RUNNING", "TERMINATING"), "RUNNING"),
}
# A run in a queue does not wait for machines.
QUEUED = ("BLOCKED", "QUEUED")
# Termination codes after which another run of the same job may succeed.
RETRYABLE_CODES = (
    *("CANCELED", "CLOUD_FAILURE", "CLUSTER_ERROR", "CLUSTER_REQUEST_LIMIT_EXCEEDED", "DRIVER_ERROR", "INTERNAL_ERROR"),
    *("LIBRARY_INSTALLATION_ERROR", "MAX_CONCURRENT_RUNS_EXCEEDED", "MAX_JOB_QUEUE_SIZE_EXCEEDED", "SKIPPED"),
    *("MAX_SPARK_CONTEXTS_EXCEEDED", "STORAGE_ACCESS_ERROR", "WORKSPACE_RUN_LIMIT_EXCEEDED"),
)
MS_PER_HOUR = 3_600_000
_EXIT = re.compile(r"SystemExit: (\d{1,3})\b")
_TEMPORARY = (
    *(sdk.TooManyRequests, sdk.TemporarilyUnavailable, sdk.InternalError, sdk.DeadlineExceeded, sdk.Aborted),
    *(sdk.RequestLimitExceeded, sdk.ResourceConflict, sdk.Unknown),
)
_DENIED = "allow this identity to run the job (docs/deploy-azure.md), and check databricks_host"


@dataclass(frozen=True, kw_only=True)
class Databricks:
    """Runs one job of a workspace. `job` is the job's id or name."""

    client: WorkspaceClient = field(repr=False)
    job: str
    name: str = "databricks"

    def check_code(self) -> None:
        """See `Submitter.check_code`. The bundle deploys the job together with its wheel."""
        with _translate_errors():
            self._find_job()

    def submit(self, job: SparkJob) -> str:
        """See `Submitter.submit`."""
        with _translate_errors():
            run = self.client.jobs.run_now(
                self._find_job(),
                idempotency_token=job.job_token,
                job_parameters=job.parameters(),
                queue=QueueSettings(enabled=True),
            )
        return str(run.run_id)

    def get_status(self, job_id: str) -> JobStatus:
        """See `Submitter.get_status`."""
        try:
            with _translate_errors():
                run = self.client.jobs.get_run(int(job_id))
                return parse_status(run, self._read_error(run) if _has_failed(run) else "")
        except TerminalError as error:
            if isinstance(error.__cause__, sdk.NotFound):
                return JobStatus(state="LOST", detail="Databricks does not know the run.")
            raise

    def read_log(self, job_id: str) -> str:
        """See `Submitter.read_log`."""
        with _translate_errors():
            run = self.client.jobs.get_run(int(job_id))
            details = run.status.termination_details if run.status else None
            parts = [details.code.value if details and details.code else "", (details and details.message) or ""]
            for task in [each.run_id for each in run.tasks or [] if each.run_id is not None]:
                output = self.client.jobs.get_run_output(task)
                parts += filter(None, (output.logs, output.error_trace, output.error))
        return "\n".join(parts)[-MAX_LOG_CHARACTERS:]

    def cancel(self, job_id: str) -> None:
        """See `Submitter.cancel`."""
        with _translate_errors():
            self.client.jobs.cancel_run(int(job_id))

    def _find_job(self) -> int:
        if self.job.isdecimal():
            return int(self.job)
        ids = [each.job_id for each in self.client.jobs.list(name=self.job) if each.job_id is not None]
        if len(ids) != 1:
            what = f"there are {len(ids)} jobs named {self.job[:80]!a}, not one"
            raise TerminalError(what, next_step="deploy the bundle, or set databricks_job to the job's id")
        return ids[0]

    def _read_error(self, run: Run) -> str:
        """Return the error of the run's last task. It may quote message content: use only its exit status."""
        tasks = [task.run_id for task in run.tasks or [] if task.run_id is not None]
        return (self.client.jobs.get_run_output(tasks[-1]).error or "") if tasks else ""


def parse_status(run: Run, error: str = "") -> JobStatus:
    """Return the status of a run of the Jobs API; `error` is the error of its last task."""
    status = _parse_state(run, error)
    if status.state not in ENDED_STATES:
        return status
    ended = datetime.fromtimestamp(run.end_time / 1000, UTC) if run.end_time else None
    return replace(status, billed=_parse_usage(run), ended_at=ended)


def _parse_usage(run: Run) -> dict[str, float]:
    """Return the hours of the run and of its nodes; for an autoscaling cluster, their bounds.

    `run_hours` is the time that the run's tasks had the cluster, its setup and cleanup included.
    """
    durations = [(task.setup_duration, task.execution_duration, task.cleanup_duration) for task in run.tasks or []]
    hours = sum(part or 0 for parts in durations for part in parts) / MS_PER_HOUR
    if not hours:
        return {}
    usage = {"run_hours": hours}
    cluster = run.job_clusters[0].new_cluster if run.job_clusters else None
    if cluster is None:  # serverless does not report nodes
        return usage
    if cluster.autoscale is None:
        return usage | {"node_hours": hours * (1 + (cluster.num_workers or 0))}
    min_workers, max_workers = cluster.autoscale.min_workers or 0, cluster.autoscale.max_workers or 0
    return usage | {"node_hours_least": hours * (1 + min_workers), "node_hours_most": hours * (1 + max_workers)}


def _parse_state(run: Run, error: str) -> JobStatus:
    run_status = run.status
    state = run_status.state.value if run_status and run_status.state else "PENDING"
    if state in STATES:
        waits = STATES[state] == "WAITING" and state not in QUEUED and run.start_time
        # The start time is when the run was requested, so the time in the queue is added.
        since = ((run.start_time or 0) + (run.queue_duration or 0)) / 1000
        return JobStatus(state=STATES[state], waiting_since=datetime.fromtimestamp(since, UTC) if waits else None)
    details = run_status.termination_details if run_status else None
    if details is not None and details.type is TerminationTypeType.SUCCESS:
        return JobStatus(state="SUCCEEDED")
    code = details.code.value if details is not None and details.code else "UNKNOWN"
    exit_status = _EXIT.search(error)
    reason = f"{code}, exit status {exit_status[1]}" if exit_status else code
    if exit_status:
        retryable = int(exit_status[1]) not in FINAL_EXIT_CODES
    else:
        retryable = code in (*RETRYABLE_CODES, "RUN_EXECUTION_ERROR")
    step = f"look at {run.run_page_url or 'the run'}, then run the day again"
    return JobStatus(state="FAILED", detail=f"{reason}. Next step: {step}.", retryable=retryable)


def open_databricks(settings: Settings) -> Databricks:
    """Return the submitter for the job that the settings name.

    Raises:
        UsageError: A setting is missing.
    """
    if not settings.databricks_host or not settings.databricks_job:
        raise UsageError(
            "spark is databricks, and its settings are incomplete",
            next_step="set DATABRICKS_HOST and MAKOTO_DATABRICKS_JOB",
        )
    # A new client each time: a cached one would keep a token that the workspace no longer accepts.
    strategy = _Entra(settings.databricks_client_id) if settings.databricks_auth == "entra" else None
    config = Config(host=settings.databricks_host, credentials_strategy=strategy, retry_timeout_seconds=RETRY_SECONDS)
    return Databricks(client=WorkspaceClient(config=config), job=settings.databricks_job)


class _Entra(CredentialsStrategy):
    """Authenticates with tokens of this process's Azure identity, which caches and renews them."""

    def __init__(self, client_id: str) -> None:
        self._identity = AzureIdentity(client_id)

    def auth_type(self) -> str:
        """Return the strategy's name in the SDK."""
        return "azure-identity"

    def __call__(self, cfg: Config) -> CredentialsProvider:
        """Return a function that makes the headers of each request."""
        return lambda: {"Authorization": f"Bearer {self._token()}"}

    def _token(self) -> str:
        try:
            return self._identity.get_token(SCOPE).token
        except BatchError as error:
            # Retryable even if the identity's own error is terminal: a later call may get a token.
            raise RetryableError(
                f"there is no token for Databricks: {error.what}", next_step=error.next_step
            ) from error


def _has_failed(run: Run) -> bool:
    details = run.status.termination_details if run.status else None
    return details is not None and details.type is not TerminationTypeType.SUCCESS


def _is_token_rejected(error: Exception) -> bool:
    """Return whether the token was rejected and not its owner: another token may be accepted."""
    unnamed = isinstance(error, sdk.PermissionDenied) and error.error_code == "403"
    return unnamed or isinstance(error, sdk.Unauthenticated)


@contextmanager
def _translate_errors() -> Iterator[None]:
    """Translate errors of the SDK by their type: their text may name users and keys."""
    try:
        yield
    except (sdk_base.DatabricksError, OSError, ValueError) as error:
        # The SDK's own errors are OSErrors, too; any other OSError is the network's.
        from_sdk = isinstance(error, sdk_base.DatabricksError | ValueError)
        if from_sdk and not isinstance(error, _TEMPORARY) and not _is_token_rejected(error):
            raise TerminalError(f"Databricks refuses ({type(error).__name__})", next_step=_DENIED) from error
        what = f"Databricks does not answer ({type(error).__name__})"
        raise RetryableError(what, next_step="run the day again") from error
