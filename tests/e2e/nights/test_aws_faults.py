"""Inject faults on the local AWS: killed workers, duplicate messages, lost events, unavailable services.

Jobs are simulated; the nights and the Spark runner's tests check what they do.
"""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.local_cloud.aws.emr.job_runs import Outcome
from tests.local_cloud.aws.job_package import VERSION
from tests.local_cloud.aws.local_aws import serve_aws
from tests.local_cloud.aws.stack import Stack, deploy
from tests.local_cloud.common.faults import Fault
from tests.support.aws_tenant import BUCKET, DAY, SETTINGS, AwsTenant, create_tenant
from tests.support.crash_points import STEPS

MESSAGES = 60
# The ledger cannot detect that a function's process was killed, so its lease must expire.
LEASE_SECONDS = 1.2
SHORT_LEASE = {"MAKOTO_LEASE_SECONDS": "1"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Return one deployment for all tests of this module; each test has its own tenant."""
    parameters = {"DataBucketName": BUCKET, "PackageVersion": VERSION, "TenantId": "*", "EmrConcurrentRuns": "100"}
    with serve_aws(tmp_path_factory.mktemp("aws")) as aws, deploy(aws, parameters=parameters, more=SETTINGS) as stack:
        yield stack


@pytest.fixture
def small_tenant(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsTenant]:
    """Return a tenant whose day is small enough for the function."""
    yield create_tenant(stack, tmp_path, messages=MESSAGES, monkeypatch=monkeypatch)
    stack.aws.inject_faults()


@pytest.fixture
def large_tenant(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsTenant]:
    """Return a tenant whose day goes to EMR Serverless, where jobs stay RUNNING unless a test changes it."""
    tenant = create_tenant(stack, tmp_path, messages=700, monkeypatch=monkeypatch)
    stack.aws.simulate(everyone=Outcome(state="RUNNING"))
    yield tenant
    stack.aws.inject_faults()


# Workers killed between steps


@pytest.mark.parametrize("step", [step for step in STEPS if "submission" not in step])
def test_1_2_retry_after_a_crash_at_any_step_publishes_once(small_tenant: AwsTenant, step: str) -> None:
    event = small_tenant.make_event()
    crashed = small_tenant.deliver(crash_at=step, event=event, more=SHORT_LEASE)
    assert crashed.error == "Runtime.ExitError"
    time.sleep(LEASE_SECONDS)
    retried = small_tenant.deliver(event=event, more={"MAKOTO_RUNNER": "local"})
    assert (retried.error, retried.result) == ("", {"batchItemFailures": []})
    assert small_tenant.entry().is_complete
    assert (
        small_tenant.count_rows() == small_tenant.entry().message_count == small_tenant.expected["records"]["written"]
    )
    assert small_tenant.list_jobs() == []


@pytest.mark.parametrize(
    "step", ["after the lease", "after the manifest", "before the submission", "after the submission"]
)
def test_6_retry_after_a_crash_around_submission_uses_one_job(large_tenant: AwsTenant, step: str) -> None:
    event = large_tenant.make_event()
    assert large_tenant.deliver(crash_at=step, event=event, more=SHORT_LEASE).error == "Runtime.ExitError"
    time.sleep(LEASE_SECONDS)
    retried = large_tenant.deliver(event=event)
    assert (retried.error, retried.result) == ("", {"batchItemFailures": []})
    (job,) = large_tenant.list_jobs()
    assert (large_tenant.entry().status, large_tenant.entry().job_id) == ("SUBMITTED", job["id"])


def test_day_whose_worker_crashed_is_submitted_to_emr_serverless(small_tenant: AwsTenant) -> None:
    small_tenant.aws.simulate(everyone=Outcome(state="RUNNING"))
    small_tenant.deliver(crash_at="before the commit", more=SHORT_LEASE)
    time.sleep(LEASE_SECONDS)
    assert small_tenant.deliver().error == ""
    assert small_tenant.entry().handed_over == "an earlier run in a function's own process was killed before it ended"
    assert len(small_tenant.list_jobs()) == 1


# Duplicate messages


def test_5_concurrent_deliveries_run_the_day_once(small_tenant: AwsTenant) -> None:
    event = small_tenant.make_event()
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: small_tenant.deliver(event=event), range(2)))
    assert [result.error for result in results] == ["", ""]
    assert small_tenant.entry().is_complete
    assert (small_tenant.entry().token, small_tenant.count_rows()) == (1, small_tenant.expected["records"]["written"])


def test_5_second_delivery_submits_no_second_job(large_tenant: AwsTenant) -> None:
    for _ in range(2):
        assert large_tenant.deliver().result == {"batchItemFailures": []}
    assert len(large_tenant.list_jobs()) == 1


# Failing services


def test_8_throttled_ledger_is_retried(small_tenant: AwsTenant) -> None:
    small_tenant.aws.inject_faults(Fault(kind="throttled", pattern="dynamodb:PutItem", times=2))
    assert small_tenant.deliver().error == ""
    assert small_tenant.entry().is_complete


def test_8_unavailable_ledger_prevents_publication(small_tenant: AwsTenant) -> None:
    small_tenant.aws.inject_faults(Fault(kind="unavailable", pattern="dynamodb:"))
    failed = small_tenant.deliver()
    assert failed.error == "RetryableError"
    assert "the DynamoDB table" in failed.message
    assert small_tenant.list_published_objects() == []
    small_tenant.aws.inject_faults()
    assert small_tenant.deliver().error == ""


def test_18_denied_output_fails_the_day_permanently(small_tenant: AwsTenant) -> None:
    small_tenant.aws.inject_faults(Fault(kind="denied", pattern="s3:PutObject"))
    event = small_tenant.make_event()
    failed = small_tenant.deliver(event=event)
    assert failed.error == "TerminalError"
    assert "access is denied" in str(small_tenant.entry().error)
    assert small_tenant.deliver(event=event).error == ""  # the second delivery gives the day up
    assert small_tenant.entry().attempts == 1


def test_6_retry_after_a_lost_submission_response_reuses_the_job(large_tenant: AwsTenant) -> None:
    large_tenant.aws.inject_faults(Fault(kind="lost", pattern="emr-serverless:StartJobRun", times=1))
    assert large_tenant.deliver().error == ""
    (job,) = large_tenant.list_jobs()
    assert large_tenant.entry().job_id == job["id"]


def test_throttled_submission_is_retried(large_tenant: AwsTenant) -> None:
    large_tenant.aws.inject_faults(Fault(kind="throttled", pattern="emr-serverless:StartJobRun", times=2))
    assert large_tenant.deliver().error == ""
    assert len(large_tenant.list_jobs()) == 1


def test_exceeded_quota_is_named_and_the_message_retried(large_tenant: AwsTenant) -> None:
    large_tenant.aws.inject_faults(Fault(kind="quota", pattern="emr-serverless:StartJobRun"))
    event = large_tenant.make_event()
    failed = large_tenant.deliver(event=event)
    assert failed.error == "RetryableError"
    assert "L-D05C8A75" in failed.message
    large_tenant.aws.inject_faults()
    assert large_tenant.deliver(event=event).error == ""
    assert len(large_tenant.list_jobs()) == 1


# Failing jobs, and lost, duplicate and unordered events


def test_job_without_capacity_is_requeued_and_the_quota_named(large_tenant: AwsTenant) -> None:
    large_tenant.submit(Outcome(state="FAILED", details="Worker could not be allocated: the vCPU limit is reached"))
    large_tenant.wait_for("FAILED")
    (result,) = large_tenant.stack.deliver(large_tenant.find_event("FAILED"))
    assert (result.error, result.result) == ("", {"settled": 1})
    assert "L-D05C8A75" in str(large_tenant.entry().error)
    assert large_tenant.receive_messages() == [{"tenant": large_tenant.name, "date": DAY.isoformat(), "force": False}]


def test_failed_spark_job_is_requeued_and_its_error_quotes_no_content(large_tenant: AwsTenant) -> None:
    large_tenant.submit(
        Outcome(state="FAILED", details="ExitCode: 1. Caused by: SparkException: could not read 'Hello Bob'")
    )
    large_tenant.wait_for("FAILED")
    large_tenant.stack.deliver(large_tenant.find_event("FAILED"))
    assert "Exit status 1, SparkException" in str(large_tenant.entry().error)
    assert "Bob" not in str(large_tenant.entry().error)
    assert len(large_tenant.receive_messages()) == 1


def test_cancelled_job_is_not_requeued(large_tenant: AwsTenant) -> None:
    job_id = large_tenant.submit(Outcome(state="RUNNING"))
    application = large_tenant.stack.deployment.application.id
    large_tenant.aws.client("emr-serverless").cancel_job_run(applicationId=application, jobRunId=job_id)
    large_tenant.wait_for("CANCELLED")
    large_tenant.stack.deliver(large_tenant.find_event("CANCELLED"))
    assert (large_tenant.entry().status, large_tenant.entry().retryable) == ("FAILED", False)
    assert large_tenant.receive_messages() == []


def test_job_stuck_in_scheduled_is_cancelled_and_requeued(large_tenant: AwsTenant) -> None:
    large_tenant.submit(Outcome(state="SCHEDULED", details="ApplicationMaxCapacityExceededException: [memory: 48 GB]"))
    large_tenant.wait_for("SCHEDULED")
    large_tenant.reconcile()
    assert large_tenant.entry().status == "SUBMITTED"
    large_tenant.aws.age_jobs(hours=2)
    large_tenant.reconcile()
    large_tenant.wait_for("CANCELLED")
    large_tenant.reconcile()
    entry = large_tenant.entry()
    assert (entry.status, entry.retryable) == ("FAILED", True)
    assert "had waited 60 minutes for workers" in str(entry.error)
    assert "L-D05C8A75" in str(entry.error)
    assert len(large_tenant.receive_messages()) == 1


def test_19_reconciliation_settles_a_job_whose_event_was_lost(large_tenant: AwsTenant) -> None:
    large_tenant.submit(Outcome(state="FAILED", details="ExitCode: 3"))
    large_tenant.wait_for("FAILED")
    summary = large_tenant.reconcile().result
    assert large_tenant.entry().status == "FAILED"
    assert summary["tenants"] >= 1
    assert large_tenant.receive_messages() == []  # a permanent failure


def test_duplicate_and_out_of_order_events_change_nothing(large_tenant: AwsTenant) -> None:
    large_tenant.submit(Outcome(state="FAILED", details="ExitCode: 3"))
    large_tenant.wait_for("FAILED")
    failed = large_tenant.find_event("FAILED")
    assert [result.result for result in large_tenant.stack.deliver(failed)] == [{"settled": 1}]
    before = large_tenant.entry()
    assert [result.result for result in large_tenant.stack.deliver(failed)] == [{"settled": 0}]
    late = json.loads(json.dumps(failed).replace('"FAILED"', '"SUCCESS"'))
    assert [result.result for result in large_tenant.stack.deliver(late)] == [{"settled": 0}]
    assert large_tenant.entry() == before
    assert large_tenant.stack.deliver(large_tenant.find_event("RUNNING")) == []  # the rule matches only final states


def test_event_of_an_unknown_job_run_is_ignored(large_tenant: AwsTenant) -> None:
    large_tenant.submit(Outcome(state="RUNNING"))
    event = json.loads(json.dumps(large_tenant.find_event("RUNNING")).replace('"RUNNING"', '"SUCCESS"'))
    event["detail"]["jobRunId"] = "00f1unknown"
    (result,) = large_tenant.stack.deliver(event)
    assert (result.error, result.result) == ("", {"settled": 0})
    assert large_tenant.entry().status == "SUBMITTED"
