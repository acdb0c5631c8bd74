"""The EMR Serverless emulator: tokens, refusals, states, events, cancellation, limits, and jobs that run on Spark."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, HTTPClientError

from daily_batch.orchestration.spark_jobs.emr_serverless import parse_status
from tests.local_cloud.aws.emr.job_runs import Outcome
from tests.local_cloud.aws.local_aws import LocalAws, serve_aws
from tests.local_cloud.common.faults import Fault
from tests.support.local_cloud.emr_client import (
    APPLICATION,
    ARN,
    NO_RETRIES,
    ROLE,
    SUBMITTER_KEY,
    cancel,
    connect,
    get,
    make_request,
    make_request_with_conf,
    read_transitions,
    start,
    wait_for_state,
)
from tests.support.local_cloud.emr_program import make_program_request, read_output, upload_program

ALL_OF_S3 = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
SUBMITTER = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["emr-serverless:*", "iam:PassRole"], "Resource": "*"}],
}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    with serve_aws(tmp_path_factory.mktemp("emr"), dynamodb=False) as aws:
        aws.client("s3").create_bucket(Bucket="data", CreateBucketConfiguration={"LocationConstraint": aws.region})
        aws.register_principal(SUBMITTER_KEY, name="submitter", policies=[SUBMITTER])
        aws.register_principal("ASIAJOB", name="job", policies=[ALL_OF_S3], arn=ROLE)
        yield aws


@pytest.fixture
def aws(cloud: LocalAws) -> LocalAws:
    """Return the cloud with a new application, no faults, and all jobs simulated as successful."""
    cloud.create_application(
        {
            "applicationId": APPLICATION,
            "arn": ARN,
            "releaseLabel": "emr-spark-8.1.0",
            "type": "SPARK",
            "state": "STARTED",
        }
        | {"createdAt": 0, "updatedAt": 0, "schedulerConfiguration": {"maxConcurrentRuns": 2}}
    )
    cloud.inject_faults()
    cloud.simulate(everyone=Outcome())
    cloud.set_minute_seconds(60)
    return cloud


def test_client_token_identifies_the_job_run(aws: LocalAws) -> None:
    request = make_request()
    assert start(aws, request) == start(aws, request)
    assert start(aws, request) != start(aws, make_request())


def test_job_run_is_found_by_token_after_a_lost_response(aws: LocalAws) -> None:
    request = make_request(name="lost")
    aws.inject_faults(Fault(kind="lost", pattern="emr-serverless:StartJobRun", times=1))
    with pytest.raises(HTTPClientError):
        connect(aws, config=NO_RETRIES).start_job_run(**request)
    retried = start(aws, request)
    runs = connect(aws).list_job_runs(applicationId=APPLICATION)["jobRuns"]
    assert [run["id"] for run in runs if run["name"] == "lost"] == [retried]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (make_request(unknown="member"), "Unknown parameter"),
        (make_request(clientToken=None), "clientToken"),
        (make_request(clientToken="with a space"), "clientToken"),
        (make_request(executionRoleArn="arn:aws:iam::123456789012:role/other"), "cannot be assumed"),
        (make_request(executionIamPolicy={"policy": "x" * 2049}), "2048"),
        (make_request(executionIamPolicy={"policy": "no json"}), "not JSON"),
        (make_request(tags={"tenant": "a;b"}), "tags.tenant"),
        (make_request(mode="SOMETIMES"), "BATCH"),
        (make_request(executionTimeoutMinutes=0), "executionTimeoutMinutes"),
        (make_request(retryPolicy={"maxAttempts": 0}), "maxAttempts"),
        (make_request(jobDriver={"sparkSubmit": {}}), "entryPoint"),
        (make_request(jobDriver={"sparkSubmit": {"entryPoint": "e", "sparkSubmitParameters": "--master x"}}), "--conf"),
        (make_request_with_conf("spark.executor.cores=4", "spark.executor.memory=30g"), "cannot have 33 GB"),
        (make_request_with_conf("spark.executor.cores=3"), "3 vCPU"),
        (make_request_with_conf("spark.emr-serverless.executor.disk=500G"), "500 GB"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_invalid_request_is_refused(aws: LocalAws, body: dict[str, Any], message: str) -> None:
    # Sent without boto3, which would not send all of these.
    authorization = "AWS4-HMAC-SHA256 Credential=ASIASUBMITTER/20250812/ap-northeast-1/emr-serverless/aws4_request"
    http_request = urllib.request.Request(
        f"{aws.endpoint}/applications/{APPLICATION}/jobruns",
        data=json.dumps({name: value for name, value in body.items() if name != "applicationId"}).encode(),
        headers={"Authorization": authorization},
    )
    while True:
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(http_request)
        if refused.value.code != 429:  # the rate limit is one a second
            break
        time.sleep(0.5)
    assert refused.value.code == 400
    assert refused.value.headers["x-amzn-ErrorType"] == "ValidationException"
    assert message in json.load(refused.value)["message"]


def test_every_state_change_is_an_event(aws: LocalAws) -> None:
    run = start(aws)
    job_run = wait_for_state(aws, run, "SUCCESS")
    assert job_run["tags"]["tenant"] == "acme"
    assert job_run["createdBy"] == "submitter"
    states = ["", "SUBMITTED", "PENDING", "SCHEDULED", "RUNNING", "SUCCESS"]
    assert read_transitions(aws, run) == list(pairwise(states))
    event = aws.events()[-1]
    assert (event["source"], event["detail-type"]) == ("aws.emr-serverless", "EMR Serverless Job Run State Change")
    assert event["detail"]["applicationId"] == APPLICATION
    assert "tags" not in event["detail"]


def test_job_is_billed_a_minute_at_least_and_disk_above_20_gb(aws: LocalAws) -> None:
    workers = {"driver": (2, 3, 5, 20), "executor": (4, 6, 10, 40)}
    conf = [
        setting
        for kind, (cores, heap, overhead, disk) in workers.items()
        for setting in (
            f"spark.{kind}.cores={cores}",
            f"spark.{kind}.memory={heap}g",
            f"spark.{kind}.memoryOverhead={overhead}g",
            f"spark.emr-serverless.{kind}.disk={disk}G",
        )
    ]
    executors = [f"spark.{name}=2" for name in ("executor.instances", "dynamicAllocation.initialExecutors")]
    job_run = wait_for_state(aws, start(aws, make_request_with_conf(*conf, *executors)), "SUCCESS")
    assert job_run["totalExecutionDurationSeconds"] == 1
    billed = {"vcpu_hours": 10 / 60, "memory_gb_hours": 40 / 60, "storage_gb_hours": 40 / 60}
    assert parse_status(job_run).billed == {name: round(hours, 3) for name, hours in billed.items()}
    assert job_run["totalResourceUtilization"]["storageGBHour"] == round(100 / 3600, 3)
    aws.simulate(acme=Outcome(state="SCHEDULED"))
    scheduled = start(aws)
    wait_for_state(aws, scheduled, "SCHEDULED")
    cancel(aws, scheduled)
    assert "billedResourceUtilization" not in wait_for_state(aws, scheduled, "CANCELLED")


def test_job_starts_with_the_largest_executor_setting(aws: LocalAws) -> None:
    # One setting asks for 1; another keeps the service's default of 3.
    run = start(aws, make_request_with_conf("spark.dynamicAllocation.initialExecutors=1"))
    job_run = wait_for_state(aws, run, "SUCCESS")
    assert job_run["billedResourceUtilization"]["vCPUHour"] == round((4 + 3 * 4) / 60, 3)


def test_failed_job_reports_the_reason(aws: LocalAws) -> None:
    aws.simulate(acme=Outcome(state="FAILED", details="Job failed. ExitCode: 1"))
    job_run = wait_for_state(aws, start(aws), "FAILED")
    assert job_run["stateDetails"] == "Job failed. ExitCode: 1"


def test_scheduled_job_can_be_cancelled_once(aws: LocalAws) -> None:
    aws.simulate(acme=Outcome(state="SCHEDULED", details="no capacity"))
    run = start(aws)
    assert wait_for_state(aws, run, "SCHEDULED")["stateDetails"] in ("", "no capacity")
    cancel(aws, run)
    wait_for_state(aws, run, "CANCELLED")
    assert read_transitions(aws, run)[-2:] == [("SCHEDULED", "CANCELLING"), ("CANCELLING", "CANCELLED")]
    with pytest.raises(ClientError, match="terminal state CANCELLED") as refused:
        cancel(aws, run)
    assert refused.value.response["Error"]["Code"] == "ValidationException"


def test_jobs_above_the_limit_are_queued(aws: LocalAws) -> None:
    aws.simulate(acme=Outcome(state="RUNNING"))
    first, second, third = (start(aws) for _ in range(3))
    wait_for_state(aws, third, "QUEUED")
    cancel(aws, first)
    wait_for_state(aws, third, "RUNNING")
    assert get(aws, second)["state"] == "RUNNING"
    for run in (second, third):
        cancel(aws, run)


def test_job_is_cancelled_after_its_timeout(aws: LocalAws) -> None:
    aws.simulate(acme=Outcome(state="RUNNING"))
    aws.set_minute_seconds(0.05)
    job_run = wait_for_state(aws, start(aws, make_request(executionTimeoutMinutes=5)), "CANCELLED")
    assert "timeout" in job_run["stateDetails"]


def test_frequent_requests_are_throttled(aws: LocalAws) -> None:
    client = connect(aws, config=NO_RETRIES)
    with pytest.raises(ClientError) as refused:
        for _ in range(60):
            client.list_job_runs(applicationId=APPLICATION)
    assert refused.value.response["Error"]["Code"] == "ThrottlingException"


def test_exhausted_quota_returns_402(aws: LocalAws) -> None:
    aws.inject_faults(Fault(kind="quota", pattern="StartJobRun"))
    with pytest.raises(ClientError) as refused:
        connect(aws, config=NO_RETRIES).start_job_run(**make_request())
    assert refused.value.response["Error"]["Code"] == "ServiceQuotaExceededException"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 402


def test_missing_job_run_or_application_is_not_found(aws: LocalAws) -> None:
    for ids in ({"applicationId": APPLICATION, "jobRunId": "0000"}, {"applicationId": "00other", "jobRunId": "0000"}):
        with pytest.raises(ClientError) as refused:
            connect(aws).get_job_run(**ids)
        assert refused.value.response["Error"]["Code"] == "ResourceNotFoundException"


def test_missing_permission_is_refused_and_logged(aws: LocalAws) -> None:
    no_pass_role = {
        "Version": "2012-10-17",
        "Statement": [{**SUBMITTER["Statement"][0], "Action": ["emr-serverless:*"]}],
    }
    aws.register_principal("ASIANOPASS", name="no-pass", policies=[no_pass_role])
    with pytest.raises(ClientError, match="iam:PassRole") as refused:
        aws.client("emr-serverless", "ASIANOPASS").start_job_run(**make_request())
    assert refused.value.response["Error"]["Code"] == "AccessDeniedException"
    decisions = {call["action"]: call["allowed"] for call in aws.calls() if call["principal"] == "no-pass"}
    assert decisions["iam:PassRole"] is False
    assert decisions["emr-serverless:StartJobRun"] is True


@pytest.fixture
def spark_aws(aws: LocalAws) -> LocalAws:
    """Return the cloud with an uploaded program and nothing simulated, so its jobs run on Spark."""
    aws.simulate()
    upload_program(aws)
    return aws


def test_job_runs_within_its_session_policy_until_cancelled(spark_aws: LocalAws) -> None:
    aws = spark_aws
    allow_tenant = {
        "Effect": "Allow",
        "Action": "s3:*",
        "Resource": ["arn:aws:s3:::data/acme/*", "arn:aws:s3:::data/emr/*"],
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow_tenant]})
    run = start(aws, make_program_request("acme/output", executionIamPolicy={"policy": policy}))
    process, variable, note = read_output(aws, run, "acme/output")
    assert (variable, note) == ("value", "unpacked")
    with pytest.raises(ClientError, match="not authorized"):
        aws.client("s3", f"ASIAJOB{run.upper()}").get_object(Bucket="data", Key="acme-2/output")
    cancel(aws, run)
    wait_for_state(aws, run, "CANCELLED")
    assert not Path(f"/proc/{process}").exists() or "zombie" in Path(f"/proc/{process}/status").read_text()


def test_failed_job_is_retried_and_reports_its_exit_code(spark_aws: LocalAws) -> None:
    run = start(spark_aws, make_program_request("acme/fails", retryPolicy={"maxAttempts": 2}))
    job_run = wait_for_state(spark_aws, run, "FAILED")
    assert job_run["attempt"] == 2
    assert "ExitCode: 1" in job_run["stateDetails"]
    assert "LookupError: wrong" in job_run["stateDetails"]
    # Each attempt has new workers, a driver and three executors of 4 vCPU, each billed for a minute.
    assert job_run["totalExecutionDurationSeconds"] >= 2
    assert job_run["billedResourceUtilization"]["vCPUHour"] >= round(2 * 16 / 60, 3)
