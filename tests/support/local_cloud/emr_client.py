"""Requests to the EMR Serverless emulator by boto3, as a submitter sends them."""

import time
import uuid
from typing import Any

from botocore.config import Config

from tests.local_cloud.aws.local_aws import LocalAws

SUBMITTER_KEY = "ASIASUBMITTER"
APPLICATION = "00emulated0application"
ARN = f"arn:aws:emr-serverless:ap-northeast-1:123456789012:/applications/{APPLICATION}"
ROLE = "arn:aws:iam::123456789012:role/job"
NO_RETRIES = Config(retries={"total_max_attempts": 1})


def make_request(**changes: Any) -> dict[str, Any]:
    """Return a valid StartJobRun request with a new token and some members changed."""
    request = {
        "applicationId": APPLICATION,
        "clientToken": uuid.uuid4().hex,
        "executionRoleArn": ROLE,
        "name": "makoto-acme-2025-08-12",
        "tags": {"product": "makoto-daily-batch", "tenant": "acme"},
        "jobDriver": {"sparkSubmit": {"entryPoint": "s3://data/emr/entry.py"}},
    }
    return request | changes


def make_request_with_conf(*settings: str) -> dict[str, Any]:
    """Return a valid request with Spark settings, each `name=value`."""
    submit = {
        "entryPoint": "s3://data/emr/entry.py",
        "sparkSubmitParameters": " ".join(f"--conf {each}" for each in settings),
    }
    return make_request(jobDriver={"sparkSubmit": submit})


def connect(aws: LocalAws, **options: Any) -> Any:
    """Return the submitter's client."""
    return aws.client("emr-serverless", SUBMITTER_KEY, **options)


def start(aws: LocalAws, request: dict[str, Any] | None = None) -> str:
    """Start a job and return its id."""
    return str(connect(aws).start_job_run(**(request or make_request()))["jobRunId"])


def get(aws: LocalAws, run: str) -> dict[str, Any]:
    """Return a job run as GetJobRun describes it."""
    job_run: dict[str, Any] = connect(aws).get_job_run(applicationId=APPLICATION, jobRunId=run)["jobRun"]
    return job_run


def cancel(aws: LocalAws, run: str) -> None:
    """Request the cancellation of a job run."""
    connect(aws).cancel_job_run(applicationId=APPLICATION, jobRunId=run)


def wait_for_state(aws: LocalAws, run: str, *states: str) -> dict[str, Any]:
    """Wait until a job run is in one of some states, and return it."""
    deadline = time.monotonic() + 240
    while (job_run := get(aws, run))["state"] not in states:
        assert time.monotonic() < deadline, job_run
        time.sleep(0.1)
    return job_run


def read_transitions(aws: LocalAws, run: str) -> list[tuple[str, str]]:
    """Return the previous and the new state of each event of a job run."""
    details = [event["detail"] for event in aws.events()]
    return [(each["previousState"], each["state"]) for each in details if each["jobRunId"] == run]
