"""The Databricks emulator, accessed by the SDK: tokens, refusals, states, queue, limits and faults."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.config import Config
from databricks.sdk.errors import (
    DatabricksError,
    InvalidParameterValue,
    PermissionDenied,
    ResourceDoesNotExist,
    Unauthenticated,
)

from daily_batch.orchestration.spark_jobs.databricks import parse_status
from tests.local_cloud.azure.databricks.job_runs import RunOutcome
from tests.local_cloud.azure.databricks.jobs_api import JobsApi
from tests.local_cloud.azure.databricks.spark_submit import SparkSubmitProgram, read_arguments
from tests.local_cloud.azure.databricks.workspace import Workspace, serve_workspace
from tests.local_cloud.azure.local_azure import LocalAzure
from tests.local_cloud.common.faults import Fault
from tests.support.local_cloud.databricks_client import JOB, PARAMETERS, connect, read_end, run_now, wait_for_state


@pytest.fixture(scope="module")
def workspace_only(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAzure]:
    """Return a local Azure that has only a workspace."""
    folder = tmp_path_factory.mktemp("databricks")
    workspace = Workspace(api=JobsApi(program=SparkSubmitProgram(folder=folder, environment={})))
    with serve_workspace(workspace) as host:
        no_storage: Any = None
        yield LocalAzure(
            storage=no_storage,
            gateway="",
            identity_environment={},
            cosmos=None,
            host=host,
            folder=folder,
            workspace=workspace,
        )


@pytest.fixture
def azure(workspace_only: LocalAzure) -> LocalAzure:
    """Return the local Azure without jobs and faults, and with all runs simulated as successful."""
    workspace_only.workspace.api.jobs.clear()
    workspace_only.workspace.api.runs.clear()
    workspace_only.workspace.calls.clear()
    workspace_only.inject_faults()
    workspace_only.simulate(everyone=RunOutcome())
    return workspace_only


@pytest.fixture
def client(azure: LocalAzure) -> WorkspaceClient:
    return connect(azure)


def test_job_is_found_by_name_and_by_id(azure: LocalAzure, client: WorkspaceClient) -> None:
    job = azure.create_job(JOB)
    azure.create_job(JOB | {"name": "another"})
    assert [each.job_id for each in client.jobs.list(name="makoto-daily-messages")] == [job]
    assert list(client.jobs.list(name="missing")) == []
    settings = client.jobs.get(job).settings
    assert settings is not None and settings.tasks is not None
    assert settings.as_dict() == JOB


def test_listing_returns_all_pages_of_jobs(azure: LocalAzure, client: WorkspaceClient) -> None:
    jobs = [azure.create_job(JOB) for _ in range(45)]
    assert [each.job_id for each in client.jobs.list()] == jobs[::-1]


def test_successful_run_reports_states_and_parameters(azure: LocalAzure, client: WorkspaceClient) -> None:
    run = run_now(client, azure.create_job(JOB))
    found = wait_for_state(client, run)
    assert read_end(found) == ("TERMINATED", "SUCCESS", "SUCCESS", "SUCCESS")
    assert azure.runs()[-1].states == ["PENDING", "RUNNING", "SUCCESS"]
    assert {each.name: each.value for each in found.job_parameters or []} == PARAMETERS
    assert found.creator_user_name == "submitter"
    assert found.run_page_url is not None and str(run) in found.run_page_url


def test_run_reports_cluster_time_and_size(azure: LocalAzure, client: WorkspaceClient) -> None:
    azure.simulate(everyone=RunOutcome(seconds=0.5))
    cluster = {"spark_version": "18.x-scala2.13", "node_type_id": "Standard_E4ds_v5", "num_workers": 2}
    clusters = {"job_clusters": [{"job_cluster_key": "spark", "new_cluster": cluster}]}
    found = wait_for_state(client, run_now(client, azure.create_job(JOB | clusters)))
    (task,) = found.tasks or []
    assert task.execution_duration is not None and found.run_duration is not None
    assert 500 <= task.execution_duration <= found.run_duration
    billed = parse_status(found).billed
    assert billed["run_hours"] == ((task.setup_duration or 0) + task.execution_duration) / 3_600_000
    assert billed["node_hours"] == pytest.approx(3 * billed["run_hours"])


def test_idempotency_token_identifies_the_run(azure: LocalAzure, client: WorkspaceClient) -> None:
    job = azure.create_job(JOB)
    first = run_now(client, job, idempotency_token="a" * 64)
    assert run_now(client, job, idempotency_token="a" * 64) == first
    assert run_now(client, job, idempotency_token="b" * 64) != first
    assert run_now(client, job) != run_now(client, job)
    with pytest.raises(InvalidParameterValue, match="64"):
        run_now(client, job, idempotency_token="a" * 65)


def test_run_is_found_by_token_after_a_lost_response(azure: LocalAzure, client: WorkspaceClient) -> None:
    job = azure.create_job(JOB)
    azure.inject_faults(Fault(kind="lost", pattern="run-now", times=1))
    found = run_now(client, job, idempotency_token=uuid.uuid4().hex)  # the SDK retries
    assert [run.id for run in azure.runs()] == [found]
    assert [call.get("fault") for call in azure.calls() if call["operation"] == "jobs/run-now"] == ["lost", None]


def test_deleted_run_is_not_found_and_its_token_is_refused(azure: LocalAzure, client: WorkspaceClient) -> None:
    job = azure.create_job(JOB)
    run = run_now(client, job, idempotency_token="once")
    wait_for_state(client, run)
    client.jobs.delete_run(run)
    with pytest.raises(ResourceDoesNotExist, match="does not exist"):
        client.jobs.get_run(run)
    with pytest.raises(InvalidParameterValue, match="deleted"):
        run_now(client, job, idempotency_token="once")


def test_active_run_cannot_be_deleted(azure: LocalAzure, client: WorkspaceClient) -> None:
    azure.simulate(acme=RunOutcome(state="RUNNING"))
    run = run_now(client, azure.create_job(JOB))
    with pytest.raises(DatabricksError, match="active"):
        client.jobs.delete_run(run)
    client.jobs.cancel_run(run)


def test_missing_job_is_reported(azure: LocalAzure, client: WorkspaceClient) -> None:
    job = azure.create_job(JOB)
    client.jobs.delete(job)
    with pytest.raises(ResourceDoesNotExist):
        client.jobs.get(job)
    with pytest.raises(InvalidParameterValue, match="does not exist"):
        run_now(client, job)


@pytest.mark.parametrize(
    ("request_members", "message"),
    [
        ({"job_parameters": {"tenant": 1}}, "text"),
        ({"job_parameters": {"unknown": "value"}}, "no parameters unknown"),
        ({"python_named_params": {"tenant": "acme"}}, "takes only job_parameters"),
    ],
)
def test_invalid_request_is_refused(
    azure: LocalAzure, client: WorkspaceClient, request_members: dict[str, Any], message: str
) -> None:
    job = azure.create_job(JOB)
    with pytest.raises(InvalidParameterValue, match=message):
        run_now(client, job, **request_members)
    assert azure.runs() == []


@pytest.mark.parametrize(
    ("outcome", "end"),
    [
        (RunOutcome(state="FAILED"), ("TERMINATED", "FAILED", "RUN_EXECUTION_ERROR", "CLIENT_ERROR")),
        (RunOutcome(state="INTERNAL_ERROR"), ("INTERNAL_ERROR", "FAILED", "INTERNAL_ERROR", "INTERNAL_ERROR")),
        (
            RunOutcome(state="INTERNAL_ERROR", code="CLOUD_FAILURE"),
            ("INTERNAL_ERROR", "FAILED", "CLOUD_FAILURE", "CLOUD_FAILURE"),
        ),
        (RunOutcome(state="TIMEDOUT"), ("TERMINATED", "TIMEDOUT", "CANCELED", "CLIENT_ERROR")),
        (
            RunOutcome(state="SKIPPED"),
            ("SKIPPED", "MAXIMUM_CONCURRENT_RUNS_REACHED", "MAX_CONCURRENT_RUNS_EXCEEDED", "CLIENT_ERROR"),
        ),
    ],
    ids=lambda value: value.code or value.state if isinstance(value, RunOutcome) else "",
)
def test_run_ends_with_the_simulated_outcome(
    azure: LocalAzure, client: WorkspaceClient, outcome: RunOutcome, end: tuple[str, ...]
) -> None:
    azure.simulate(acme=outcome)
    assert read_end(wait_for_state(client, run_now(client, azure.create_job(JOB)))) == end


def test_failed_tasks_output_contains_its_error(azure: LocalAzure, client: WorkspaceClient) -> None:
    azure.simulate(acme=RunOutcome(state="FAILED", error="SystemExit: 3"))
    found = wait_for_state(client, run_now(client, azure.create_job(JOB)))
    assert found.tasks is not None and found.tasks[0].run_id is not None
    assert found.tasks[0].run_id != found.run_id
    assert client.jobs.get_run_output(found.tasks[0].run_id).error == "SystemExit: 3"


def test_runs_above_the_limit_are_queued_or_skipped(azure: LocalAzure, client: WorkspaceClient) -> None:
    azure.simulate(acme=RunOutcome(state="RUNNING"))
    job = azure.create_job(JOB)
    first, second, third = (run_now(client, job) for _ in range(3))
    waiting = client.jobs.get_run(third)
    assert waiting.status is not None and waiting.status.queue_details is not None
    assert waiting.status.queue_details.code is not None
    assert waiting.status.queue_details.code.value == "MAX_CONCURRENT_RUNS_REACHED"
    assert read_end(wait_for_state(client, run_now(client, job, queue=None)))[0] == "SKIPPED"
    active = {run.run_id for run in client.jobs.list_runs(job_id=job, active_only=True)}
    assert active == {first, second, third}
    client.jobs.cancel_run(first)
    wait_for_state(client, third, "RUNNING")
    client.jobs.cancel_run(third)
    client.jobs.cancel_run(second)
    assert read_end(wait_for_state(client, third)) == ("TERMINATED", "CANCELED", "USER_CANCELED", "CLIENT_ERROR")
    assert azure.runs()[2].states == ["QUEUED", "PENDING", "RUNNING", "TERMINATING", "CANCELED"]


def test_waiting_run_can_be_cancelled(azure: LocalAzure, client: WorkspaceClient) -> None:
    azure.simulate(acme=RunOutcome(state="PENDING"))
    job = azure.create_job(JOB | {"max_concurrent_runs": 1})
    for run in (run_now(client, job), run_now(client, job)):
        client.jobs.cancel_run(run)
        assert read_end(wait_for_state(client, run))[1] == "CANCELED"
    client.jobs.cancel_run(run)  # a run that has ended does not change
    assert read_end(client.jobs.get_run(run))[1] == "CANCELED"


def test_run_times_out_after_its_jobs_limit(azure: LocalAzure, client: WorkspaceClient) -> None:
    azure.simulate(acme=RunOutcome(state="RUNNING"))
    found = wait_for_state(client, run_now(client, azure.create_job(JOB | {"timeout_seconds": 1})))
    assert read_end(found)[1:3] == ("TIMEDOUT", "CANCELED")


@pytest.mark.parametrize("kind", ["throttled", "unavailable"])
def test_sdk_retries_after_the_requested_delay(azure: LocalAzure, client: WorkspaceClient, kind: Any) -> None:
    job = azure.create_job(JOB)
    azure.inject_faults(Fault(kind=kind, pattern="submitter jobs/run-now", times=1))
    run_now(client, job)
    assert [call.get("fault") for call in azure.calls()] == [kind, None]
    azure.inject_faults(Fault(kind=kind))
    with pytest.raises(TimeoutError) as timed_out:
        connect(azure, retry_timeout_seconds=1).jobs.get_run(1)
    assert timed_out.value.__cause__.retry_after_secs == 1  # type: ignore[union-attr]


def test_expired_token_is_refused_and_a_new_one_is_accepted(azure: LocalAzure, client: WorkspaceClient) -> None:
    job = azure.create_job(JOB)
    azure.expire_tokens()
    with pytest.raises(PermissionDenied, match="Invalid access token"):
        run_now(client, job)
    assert run_now(connect(azure), job)


def test_request_without_token_is_refused(azure: LocalAzure) -> None:
    config = Config(host=azure.host, username="somebody", password="some", auth_type="basic")
    with pytest.raises(Unauthenticated):
        WorkspaceClient(config=config).jobs.get_run(1)


def test_job_parameters_are_pushed_down_to_named_parameters_only() -> None:
    named = {"named_parameters": {"date": "{{job.parameters.date}}", "mode": "fast"}}
    assert read_arguments(named, PARAMETERS) == ["--date=2025-08-12", "--mode=fast", "--tenant=acme", "--token=7"]
    listed = {"parameters": ["--tenant", "{{job.parameters.tenant}}", "{{job.parameters.other}}"]}
    assert read_arguments(listed, PARAMETERS) == ["--tenant", "acme", "{{job.parameters.other}}"]
