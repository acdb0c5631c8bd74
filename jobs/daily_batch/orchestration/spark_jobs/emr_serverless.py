"""Spark jobs on Amazon EMR Serverless."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import boto3  # type: ignore[import-untyped]  # it carries no types, nor does botocore
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]
from obstore.exceptions import BaseError

from daily_batch.domain.url import parse_url
from daily_batch.errors import BatchError, RetryableError, TerminalError, UsageError
from daily_batch.orchestration.spark_jobs.base import ENDED, FOR_GOOD, LOG_CHARACTERS, JobState, JobStatus, SparkJob
from daily_batch.orchestration.spark_jobs.emr_package import check_package
from daily_batch.orchestration.spark_jobs.emr_request import PRODUCT, QUOTA, Place, fit, make_request
from daily_batch.orchestration.spark_jobs.session_policy import read_account, session_policy
from daily_batch.settings import Settings
from daily_batch.storage import boto_errors
from daily_batch.storage.failures import explain_failure
from daily_batch.storage.stores import open_store

# StartJobRun is taken once a second, with bursts of 25: the client itself slows down when it is throttled.
CLIENT = Config(connect_timeout=2, read_timeout=10, retries={"mode": "adaptive", "total_max_attempts": 8})
STATES: dict[str, JobState] = {
    **dict.fromkeys(("SUBMITTED", "PENDING", "SCHEDULED", "QUEUED"), "WAITING"),
    **dict.fromkeys(("RUNNING", "CANCELLING"), "RUNNING"),
    "SUCCESS": "SUCCEEDED",
    **dict.fromkeys(("FAILED", "CANCELLED"), "FAILED"),
}
_BUSY = ("ThrottlingException", "TooManyRequestsException", "ConflictException", "InternalServerException")
_FULL = f"wait, or raise the account's quota of concurrent vCPUs ({QUOTA}) or the application's maximum capacity"
_STEPS = {
    "ResourceNotFoundException": "check MAKOTO_EMR_APPLICATION_ID and the region",
    "ValidationException": "check the deployment's EMR settings (docs/deploy-aws.md)",
}
_DENIED = "allow this identity what docs/deploy-aws.md lists of emr-serverless, and iam:PassRole on the job's role"
# What a job's own end says, that may be repeated: the details themselves may quote what was being read.
_CAPACITY = re.compile(r"MaxCapacityExceeded|ServiceQuotaExceeded|vCPU|[Cc]apacity|could not be allocated")
_EXIT = re.compile(r"[Ee]xit ?[Cc]ode:? ?(\d{1,3})\b")
_TIMEOUT = re.compile(r"[Tt]ime[d ]*out")
_ERROR = re.compile(r"\b[A-Z]\w{2,60}(?:Exception|Error)\b")
KILLED = 137
# Units of billedResourceUtilization, and what ours are called.
UNITS = {"vCPUHour": "vcpu_hours", "memoryGBHour": "memory_gb_hours", "storageGBHour": "storage_gb_hours"}


@dataclass(frozen=True, kw_only=True)
class JobTags:
    """Whose job a job run is."""

    tenant: str
    date: str
    run_id: str


@dataclass(frozen=True, kw_only=True)
class EmrServerless:
    """Submits to one application. `vcpus` is what the account's quota leaves for a job."""

    place: Place
    vcpus: int
    export_template: str
    rooms_table: str = ""
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    client: Any = field(repr=False)
    name: str = "emr-serverless"

    def check_code(self) -> None:
        """See `Submitter.check_code`."""
        with self._explained():
            application = self.client.get_application(applicationId=self.place.application_id)["application"]
        store = open_store(self.place.package, self.options)
        try:
            check_package(store, self.place, architecture=application.get("architecture", ""))
        except (BaseError, OSError) as error:
            raise explain_failure(error, tenant="-", day="-") or error from error

    def submit(self, job: SparkJob) -> str:
        """See `Submitter.submit`."""
        account = read_account(self.place.role_arn, self.place.region)
        policy = session_policy(
            job.request,
            account,
            export_template=self.export_template,
            package=self.place.package,
            log_group=self.place.log_group,
            kms_key_arn=self.place.kms_key_arn,
            rooms_table=self.rooms_table,
        )
        with self._explained():
            application = self.client.get_application(applicationId=self.place.application_id)["application"]
            if application["state"] == "STOPPING":
                raise RetryableError("the EMR Serverless application is stopping", next_step="wait a minute")
            size = fit(job.size, vcpus=self.vcpus, capacity=application.get("maximumCapacity", {}))
            answer = self.client.start_job_run(**make_request(job, self.place, size=size, policy=policy))
        return str(answer["jobRunId"])

    def look(self, job_id: str) -> JobStatus:
        """See `Submitter.look`."""
        run = self._find(job_id)
        return read_report(run) if run else JobStatus(state="LOST", detail="EMR Serverless knows no such job run.")

    def read_log(self, job_id: str) -> str:
        """See `Submitter.read_log`: in CloudWatch, if the job's request said so."""
        run = self._find(job_id) or {}
        asked = run.get("configurationOverrides", {}).get("monitoringConfiguration", {})
        where = asked.get("cloudWatchLoggingConfiguration", {})
        told = [str(run.get("stateDetails", ""))]
        if where.get("logGroupName"):
            folder = f"applications/{self.place.application_id}/jobs/{job_id}/"
            prefix = "/".join(filter(None, (where.get("logStreamNamePrefix"), folder)))
            with suppress(BotoCoreError, ClientError):
                told += _read_streams(keep_client(self.place.region, "logs"), where["logGroupName"], prefix)
        return "\n".join(told)[-LOG_CHARACTERS:]

    def cancel(self, job_id: str) -> None:
        """See `Submitter.cancel`."""
        with self._explained():
            try:
                self.client.cancel_job_run(applicationId=self.place.application_id, jobRunId=job_id)
            except self.client.exceptions.ValidationException:
                return  # it has ended

    def identify(self, job_id: str) -> JobTags | None:
        """Whose job a job run is; None for one that is not ours, or that the service does not know."""
        tags = (self._find(job_id) or {}).get("tags", {})
        if tags.get("product") != PRODUCT:
            return None
        told = {name: str(tags.get(name, "")) for name in ("tenant", "date", "run_id")}
        if not all(told.values()):
            raise TerminalError("a job run of ours lacks its tags", next_step="leave the tags of job runs as they are")
        return JobTags(**told)

    def _find(self, job_id: str) -> dict[str, Any] | None:
        with self._explained():
            try:
                run = self.client.get_job_run(applicationId=self.place.application_id, jobRunId=job_id)
            except self.client.exceptions.ResourceNotFoundException:
                return None
        return dict(run["jobRun"])

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (BotoCoreError, ClientError) as error:
            raise self._explain(error) from error

    def _explain(self, error: Exception) -> BatchError:
        """What the error means; its own text may name accounts and keys, so its kind must do."""
        code = boto_errors.error_code(error)
        if code == "ServiceQuotaExceededException":
            return RetryableError(f"EMR Serverless has no capacity left ({code})", next_step=_FULL)
        if boto_errors.is_temporary(error, _BUSY):
            return RetryableError(f"EMR Serverless does not answer ({code})", next_step="run the day again")
        if known := boto_errors.explain(error):
            return type(known)(f"EMR Serverless cannot be asked: {known.what}", next_step=known.next_step)
        return TerminalError(f"EMR Serverless refuses ({code})", next_step=_STEPS.get(code, _DENIED))


def open_emr_serverless(settings: Settings) -> EmrServerless:
    """The application that the settings name.

    Raises:
        UsageError: one of them is missing.
    """
    wanted = ("emr_application_id", "emr_job_role_arn", "emr_package")
    missing = [f"MAKOTO_{name.upper()}" for name in wanted if not getattr(settings, name)]
    region = settings.storage_options.get("aws_region") or boto3.Session().region_name
    if not region:
        missing.append("AWS_DEFAULT_REGION")
    if missing:
        raise UsageError(
            "spark is emr-serverless, and its settings are incomplete", next_step=f"set {', '.join(missing)}"
        )
    return EmrServerless(
        place=Place(
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
        options=settings.storage_options,
        client=keep_client(region),
    )


@cache
def keep_client(region: str, service: str = "emr-serverless") -> Any:
    """The process's own client: to make one anew takes longer than a small day."""
    return boto3.Session(region_name=region).client(service, config=CLIENT)


def _read_streams(client: Any, group: str, prefix: str) -> Iterator[str]:
    """The lines of a job's driver, its last attempt's last."""
    found = client.describe_log_streams(logGroupName=group, logStreamNamePrefix=prefix)["logStreams"]
    for name in sorted(stream["logStreamName"] for stream in found):
        if "DRIVER" in name:
            for event in client.get_log_events(logGroupName=group, logStreamName=name)["events"]:
                yield event["message"]


def read_report(run: dict[str, Any]) -> JobStatus:
    """A job run as GetJobRun tells it, without any of its words that may quote content."""
    report = _read_state(run)
    if report.state not in ENDED:
        return report
    return replace(report, billed=_read_billed(run), ended_at=run.get("endedAt") or run.get("updatedAt"))


def _read_billed(run: dict[str, Any]) -> dict[str, float]:
    """Nothing where the service has not told it."""
    billed = run.get("billedResourceUtilization", {})
    return {ours: float(billed[theirs]) for theirs, ours in UNITS.items() if theirs in billed}


def _read_state(run: dict[str, Any]) -> JobStatus:
    state = STATES.get(run["state"], "RUNNING")
    details = str(run.get("stateDetails", ""))
    if state == "WAITING":
        detail = f"Next step: {_FULL}." if _CAPACITY.search(details) else ""
        return JobStatus(
            state=state, detail=detail, waiting_since=None if run["state"] == "QUEUED" else run["updatedAt"]
        )
    if state != "FAILED":
        return JobStatus(state=state)
    if run["state"] == "CANCELLED" and _TIMEOUT.search(details) and "startedAt" not in run:
        return JobStatus(state=state, detail=f"It was given up in its application's queue. Next step: {_FULL}.")
    if run["state"] == "CANCELLED":
        why = "by its time limit, job_timeout_minutes" if _TIMEOUT.search(details) else "by someone"
        return JobStatus(state=state, detail=f"It was cancelled {why}.", retryable=False)
    return _explain_end(details)


def _explain_end(details: str) -> JobStatus:
    exit_code = _EXIT.search(details)
    status = int(exit_code[1]) if exit_code else None
    if status is None and _CAPACITY.search(details):
        return JobStatus(state="FAILED", detail=f"There was no capacity. Next step: {_FULL}.")
    told = [f"Exit status {status}"] if exit_code else []
    told += list(dict.fromkeys(_ERROR.findall(details)))[:3]
    if status == KILLED:
        told.append("killed, as it is for want of memory")
    detail = f"{', '.join(told)}. " if told else ""
    step = "look at the job's log, then run the day again"
    return JobStatus(state="FAILED", detail=f"{detail}Next step: {step}.", retryable=status not in FOR_GOOD)
