"""The EMR Serverless submitter (faults 6, 19): requests by botocore's model, responses by its Stubber, sizes."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.stub import ANY, Stubber
from botocore.validate import ParamValidator

from daily_batch.domain.keys import EXPORT_TEMPLATE
from daily_batch.domain.request import Request
from daily_batch.domain.url import parse_url
from daily_batch.errors import BatchError, RetryableError, TerminalError, UsageError
from daily_batch.orchestration.spark_jobs import JobSize, SparkJob
from daily_batch.orchestration.spark_jobs.emr_request import EmrConfig, fit_size, make_request
from daily_batch.orchestration.spark_jobs.emr_serverless import EmrServerless, open_emr_serverless, parse_status
from daily_batch.settings import load_settings

ROLE = "arn:aws:iam::123456789012:role/makoto-daily-batch-job"
APPLICATION = "arn:aws:emr-serverless:ap-northeast-1:123456789012:/applications/00f1r1uukb925"
CONFIG = EmrConfig(
    application_id="00f1r1uukb925",
    role_arn=ROLE,
    package=parse_url("s3://artifacts/emr/1f"),
    region="ap-northeast-1",
    python="3.11",
    log_group="/aws/emr-serverless/makoto",
)
JOB = SparkJob(
    request=Request(tenant="acme", day=date(2025, 8, 12), input=parse_url("s3://data"), output=parse_url("s3://data")),
    run_id="20250812T170000Z-1a2b3c4d",
    token=3,
    size=JobSize(executors=2, disk_gb=40),
    settings={"timezone": "Asia/Tokyo"},
)
MOMENT = datetime(2025, 8, 12, 17, 0, tzinfo=UTC)
WIDE = {"cpu": "400 vCPU", "memory": "3000 GB", "disk": "20000 GB"}


def parse_conf(request: dict[str, Any]) -> dict[str, str]:
    text = request["jobDriver"]["sparkSubmit"]["sparkSubmitParameters"]
    assert not set(text) & set("'\"\\")
    words = text.split(" ")
    assert words[::2] == ["--conf"] * (len(words) // 2)
    return dict(pair.split("=", 1) for pair in words[1::2])


def test_request_is_valid_by_the_services_own_model() -> None:
    request = make_request(JOB, CONFIG, size=JOB.size, policy="{}")
    model = ServiceModel(Loader().load_service_model("emr-serverless", "service-2"))
    shape = model.operation_model("StartJobRun").input_shape
    assert not ParamValidator().validate(request, shape).has_errors()
    assert set(request) <= set(shape.members)
    assert 1 <= len(request["clientToken"]) <= 64
    assert request["name"] == "makoto-acme-2025-08-12"


def test_request_names_the_jobs_day_and_its_code() -> None:
    request = make_request(JOB, CONFIG, size=JOB.size, policy="{}")
    driver = request["jobDriver"]["sparkSubmit"]
    assert driver["entryPoint"] == "s3://artifacts/emr/1f/daily_messages.py"
    assert driver["entryPointArguments"] == JOB.arguments()
    assert request["tags"] == {
        "product": "makoto-daily-batch",
        "tenant": "acme",
        "date": "2025-08-12",
        "run_id": JOB.run_id,
        "token": "3",
    }
    conf = parse_conf(request)
    assert conf["spark.archives"] == "s3://artifacts/emr/1f/environment.tar.gz#environment"
    assert conf["spark.executorEnv.PYSPARK_PYTHON"] == "./environment/bin/python3.11"
    assert conf["spark.emr-serverless.driverEnv.PYSPARK_DRIVER_PYTHON"] == "./environment/bin/python3.11"
    assert conf["spark.emr-serverless.executor.disk"] == "40G"


@pytest.mark.parametrize("executors", [1, 2, 9])
def test_job_starts_with_the_requested_executors_and_gets_no_more(executors: int) -> None:
    conf = parse_conf(make_request(JOB, CONFIG, size=JobSize(executors=executors), policy="{}"))
    # The service sets spark.executor.instances to 3 by default, and Spark starts with the largest of the settings.
    named = ("spark.executor.instances", "spark.dynamicAllocation.initialExecutors")
    assert [conf[name] for name in (*named, "spark.dynamicAllocation.maxExecutors")] == [str(executors)] * 3


def test_workers_have_a_size_that_the_service_offers() -> None:
    conf = parse_conf(make_request(JOB, CONFIG, size=JOB.size, policy="{}"))
    for kind in ("driver", "executor"):
        heap, rest = (int(conf[f"spark.{kind}.{part}"].rstrip("g")) for part in ("memory", "memoryOverhead"))
        min_gb, max_gb = {"2": (4, 16), "4": (8, 30)}[conf[f"spark.{kind}.cores"]]
        assert min_gb <= heap + rest <= max_gb
        assert rest > heap  # Python and DuckDB do the work


def test_job_token_identifies_the_attempt() -> None:
    changed = {"token": 4, "run_id": "other"}
    tokens = {JOB.job_token} | {SparkJob(**{**vars(JOB), name: value}).job_token for name, value in changed.items()}
    assert len(tokens) == 3
    assert SparkJob(**{**vars(JOB), "size": JobSize(executors=9)}).job_token == JOB.job_token


@pytest.mark.parametrize(
    ("vcpus", "capacity", "executors"),
    [
        (400, WIDE, 9),
        (16, WIDE, 3),
        (400, {**WIDE, "cpu": "10 vCPU"}, 2),
        (400, {**WIDE, "memory": "30 GB"}, 1),
        (400, {**WIDE, "disk": "200 GB"}, 4),
        (400, {}, 9),
    ],
)
def test_job_size_is_reduced_to_application_and_account_limits(
    vcpus: int, capacity: dict[str, str], executors: int
) -> None:
    assert fit_size(JobSize(executors=9, disk_gb=40), vcpus=vcpus, capacity=capacity).executors == executors


@pytest.mark.parametrize(
    ("vcpus", "capacity", "disk_gb"),
    [
        (400, WIDE, 40),
        (16, WIDE, 120),  # three executors instead of nine share the same shuffle
        (6, WIDE, 200),  # the largest disk of a worker
        (16, {**WIDE, "disk": "260 GB"}, 80),  # 20 GB are the driver's
        (400, {**WIDE, "disk": "140 GB"}, 40),
    ],
)
def test_fewer_executors_get_the_disk_of_all(vcpus: int, capacity: dict[str, str], disk_gb: int) -> None:
    assert fit_size(JobSize(executors=9, disk_gb=40), vcpus=vcpus, capacity=capacity).disk_gb == disk_gb


@pytest.mark.parametrize(
    ("vcpus", "capacity", "limit"),
    [
        (5, WIDE, r"the account's quota of concurrent vCPUs \(L-D05C8A75"),
        (400, {**WIDE, "cpu": "4 vCPU"}, r"the application's maximum capacity \(cpu 4 vCPU\)"),
        (400, {**WIDE, "memory": "16 GB"}, r"the application's maximum capacity \(memory 16 GB\)"),
    ],
)
def test_job_that_does_not_fit_at_all_names_the_limit(vcpus: int, capacity: dict[str, str], limit: str) -> None:
    with pytest.raises(TerminalError, match=limit):
        fit_size(JobSize(), vcpus=vcpus, capacity=capacity)


@pytest.fixture
def stubbed() -> Any:
    client = boto3.client(
        "emr-serverless", region_name="ap-northeast-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    with Stubber(client) as stubber:
        yield EmrServerless(config=CONFIG, vcpus=16, export_template=EXPORT_TEMPLATE, client=client), stubber
        stubber.assert_no_pending_responses()


def stub_application(stubber: Stubber, *, state: str = "STOPPED") -> None:
    moment = "2025-08-12T17:00:00Z"
    application = {
        "applicationId": "00f1r1uukb925",
        "arn": "arn:aws:emr-serverless:ap-northeast-1:123456789012:/applications/x",
        "releaseLabel": "emr-spark-8.1.0",
        "type": "SPARK",
        "state": state,
        "createdAt": moment,
        "updatedAt": moment,
        "maximumCapacity": WIDE,
    }
    stubber.add_response("get_application", {"application": application}, {"applicationId": "00f1r1uukb925"})


def test_submission_starts_one_job_run_with_the_attempts_token(stubbed: Any) -> None:
    service, stubber = stubbed
    stub_application(stubber)
    expected = make_request(JOB, CONFIG, size=JobSize(executors=2, disk_gb=40), policy="") | {"executionIamPolicy": ANY}
    response = {"applicationId": "00f1r1uukb925", "jobRunId": "00job1", "arn": f"{APPLICATION}/jobruns/00job1"}
    stubber.add_response("start_job_run", response, expected)
    assert service.submit(JOB) == "00job1"


@pytest.mark.parametrize(("catalog", "registers"), [("glue:chat", True), ("main.chat", False), ("", False)])
def test_a_job_with_a_glue_catalog_may_register_its_tenants_tables(stubbed: Any, catalog: str, registers: bool) -> None:
    service, stubber = stubbed
    stub_application(stubber)
    policies: list[str] = []

    class Recorded:
        def __eq__(self, given: object) -> bool:
            policies.append(str(given))
            return True

    request = make_request(JOB, CONFIG, size=JobSize(executors=2, disk_gb=40), policy="")
    response = {"applicationId": "00f1r1uukb925", "jobRunId": "00job1", "arn": f"{APPLICATION}/jobruns/00job1"}
    stubber.add_response("start_job_run", response, request | {"executionIamPolicy": Recorded()})
    replace(service, catalog=catalog).submit(JOB)
    assert ("table/chat_acme/*" in policies[0]) == registers


@pytest.mark.parametrize(
    ("code", "status", "kind", "advice"),
    [
        ("ServiceQuotaExceededException", 402, RetryableError, "L-D05C8A75"),
        ("ThrottlingException", 429, RetryableError, "run the day again"),
        ("InternalServerException", 500, RetryableError, "run the day again"),
        ("ConflictException", 409, RetryableError, "run the day again"),
        ("ValidationException", 400, TerminalError, "docs/deploy-aws.md"),
        ("ResourceNotFoundException", 404, TerminalError, "MAKOTO_EMR_APPLICATION_ID"),
        ("AccessDeniedException", 403, TerminalError, "iam:PassRole"),
    ],
)
def test_error_is_classified_as_retryable_with_a_next_step(
    stubbed: Any, code: str, status: int, kind: type[BatchError], advice: str
) -> None:
    service, stubber = stubbed
    stub_application(stubber)
    stubber.add_client_error("start_job_run", code, "secret arn:aws:iam::1:role/x", http_status_code=status)
    with pytest.raises(kind, match=advice) as raised:
        service.submit(JOB)
    assert "secret" not in str(raised.value)


def make_run(state: str, details: str = "") -> dict[str, Any]:
    return {"state": state, "stateDetails": details, "updatedAt": MOMENT}


@pytest.mark.parametrize("state", ["SUBMITTED", "PENDING", "SCHEDULED"])
def test_job_without_workers_waits_since_it_entered_its_state(state: str) -> None:
    assert (parse_status(make_run(state)).state, parse_status(make_run(state)).waiting_since) == ("WAITING", MOMENT)


def test_time_in_the_applications_queue_is_not_waiting_for_workers() -> None:
    assert (parse_status(make_run("QUEUED")).state, parse_status(make_run("QUEUED")).waiting_since) == ("WAITING", None)
    started = parse_status(make_run("CANCELLED", "The job run timed out in the queue") | {"startedAt": MOMENT})
    never_started = parse_status(make_run("CANCELLED", "The job run timed out in the queue"))
    assert (started.retryable, never_started.retryable) == (False, True)


def test_application_that_is_stopping_is_a_retryable_error(stubbed: Any) -> None:
    service, stubber = stubbed
    stub_application(stubber, state="STOPPING")
    with pytest.raises(RetryableError, match="is stopping"):
        service.submit(JOB)


def test_job_without_capacity_names_the_limits_to_raise() -> None:
    waiting = parse_status(make_run("SCHEDULED", "ApplicationMaxCapacityExceededException: [memory: 48 GB]"))
    assert "L-D05C8A75" in waiting.detail
    failed = parse_status(make_run("FAILED", "Worker could not be allocated: the vCPU limit is reached"))
    assert (failed.state, failed.retryable) == ("FAILED", True)
    assert "L-D05C8A75" in failed.detail


def test_failure_is_described_by_exit_status_and_error_class_only() -> None:
    status = parse_status(make_run("FAILED", "Job failed. ExitCode: 1. Caused by: SparkException: bad row 'Hello Bob'"))
    assert (status.state, status.retryable) == ("FAILED", True)
    assert "Exit status 1, SparkException" in status.detail
    assert "Bob" not in status.detail
    assert "memory" in parse_status(make_run("FAILED", "ExitCode: 137")).detail


@pytest.mark.parametrize("exit_code", [2, 3, 4])
def test_job_with_a_final_exit_status_is_not_retryable(exit_code: int) -> None:
    assert not parse_status(
        make_run("FAILED", f"Job failed. ExitCode: {exit_code}. Last few exceptions: none")
    ).retryable


def test_job_that_was_cancelled_is_not_retryable() -> None:
    assert (parse_status(make_run("CANCELLED")).state, parse_status(make_run("CANCELLED")).retryable) == (
        "FAILED",
        False,
    )
    timed_out = make_run("CANCELLED", "Job timed out after 360 minutes") | {"startedAt": MOMENT}
    assert "job_timeout_minutes" in parse_status(timed_out).detail
    assert parse_status(make_run("CANCELLING")).state == "RUNNING"


def test_ended_job_reports_its_billed_units() -> None:
    billed = {"billedResourceUtilization": {"vCPUHour": 1.5, "memoryGBHour": 6.0, "storageGBHour": 0.0}}
    units = {"vcpu_hours": 1.5, "memory_gb_hours": 6.0, "storage_gb_hours": 0.0}
    for state in ("SUCCESS", "FAILED", "CANCELLED"):
        assert parse_status(make_run(state) | billed).billed == units
    assert parse_status(make_run("RUNNING") | billed).billed == {}
    assert parse_status(make_run("SUCCESS")).billed == {}  # the service has not reported it


def test_ended_job_reports_its_end_time() -> None:
    later = MOMENT + timedelta(minutes=1)
    assert parse_status(make_run("SUCCESS") | {"endedAt": later}).ended_at == later
    assert parse_status(make_run("FAILED")).ended_at == MOMENT  # the time of the last update
    assert parse_status(make_run("RUNNING")).ended_at is None


def test_unknown_job_is_lost(stubbed: Any) -> None:
    service, stubber = stubbed
    stubber.add_client_error("get_job_run", "ResourceNotFoundException", http_status_code=404)
    assert service.get_status("00job1").state == "LOST"
    stubber.add_client_error("get_job_run", "ThrottlingException", http_status_code=429)
    with pytest.raises(RetryableError):
        service.get_status("00job1")


def test_cancelling_an_ended_job_is_not_an_error(stubbed: Any) -> None:
    service, stubber = stubbed
    stubber.add_client_error("cancel_job_run", "ValidationException", http_status_code=400)
    service.cancel("00job1")


def test_missing_settings_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    settings = load_settings(flags={"spark": "emr-serverless", "emr_application_id": "00f1"}, environ={})
    with pytest.raises(UsageError, match="MAKOTO_EMR_JOB_ROLE_ARN, MAKOTO_EMR_PACKAGE, AWS_DEFAULT_REGION"):
        open_emr_serverless(settings)


def test_arguments_carry_the_settings_as_json() -> None:
    words = JOB.arguments()
    assert json.loads(words[words.index("--settings") + 1]) == {"timezone": "Asia/Tokyo"}
