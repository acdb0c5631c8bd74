"""The stand-in for EMR Serverless: tokens, refusals, states, events, cancelling, limits, and jobs that really run."""

import io
import json
import sys
import tarfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError

from daily_batch.orchestration.spark_jobs.emr_serverless import parse_status
from tests.local_cloud.aws.emr.job_runs import Outcome
from tests.local_cloud.aws.local_aws import LocalAws, serve_aws
from tests.local_cloud.common.faults import Fault

APPLICATION = "00standin0application"
ARN = f"arn:aws:emr-serverless:ap-northeast-1:123456789012:/applications/{APPLICATION}"
ROLE = "arn:aws:iam::123456789012:role/job"
ONCE = Config(retries={"total_max_attempts": 1})
ALL_OF_S3 = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
SUBMITTER = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["emr-serverless:*", "iam:PassRole"], "Resource": "*"}],
}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    with serve_aws(tmp_path_factory.mktemp("emr"), dynamodb=False) as aws:
        aws.client("s3").create_bucket(Bucket="data", CreateBucketConfiguration={"LocationConstraint": aws.region})
        aws.register_principal("ASIASUBMITTER", name="submitter", policies=[SUBMITTER])
        aws.register_principal("ASIAJOB", name="job", policies=[ALL_OF_S3], arn=ROLE)
        yield aws


@pytest.fixture
def aws(cloud: LocalAws) -> LocalAws:
    """The cloud with a new application: no job runs, no faults, nothing simulated."""
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


def request(**changed: Any) -> dict[str, Any]:
    """A good request of a new token, with some members changed."""
    good = {
        "applicationId": APPLICATION,
        "clientToken": uuid.uuid4().hex,
        "executionRoleArn": ROLE,
        "name": "makoto-acme-2025-08-12",
        "tags": {"product": "makoto-daily-batch", "tenant": "acme"},
        "jobDriver": {"sparkSubmit": {"entryPoint": "s3://data/emr/entry.py"}},
    }
    return good | changed


def with_conf(*settings: str) -> dict[str, Any]:
    spark = {
        "entryPoint": "s3://data/emr/entry.py",
        "sparkSubmitParameters": " ".join(f"--conf {each}" for each in settings),
    }
    return request(jobDriver={"sparkSubmit": spark})


def client(aws: LocalAws, **more: Any) -> Any:
    return aws.client("emr-serverless", "ASIASUBMITTER", **more)


def start(aws: LocalAws, asked: dict[str, Any] | None = None) -> str:
    return str(client(aws).start_job_run(**(asked or request()))["jobRunId"])


def get(aws: LocalAws, run: str) -> dict[str, Any]:
    found: dict[str, Any] = client(aws).get_job_run(applicationId=APPLICATION, jobRunId=run)["jobRun"]
    return found


def wait_until(aws: LocalAws, run: str, *states: str) -> dict[str, Any]:
    deadline = time.monotonic() + 240
    while (found := get(aws, run))["state"] not in states:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    return found


def states_of(aws: LocalAws, run: str) -> list[tuple[str, str]]:
    details = [event["detail"] for event in aws.events()]
    return [(each["previousState"], each["state"]) for each in details if each["jobRunId"] == run]


def test_client_token_identifies_the_job_run(aws: LocalAws) -> None:
    asked = request()
    assert start(aws, asked) == start(aws, asked)
    assert start(aws, asked) != start(aws, request())


def test_job_run_is_found_by_token_after_a_lost_response(aws: LocalAws) -> None:
    asked = request(name="lost")
    aws.inject_faults(Fault(kind="lost", pattern="emr-serverless:StartJobRun", times=1))
    with pytest.raises(HTTPClientError):
        client(aws, config=ONCE).start_job_run(**asked)
    found = start(aws, asked)
    runs = client(aws).list_job_runs(applicationId=APPLICATION)["jobRuns"]
    assert [run["id"] for run in runs if run["name"] == "lost"] == [found]


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (request(unheard="of"), "Unknown parameter"),
        (request(clientToken=None), "clientToken"),
        (request(clientToken="with a space"), "clientToken"),
        (request(executionRoleArn="arn:aws:iam::123456789012:role/other"), "cannot be assumed"),
        (request(executionIamPolicy={"policy": "x" * 2049}), "2048"),
        (request(executionIamPolicy={"policy": "no json"}), "not JSON"),
        (request(tags={"tenant": "a;b"}), "tags.tenant"),
        (request(mode="SOMETIMES"), "BATCH"),
        (request(executionTimeoutMinutes=0), "executionTimeoutMinutes"),
        (request(retryPolicy={"maxAttempts": 0}), "maxAttempts"),
        (request(jobDriver={"sparkSubmit": {}}), "entryPoint"),
        (request(jobDriver={"sparkSubmit": {"entryPoint": "e", "sparkSubmitParameters": "--master x"}}), "--conf"),
        (with_conf("spark.executor.cores=4", "spark.executor.memory=30g"), "cannot have 33 GB"),
        (with_conf("spark.executor.cores=3"), "3 vCPU"),
        (with_conf("spark.emr-serverless.executor.disk=500G"), "500 GB"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_invalid_request_is_refused(aws: LocalAws, asked: dict[str, Any], why: str) -> None:
    # boto3 would not send all of these.
    signed = "AWS4-HMAC-SHA256 Credential=ASIASUBMITTER/20250812/ap-northeast-1/emr-serverless/aws4_request"
    sent = urllib.request.Request(
        f"{aws.endpoint}/applications/{APPLICATION}/jobruns",
        data=json.dumps({name: value for name, value in asked.items() if name != "applicationId"}).encode(),
        headers={"Authorization": signed},
    )
    while True:
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(sent)
        if refused.value.code != 429:  # it takes one a second
            break
        time.sleep(0.5)
    assert refused.value.code == 400
    assert refused.value.headers["x-amzn-ErrorType"] == "ValidationException"
    assert why in json.load(refused.value)["message"]


def test_every_state_change_is_an_event(aws: LocalAws) -> None:
    run = start(aws)
    found = wait_until(aws, run, "SUCCESS")
    assert found["tags"]["tenant"] == "acme"
    assert found["createdBy"] == "submitter"
    passed = ["", "SUBMITTED", "PENDING", "SCHEDULED", "RUNNING", "SUCCESS"]
    # The first event says that it has been submitted.
    assert states_of(aws, run) == list(pairwise(passed))
    event = aws.events()[-1]
    assert (event["source"], event["detail-type"]) == ("aws.emr-serverless", "EMR Serverless Job Run State Change")
    assert event["detail"]["applicationId"] == APPLICATION
    assert "tags" not in event["detail"]


def test_job_is_billed_a_minute_at_least_and_disk_above_20_gb(aws: LocalAws) -> None:
    workers = {"driver": (2, 3, 5, 20), "executor": (4, 6, 10, 40)}
    conf = [
        setting
        for kind, (cores, heap, rest, disk) in workers.items()
        for setting in (
            *(f"spark.{kind}.cores={cores}", f"spark.{kind}.memory={heap}g", f"spark.{kind}.memoryOverhead={rest}g"),
            f"spark.emr-serverless.{kind}.disk={disk}G",
        )
    ]
    two = ("executor.instances", "dynamicAllocation.initialExecutors")
    found = wait_until(aws, start(aws, with_conf(*conf, *(f"spark.{name}=2" for name in two))), "SUCCESS")
    assert found["totalExecutionDurationSeconds"] == 1
    billed = {"vcpu_hours": 10 / 60, "memory_gb_hours": 40 / 60, "storage_gb_hours": 40 / 60}
    assert parse_status(found).billed == {name: round(hours, 3) for name, hours in billed.items()}
    assert found["totalResourceUtilization"]["storageGBHour"] == round(100 / 3600, 3)
    aws.simulate(acme=Outcome(state="SCHEDULED"))
    never = start(aws)
    wait_until(aws, never, "SCHEDULED")
    client(aws).cancel_job_run(applicationId=APPLICATION, jobRunId=never)
    assert "billedResourceUtilization" not in wait_until(aws, never, "CANCELLED")


def test_job_starts_with_the_largest_executor_setting(aws: LocalAws) -> None:
    found = wait_until(aws, start(aws, with_conf("spark.dynamicAllocation.initialExecutors=1")), "SUCCESS")
    assert found["billedResourceUtilization"]["vCPUHour"] == round((4 + 3 * 4) / 60, 3)


def test_failed_job_reports_the_reason(aws: LocalAws) -> None:
    aws.simulate(acme=Outcome(state="FAILED", details="Job failed. ExitCode: 1"))
    found = wait_until(aws, start(aws), "FAILED")
    assert found["stateDetails"] == "Job failed. ExitCode: 1"


def test_scheduled_job_can_be_cancelled_once(aws: LocalAws) -> None:
    aws.simulate(acme=Outcome(state="SCHEDULED", details="no capacity"))
    run = start(aws)
    assert wait_until(aws, run, "SCHEDULED")["stateDetails"] in ("", "no capacity")
    client(aws).cancel_job_run(applicationId=APPLICATION, jobRunId=run)
    wait_until(aws, run, "CANCELLED")
    assert states_of(aws, run)[-2:] == [("SCHEDULED", "CANCELLING"), ("CANCELLING", "CANCELLED")]
    with pytest.raises(ClientError, match="terminal state CANCELLED") as refused:
        client(aws).cancel_job_run(applicationId=APPLICATION, jobRunId=run)
    assert refused.value.response["Error"]["Code"] == "ValidationException"


def test_jobs_above_the_limit_are_queued(aws: LocalAws) -> None:
    aws.simulate(acme=Outcome(state="RUNNING"))
    first, second, third = (start(aws) for _ in range(3))
    wait_until(aws, third, "QUEUED")
    client(aws).cancel_job_run(applicationId=APPLICATION, jobRunId=first)
    wait_until(aws, third, "RUNNING")
    assert get(aws, second)["state"] == "RUNNING"
    for run in (second, third):
        client(aws).cancel_job_run(applicationId=APPLICATION, jobRunId=run)


def test_job_is_cancelled_after_its_timeout(aws: LocalAws) -> None:
    aws.simulate(acme=Outcome(state="RUNNING"))
    aws.set_minute_seconds(0.05)
    found = wait_until(aws, start(aws, request(executionTimeoutMinutes=5)), "CANCELLED")
    assert "timeout" in found["stateDetails"]


def test_frequent_requests_are_throttled(aws: LocalAws) -> None:
    asking = client(aws, config=ONCE)
    with pytest.raises(ClientError) as refused:
        for _ in range(60):
            asking.list_job_runs(applicationId=APPLICATION)
    assert refused.value.response["Error"]["Code"] == "ThrottlingException"


def test_exhausted_quota_returns_402(aws: LocalAws) -> None:
    aws.inject_faults(Fault(kind="quota", pattern="StartJobRun"))
    with pytest.raises(ClientError) as refused:
        client(aws, config=ONCE).start_job_run(**request())
    assert refused.value.response["Error"]["Code"] == "ServiceQuotaExceededException"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 402


def test_missing_job_run_or_application_is_not_found(aws: LocalAws) -> None:
    for asked in ({"applicationId": APPLICATION, "jobRunId": "0000"}, {"applicationId": "00other", "jobRunId": "0000"}):
        with pytest.raises(ClientError) as refused:
            client(aws).get_job_run(**asked)
        assert refused.value.response["Error"]["Code"] == "ResourceNotFoundException"


def test_missing_permission_is_refused_and_logged(aws: LocalAws) -> None:
    nobody = {"Version": "2012-10-17", "Statement": [{**SUBMITTER["Statement"][0], "Action": ["emr-serverless:*"]}]}
    aws.register_principal("ASIANOPASS", name="no-pass", policies=[nobody])
    with pytest.raises(ClientError, match="iam:PassRole") as refused:
        aws.client("emr-serverless", "ASIANOPASS").start_job_run(**request())
    assert refused.value.response["Error"]["Code"] == "AccessDeniedException"
    decided = {call["action"]: call["allowed"] for call in aws.calls() if call["principal"] == "no-pass"}
    assert decided["iam:PassRole"] is False
    assert decided["emr-serverless:StartJobRun"] is True


ENTRY = """
import os, sys, time
import boto3
bucket, key = sys.argv[1:]
told = [str(os.getpid()), os.environ["FOR_THE_DRIVER"], open("environment/note").read()]
boto3.client("s3", region_name="ap-northeast-1").put_object(Bucket=bucket, Key=key, Body="\\n".join(told).encode())
if key.endswith("fails"):
    raise LookupError("wrong")
time.sleep(600)
"""


@pytest.fixture
def program(aws: LocalAws) -> Callable[..., dict[str, Any]]:
    """A request whose program writes what it finds to a key, then sleeps, or fails where the key says so."""
    aws.simulate()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        note = tarfile.TarInfo("note")
        note.size = len(b"unpacked")
        archive.addfile(note, io.BytesIO(b"unpacked"))
    for name, body in (("entry.py", ENTRY.encode()), ("note.tar.gz", packed.getvalue())):
        aws.client("s3").put_object(Bucket="data", Key=f"emr/{name}", Body=body)

    def ask(key: str, **more: Any) -> dict[str, Any]:
        asked = with_conf(
            "spark.archives=s3://data/emr/note.tar.gz#environment",
            "spark.emr-serverless.driverEnv.FOR_THE_DRIVER=given",
            f"spark.emr-serverless.driverEnv.PYSPARK_DRIVER_PYTHON={sys.executable}",
        )
        asked["jobDriver"]["sparkSubmit"]["entryPointArguments"] = ["data", key]
        return asked | more

    return ask


def read_told(aws: LocalAws, run: str, key: str) -> list[str]:
    deadline = time.monotonic() + 60
    while True:
        try:
            return aws.client("s3").get_object(Bucket="data", Key=key)["Body"].read().decode().split("\n")  # type: ignore[no-any-return]
        except ClientError:
            found = get(aws, run)
            assert time.monotonic() < deadline and found["state"] not in ("FAILED", "SUCCESS"), found
            time.sleep(0.2)


def test_job_runs_within_its_session_policy_until_cancelled(
    aws: LocalAws, program: Callable[..., dict[str, Any]]
) -> None:
    own = {"Effect": "Allow", "Action": "s3:*", "Resource": ["arn:aws:s3:::data/acme/*", "arn:aws:s3:::data/emr/*"]}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [own]})
    run = start(aws, program("acme/told", executionIamPolicy={"policy": policy}))
    process, given, note = read_told(aws, run, "acme/told")
    assert (given, note) == ("given", "unpacked")
    with pytest.raises(ClientError, match="not authorized"):
        aws.client("s3", f"ASIAJOB{run.upper()}").get_object(Bucket="data", Key="acme-2/told")
    client(aws).cancel_job_run(applicationId=APPLICATION, jobRunId=run)
    wait_until(aws, run, "CANCELLED")
    assert not Path(f"/proc/{process}").exists() or "zombie" in Path(f"/proc/{process}/status").read_text()


def test_failed_job_is_retried_and_reports_its_exit_code(
    aws: LocalAws, program: Callable[..., dict[str, Any]]
) -> None:
    found = wait_until(aws, start(aws, program("acme/fails", retryPolicy={"maxAttempts": 2})), "FAILED")
    assert found["attempt"] == 2
    assert "ExitCode: 1" in found["stateDetails"]
    assert "LookupError: wrong" in found["stateDetails"]
    # Each attempt's workers are new: a driver and three executors of 4 vCPU, a minute each time.
    assert found["totalExecutionDurationSeconds"] >= 2
    assert found["billedResourceUtilization"]["vCPUHour"] >= round(2 * 16 / 60, 3)
