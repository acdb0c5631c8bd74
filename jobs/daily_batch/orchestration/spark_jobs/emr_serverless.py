"""Run Spark jobs on Amazon EMR Serverless."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from daily_batch.catalog.names import name_database
from daily_batch.domain.url import parse_url
from daily_batch.errors import BatchError, RetryableError, TerminalError, UsageError
from daily_batch.orchestration.spark_jobs.base import (
    ENDED_STATES,
    FINAL_EXIT_CODES,
    MAX_LOG_CHARACTERS,
    JobState,
    JobStatus,
    SparkJob,
)
from daily_batch.orchestration.spark_jobs.emr_package import check_package
from daily_batch.orchestration.spark_jobs.emr_request import PRODUCT, QUOTA, EmrConfig, fit_size, make_request
from daily_batch.orchestration.spark_jobs.session_policy import parse_account, session_policy
from daily_batch.settings import Settings
from daily_batch.storage import boto_errors
from daily_batch.storage.failures import explained_failures
from daily_batch.storage.stores import open_store

# StartJobRun allows one request per second, with bursts of 25: the adaptive client slows down when it is throttled.
CLIENT_CONFIG = Config(connect_timeout=2, read_timeout=10, retries={"mode": "adaptive", "total_max_attempts": 8})
STATES: dict[str, JobState] = {
    **dict.fromkeys(("SUBMITTED", "PENDING", "SCHEDULED", "QUEUED"), "WAITING"),
    **dict.fromkeys(("RUNNING", "CANCELLING"), "RUNNING"),
    "SUCCESS": "SUCCEEDED",
    **dict.fromkeys(("FAILED", "CANCELLED"), "FAILED"),
}
_TEMPORARY = ("ThrottlingException", "TooManyRequestsException", "ConflictException", "InternalServerException")
_WAIT = f"wait, or raise the account's quota of concurrent vCPUs ({QUOTA}) or the application's maximum capacity"
_STEPS = {
    "ResourceNotFoundException": "check MAKOTO_EMR_APPLICATION_ID and the region",
    "ValidationException": "check the deployment's EMR settings (docs/deploy-aws.md)",
}
_DENIED = "grant this identity the emr-serverless actions and iam:PassRole listed in docs/project/permissions-aws.md"
# The parts of a job's state details that are safe to repeat: the details themselves may quote message content.
_CAPACITY = re.compile(r"MaxCapacityExceeded|ServiceQuotaExceeded|vCPU|[Cc]apacity|could not be allocated")
_EXIT = re.compile(r"[Ee]xit ?[Cc]ode:? ?(\d{1,3})\b")
_TIMEOUT = re.compile(r"[Tt]ime[d ]*out")
_ERROR = re.compile(r"\b[A-Z]\w{2,60}(?:Exception|Error)\b")
KILLED = 137
# The units of billedResourceUtilization, and our names for them.
UNITS = {"vCPUHour": "vcpu_hours", "memoryGBHour": "memory_gb_hours", "storageGBHour": "storage_gb_hours"}


@dataclass(frozen=True, kw_only=True)
class JobTags:
    """The tags of a job run, which identify its day."""

    tenant: str
    date: str
    run_id: str


@dataclass(frozen=True, kw_only=True)
class EmrServerless:
    """Submits jobs to one application. `vcpus` are what the account's quota leaves for one job."""

    config: EmrConfig
    vcpus: int
    export_template: str
    rooms_table: str = ""
    catalog: str = ""
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    client: Any = field(repr=False)
    name: str = "emr-serverless"

    def check_code(self) -> None:
        """See `Submitter.check_code`."""
        with self._translate_errors():
            application = self.client.get_application(applicationId=self.config.application_id)["application"]
        store = open_store(self.config.package, self.options)
        with explained_failures():
            check_package(store, self.config, architecture=application.get("architecture", ""))

    def submit(self, job: SparkJob) -> str:
        """See `Submitter.submit`."""
        account = parse_account(self.config.role_arn, self.config.region)
        policy = session_policy(
            job.request,
            account,
            export_template=self.export_template,
            package=self.config.package,
            log_group=self.config.log_group,
            kms_key_arn=self.config.kms_key_arn,
            rooms_table=self.rooms_table,
            database=name_database(self.catalog, job.request.tenant),
        )
        with self._translate_errors():
            application = self.client.get_application(applicationId=self.config.application_id)["application"]
            if application["state"] == "STOPPING":
                raise RetryableError("the EMR Serverless application is stopping", next_step="wait a minute")
            size = fit_size(job.size, vcpus=self.vcpus, capacity=application.get("maximumCapacity", {}))
            response = self.client.start_job_run(**make_request(job, self.config, size=size, policy=policy))
        return str(response["jobRunId"])

    def get_status(self, job_id: str) -> JobStatus:
        """See `Submitter.get_status`."""
        run = self._find(job_id)
        return parse_status(run) if run else JobStatus(state="LOST", detail="EMR Serverless does not know the job.")

    def read_log(self, job_id: str) -> str:
        """See `Submitter.read_log`. The log is in CloudWatch, if the job's request enabled it."""
        run = self._find(job_id) or {}
        monitoring = run.get("configurationOverrides", {}).get("monitoringConfiguration", {})
        logging = monitoring.get("cloudWatchLoggingConfiguration", {})
        parts = [str(run.get("stateDetails", ""))]
        if logging.get("logGroupName"):
            folder = f"applications/{self.config.application_id}/jobs/{job_id}/"
            prefix = "/".join(filter(None, (logging.get("logStreamNamePrefix"), folder)))
            with suppress(BotoCoreError, ClientError):
                parts += _read_driver_log(cached_client(self.config.region, "logs"), logging["logGroupName"], prefix)
        return "\n".join(parts)[-MAX_LOG_CHARACTERS:]

    def cancel(self, job_id: str) -> None:
        """See `Submitter.cancel`."""
        with self._translate_errors():
            try:
                self.client.cancel_job_run(applicationId=self.config.application_id, jobRunId=job_id)
            except self.client.exceptions.ValidationException:
                return  # it has ended

    def identify(self, job_id: str) -> JobTags | None:
        """Return the tags of our job run; None if it is not ours, or the service does not know it.

        Raises:
            TerminalError: The job run is ours, and some of its tags are missing.
        """
        tags = (self._find(job_id) or {}).get("tags", {})
        if tags.get("product") != PRODUCT:
            return None
        values = {name: str(tags.get(name, "")) for name in ("tenant", "date", "run_id")}
        if not all(values.values()):
            raise TerminalError("tags of the job run are missing", next_step="do not change the tags of job runs")
        return JobTags(**values)

    def _find(self, job_id: str) -> dict[str, Any] | None:
        with self._translate_errors():
            try:
                run = self.client.get_job_run(applicationId=self.config.application_id, jobRunId=job_id)
            except self.client.exceptions.ResourceNotFoundException:
                return None
        return dict(run["jobRun"])

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except (BotoCoreError, ClientError) as error:
            raise self._explain(error) from error

    def _explain(self, error: Exception) -> BatchError:
        """Translate an error by its code: its text may name accounts and keys."""
        code = boto_errors.error_code(error)
        if code == "ServiceQuotaExceededException":
            return RetryableError(f"EMR Serverless has no capacity left ({code})", next_step=_WAIT)
        if boto_errors.is_temporary(error, _TEMPORARY):
            return RetryableError(f"EMR Serverless does not answer ({code})", next_step="run the day again")
        if access_error := boto_errors.explain(error):
            what = f"EMR Serverless cannot be called: {access_error.what}"
            return type(access_error)(what, next_step=access_error.next_step)
        return TerminalError(f"EMR Serverless refuses ({code})", next_step=_STEPS.get(code, _DENIED))


def open_emr_serverless(settings: Settings) -> EmrServerless:
    """Return the submitter for the application that the settings name.

    Raises:
        UsageError: A setting is missing.
    """
    required = ("emr_application_id", "emr_job_role_arn", "emr_package")
    missing = [f"MAKOTO_{name.upper()}" for name in required if not getattr(settings, name)]
    region = settings.storage_options.get("aws_region") or boto3.Session().region_name
    if not region:
        missing.append("AWS_DEFAULT_REGION")
    if missing:
        raise UsageError(
            "spark is emr-serverless, and its settings are incomplete", next_step=f"set {', '.join(missing)}"
        )
    return EmrServerless(
        config=EmrConfig(
            application_id=settings.emr_application_id,
            role_arn=settings.emr_job_role_arn,
            package=parse_url(settings.emr_package),
            region=region,
            python=settings.emr_python,
            log_group=settings.emr_log_group,
            kms_key_arn=settings.kms_key_arn,
            timeout_minutes=settings.job_timeout_minutes,
        ),
        vcpus=settings.emr_vcpus,
        export_template=settings.export_template,
        rooms_table=settings.dynamodb_table if settings.discovery == "metadata" else "",
        catalog=settings.catalog,
        options=settings.storage_options,
        client=cached_client(region),
    )


@cache
def cached_client(region: str, service: str = "emr-serverless") -> Any:
    """Return the process's client of a service: creating one takes longer than a small day."""
    return boto3.Session(region_name=region).client(service, config=CLIENT_CONFIG)


def _read_driver_log(client: Any, group: str, prefix: str) -> Iterator[str]:
    """Yield the log lines of a job's driver, those of the last attempt last."""
    streams = client.describe_log_streams(logGroupName=group, logStreamNamePrefix=prefix)["logStreams"]
    for name in sorted(stream["logStreamName"] for stream in streams):
        if "DRIVER" in name:
            for event in client.get_log_events(logGroupName=group, logStreamName=name)["events"]:
                yield event["message"]


def parse_status(run: dict[str, Any]) -> JobStatus:
    """Return the status of a job run of GetJobRun, without any text that may quote message content."""
    status = _parse_state(run)
    if status.state not in ENDED_STATES:
        return status
    return replace(status, billed=_parse_usage(run), ended_at=run.get("endedAt") or run.get("updatedAt"))


def _parse_usage(run: dict[str, Any]) -> dict[str, float]:
    """Return the billed hours by unit; empty if the service has not reported them."""
    billed = run.get("billedResourceUtilization", {})
    return {ours: float(billed[theirs]) for theirs, ours in UNITS.items() if theirs in billed}


def _parse_state(run: dict[str, Any]) -> JobStatus:
    state = STATES.get(run["state"], "RUNNING")
    details = str(run.get("stateDetails", ""))
    if state == "WAITING":
        detail = f"Next step: {_WAIT}." if _CAPACITY.search(details) else ""
        return JobStatus(
            state=state, detail=detail, waiting_since=None if run["state"] == "QUEUED" else run["updatedAt"]
        )
    if state != "FAILED":
        return JobStatus(state=state)
    if run["state"] == "CANCELLED" and _TIMEOUT.search(details) and "startedAt" not in run:
        return JobStatus(state=state, detail=f"It timed out in its application's queue. Next step: {_WAIT}.")
    if run["state"] == "CANCELLED":
        cause = "by its time limit, job_timeout_minutes" if _TIMEOUT.search(details) else "by a user"
        return JobStatus(state=state, detail=f"It was cancelled {cause}.", retryable=False)
    return _explain_failure(details)


def _explain_failure(details: str) -> JobStatus:
    match = _EXIT.search(details)
    exit_code = int(match[1]) if match else None
    if exit_code is None and _CAPACITY.search(details):
        return JobStatus(state="FAILED", detail=f"There was no capacity. Next step: {_WAIT}.")
    reasons = [f"Exit status {exit_code}"] if match else []
    reasons += list(dict.fromkeys(_ERROR.findall(details)))[:3]
    if exit_code == KILLED:
        reasons.append("killed, probably because it ran out of memory")
    detail = f"{', '.join(reasons)}. " if reasons else ""
    step = "look at the job's log, then run the day again"
    return JobStatus(state="FAILED", detail=f"{detail}Next step: {step}.", retryable=exit_code not in FINAL_EXIT_CODES)
