"""Spark jobs on Databricks: runs of the bundle's job (databricks.yml), each with a tenant-day's parameters."""

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
from daily_batch.orchestration.spark_jobs.base import ENDED, FOR_GOOD, LOG_CHARACTERS, JobState, JobStatus, SparkJob
from daily_batch.settings import Settings
from daily_batch.storage.azure_identity import AzureIdentity

# Azure Databricks' own id in every Entra tenant.
SCOPE = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d/.default"
# The SDK tries again by itself for so long, also where it was throttled.
RETRY_SECONDS = 60
STATES: dict[str, JobState] = {
    **dict.fromkeys(("BLOCKED", "QUEUED", "PENDING", "WAITING"), "WAITING"),
    **dict.fromkeys(("RUNNING", "TERMINATING"), "RUNNING"),
}
# Whoever is in a queue does not wait for machines.
QUEUED = ("BLOCKED", "QUEUED")
# Ends after which another run of the same job may go better.
ACCIDENTS = (
    *("CANCELED", "CLOUD_FAILURE", "CLUSTER_ERROR", "CLUSTER_REQUEST_LIMIT_EXCEEDED", "DRIVER_ERROR", "INTERNAL_ERROR"),
    *("LIBRARY_INSTALLATION_ERROR", "MAX_CONCURRENT_RUNS_EXCEEDED", "MAX_JOB_QUEUE_SIZE_EXCEEDED", "SKIPPED"),
    *("MAX_SPARK_CONTEXTS_EXCEEDED", "STORAGE_ACCESS_ERROR", "WORKSPACE_RUN_LIMIT_EXCEEDED"),
)
MS_OF_HOUR = 3_600_000
_EXIT = re.compile(r"SystemExit: (\d{1,3})\b")
_TEMPORARY = (
    *(sdk.TooManyRequests, sdk.TemporarilyUnavailable, sdk.InternalError, sdk.DeadlineExceeded, sdk.Aborted),
    *(sdk.RequestLimitExceeded, sdk.ResourceConflict, sdk.Unknown),
)
_DENIED = "allow this identity to run the job (docs/deploy-azure.md), and check databricks_host"


@dataclass(frozen=True, kw_only=True)
class Databricks:
    """Runs one job of a workspace: `job` is its id, or its name."""

    client: WorkspaceClient = field(repr=False)
    job: str
    name: str = "databricks"

    def check_code(self) -> None:
        """See `Submitter.check_code`: the bundle's job brings its wheel with it."""
        with _explained():
            self._find_job()

    def submit(self, job: SparkJob) -> str:
        """See `Submitter.submit`."""
        with _explained():
            run = self.client.jobs.run_now(
                self._find_job(),
                idempotency_token=job.job_token,
                job_parameters=job.parameters(),
                queue=QueueSettings(enabled=True),
            )
        return str(run.run_id)

    def look(self, job_id: str) -> JobStatus:
        """See `Submitter.look`."""
        try:
            with _explained():
                run = self.client.jobs.get_run(int(job_id))
                failed = _has_failed(run)
                return read_report(run, self._read_end(run) if failed else "")
        except TerminalError as error:
            if isinstance(error.__cause__, sdk.NotFound):
                return JobStatus(state="LOST", detail="Databricks knows no such run.")
            raise

    def read_log(self, job_id: str) -> str:
        """See `Submitter.read_log`."""
        with _explained():
            run = self.client.jobs.get_run(int(job_id))
            details = run.status.termination_details if run.status else None
            told = [details.code.value if details and details.code else "", (details and details.message) or ""]
            for task in [each.run_id for each in run.tasks or [] if each.run_id is not None]:
                output = self.client.jobs.get_run_output(task)
                told += filter(None, (output.logs, output.error_trace, output.error))
        return "\n".join(told)[-LOG_CHARACTERS:]

    def cancel(self, job_id: str) -> None:
        """See `Submitter.cancel`."""
        with _explained():
            self.client.jobs.cancel_run(int(job_id))

    def _find_job(self) -> int:
        if self.job.isdecimal():
            return int(self.job)
        found = [each.job_id for each in self.client.jobs.list(name=self.job) if each.job_id is not None]
        if len(found) != 1:
            what = f"there are {len(found)} jobs named {self.job[:80]!a}, not one"
            raise TerminalError(what, next_step="deploy the bundle, or set databricks_job to the job's id")
        return found[0]

    def _read_end(self, run: Run) -> str:
        """The error of the run's last task, which may quote anything: only a number is taken from it."""
        tasks = [task.run_id for task in run.tasks or [] if task.run_id is not None]
        return (self.client.jobs.get_run_output(tasks[-1]).error or "") if tasks else ""


def read_report(run: Run, error: str = "") -> JobStatus:
    """A run as the Jobs API tells it; `error` is what its task said at its end."""
    report = _read_state(run, error)
    if report.state not in ENDED:
        return report
    ended = datetime.fromtimestamp(run.end_time / 1000, UTC) if run.end_time else None
    return replace(report, billed=_read_use(run), ended_at=ended)


def _read_use(run: Run) -> dict[str, float]:
    """Hours of the run, and of its nodes. Of a cluster that grows and shrinks only the bounds are known.

    `run_hours` is the time that its tasks had the cluster, which is set up for them and taken down after them.
    """
    spent = [(task.setup_duration, task.execution_duration, task.cleanup_duration) for task in run.tasks or []]
    hours = sum(part or 0 for parts in spent for part in parts) / MS_OF_HOUR
    if not hours:
        return {}
    used = {"run_hours": hours}
    cluster = run.job_clusters[0].new_cluster if run.job_clusters else None
    if cluster is None:  # serverless, where nobody sees nodes
        return used
    if cluster.autoscale is None:
        return used | {"node_hours": hours * (1 + (cluster.num_workers or 0))}
    least, most = cluster.autoscale.min_workers or 0, cluster.autoscale.max_workers or 0
    return used | {"node_hours_least": hours * (1 + least), "node_hours_most": hours * (1 + most)}


def _read_state(run: Run, error: str) -> JobStatus:
    status = run.status
    state = status.state.value if status and status.state else "PENDING"
    if state in STATES:
        waits = STATES[state] == "WAITING" and state not in QUEUED and run.start_time
        # It starts when it is asked for, so its time in the queue must be left out.
        since = ((run.start_time or 0) + (run.queue_duration or 0)) / 1000
        return JobStatus(state=STATES[state], waiting_since=datetime.fromtimestamp(since, UTC) if waits else None)
    details = status.termination_details if status else None
    if details is not None and details.type is TerminationTypeType.SUCCESS:
        return JobStatus(state="SUCCEEDED")
    code = details.code.value if details is not None and details.code else "UNKNOWN"
    exit_status = _EXIT.search(error)
    told = f"{code}, exit status {exit_status[1]}" if exit_status else code
    retryable = int(exit_status[1]) not in FOR_GOOD if exit_status else code in (*ACCIDENTS, "RUN_EXECUTION_ERROR")
    step = f"look at {run.run_page_url or 'the run'}, then run the day again"
    return JobStatus(state="FAILED", detail=f"{told}. Next step: {step}.", retryable=retryable)


def open_databricks(settings: Settings) -> Databricks:
    """The job that the settings name.

    Raises:
        UsageError: one of them is missing.
    """
    if not settings.databricks_host or not settings.databricks_job:
        raise UsageError(
            "spark is databricks, and its settings are incomplete",
            next_step="set DATABRICKS_HOST and MAKOTO_DATABRICKS_JOB",
        )
    # Anew each time, and not kept: a token that the workspace takes no longer would be kept as well.
    strategy = _Entra(settings.databricks_client_id) if settings.databricks_auth == "entra" else None
    config = Config(host=settings.databricks_host, credentials_strategy=strategy, retry_timeout_seconds=RETRY_SECONDS)
    return Databricks(client=WorkspaceClient(config=config), job=settings.databricks_job)


class _Entra(CredentialsStrategy):
    """Tokens of this process's Azure identity, which keeps and renews them."""

    def __init__(self, client_id: str) -> None:
        self._identity = AzureIdentity(client_id)

    def auth_type(self) -> str:
        """What the SDK calls it."""
        return "azure-identity"

    def __call__(self, cfg: Config) -> CredentialsProvider:
        """Headers of each request."""
        return lambda: {"Authorization": f"Bearer {self._token()}"}

    def _token(self) -> str:
        try:
            return self._identity.get_token(SCOPE).token
        except BatchError as error:
            # The next call of a night may find one, and no day must fail for good meanwhile.
            raise RetryableError(
                f"there is no token for Databricks: {error.what}", next_step=error.next_step
            ) from error


def _has_failed(run: Run) -> bool:
    details = run.status.termination_details if run.status else None
    return details is not None and details.type is not TerminationTypeType.SUCCESS


def _has_expired(error: Exception) -> bool:
    """Whether it is the token that was refused, and not its owner: another one may do."""
    unnamed = isinstance(error, sdk.PermissionDenied) and error.error_code == "403"
    return unnamed or isinstance(error, sdk.Unauthenticated)


@contextmanager
def _explained() -> Iterator[None]:
    """What an error means; its own text may name users and keys, so its kind must do."""
    try:
        yield
    except (sdk_base.DatabricksError, OSError, ValueError) as error:
        # The SDK's own errors are OSErrors too; any other OSError is the network's.
        theirs = isinstance(error, sdk_base.DatabricksError | ValueError)
        if theirs and not isinstance(error, _TEMPORARY) and not _has_expired(error):
            raise TerminalError(f"Databricks refuses ({type(error).__name__})", next_step=_DENIED) from error
        what = f"Databricks does not answer ({type(error).__name__})"
        raise RetryableError(what, next_step="run the day again") from error
