"""The stand-in for Databricks' Jobs API, by the SDK: tokens, refusals, states, queue, limits and trouble."""

import time
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
from databricks.sdk.service.jobs import QueueSettings, Run

from daily_batch.orchestration.spark_jobs.databricks import parse_status
from tests.local_cloud.azure.databricks.job_runs import RunOutcome
from tests.local_cloud.azure.databricks.jobs_api import JobsApi
from tests.local_cloud.azure.databricks.spark_submit import SparkSubmitProgram, read_arguments
from tests.local_cloud.azure.databricks.workspace import Workspace, serve_workspace
from tests.local_cloud.azure.local_azure import LocalAzure
from tests.local_cloud.common.faults import Fault

JOB = {
    "name": "makoto-daily-messages",
    "max_concurrent_runs": 2,
    "parameters": [{"name": name, "default": ""} for name in ("tenant", "date", "token")],
    "tasks": [
        {
            "task_key": "daily",
            "python_wheel_task": {"package_name": "makoto-daily-batch", "entry_point": "makoto-daily-messages"},
        }
    ],
}
EVERYTHING = {"tenant": "acme", "date": "2025-08-12", "token": "7"}
QUEUED = QueueSettings(enabled=True)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAzure]:
    """A workspace without storage: nothing here needs any."""
    folder = tmp_path_factory.mktemp("databricks")
    workspace = Workspace(api=JobsApi(program=SparkSubmitProgram(folder=folder, environment={})))
    with serve_workspace(workspace) as host:
        nothing: Any = None
        yield LocalAzure(
            storage=nothing,
            gateway="",
            identity_environment={},
            cosmos=None,
            host=host,
            folder=folder,
            workspace=workspace,
        )


@pytest.fixture
def azure(served: LocalAzure) -> LocalAzure:
    """The workspace with no jobs, no trouble, and every run a success that nobody ran."""
    served.workspace.api.jobs.clear()
    served.workspace.api.runs.clear()
    served.workspace.calls.clear()
    served.inject_faults()
    served.simulate(everyone=RunOutcome())
    return served


@pytest.fixture
def client(azure: LocalAzure) -> WorkspaceClient:
    return connect(azure)


def connect(azure: LocalAzure, **more: Any) -> WorkspaceClient:
    token = azure.workspace.admit("submitter")
    given = {"retry_timeout_seconds": 20} | more
    return WorkspaceClient(config=Config(host=azure.host, token=token, auth_type="pat", **given))


def run_now(client: WorkspaceClient, job: int, **more: Any) -> int:
    run = client.jobs.run_now(job, **({"job_parameters": EVERYTHING, "queue": QUEUED} | more)).run_id
    assert run is not None
    return run


def state_of(run: Run) -> str:
    assert run.status is not None and run.status.state is not None
    return run.status.state.value


def wait_for(client: WorkspaceClient, run: int, *states: str) -> Run:
    deadline = time.monotonic() + 60
    while state_of(found := client.jobs.get_run(run)) not in (states or ("TERMINATED",)):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def end_of(run: Run) -> tuple[str, str, str, str]:
    """Life cycle, result, termination code and type."""
    assert run.state is not None and run.status is not None and run.status.termination_details is not None
    details = run.status.termination_details
    told = (run.state.life_cycle_state, run.state.result_state, details.code, details.type)
    return tuple(each.value if each is not None else "" for each in told)  # type: ignore[return-value]


def test_job_is_found_by_name_and_by_id(azure: LocalAzure, client: WorkspaceClient) -> None:
    job = azure.create_job(JOB)
    azure.create_job(JOB | {"name": "another"})
    assert [each.job_id for each in client.jobs.list(name="makoto-daily-messages")] == [job]
    assert list(client.jobs.list(name="nobody")) == []
    settings = client.jobs.get(job).settings
    assert settings is not None and settings.tasks is not None
    assert settings.as_dict() == JOB


def test_listing_returns_all_pages_of_jobs(azure: LocalAzure, client: WorkspaceClient) -> None:
    made = [azure.create_job(JOB) for _ in range(45)]
    assert [each.job_id for each in client.jobs.list()] == made[::-1]


def test_successful_run_reports_states_and_parameters(azure: LocalAzure, client: WorkspaceClient) -> None:
    run = run_now(client, azure.create_job(JOB))
    found = wait_for(client, run)
    assert end_of(found) == ("TERMINATED", "SUCCESS", "SUCCESS", "SUCCESS")
    assert azure.runs()[-1].states == ["PENDING", "RUNNING", "SUCCESS"]
    assert {each.name: each.value for each in found.job_parameters or []} == EVERYTHING
    assert found.creator_user_name == "submitter"
    assert found.run_page_url is not None and str(run) in found.run_page_url


def test_run_reports_cluster_time_and_size(
    azure: LocalAzure, client: WorkspaceClient
) -> None:
    azure.simulate(everyone=RunOutcome(seconds=0.5))
    cluster = {"spark_version": "18.x-scala2.13", "node_type_id": "Standard_E4ds_v5", "num_workers": 2}
    clusters = {"job_clusters": [{"job_cluster_key": "spark", "new_cluster": cluster}]}
    found = wait_for(client, run_now(client, azure.create_job(JOB | clusters)))
    (task,) = found.tasks or []
    assert task.execution_duration is not None and found.run_duration is not None
    assert 500 <= task.execution_duration <= found.run_duration
    used = parse_status(found).billed
    assert used["run_hours"] == ((task.setup_duration or 0) + task.execution_duration) / 3_600_000
    assert used["node_hours"] == pytest.approx(3 * used["run_hours"])


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
    found = run_now(client, job, idempotency_token=uuid.uuid4().hex)  # the SDK asks again
    assert [run.id for run in azure.runs()] == [found]
    assert [call.get("fault") for call in azure.calls() if call["operation"] == "jobs/run-now"] == ["lost", None]


def test_deleted_run_is_not_found_and_its_token_is_refused(
    azure: LocalAzure, client: WorkspaceClient
) -> None:
    job = azure.create_job(JOB)
    run = run_now(client, job, idempotency_token="once")
    wait_for(client, run)
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
    ("asked", "why"),
    [
        ({"job_parameters": {"tenant": 1}}, "text"),
        ({"job_parameters": {"unheard": "of"}}, "no parameters unheard"),
        ({"python_named_params": {"tenant": "acme"}}, "job_parameters alone"),
    ],
)
def test_invalid_request_is_refused(
    azure: LocalAzure, client: WorkspaceClient, asked: dict[str, Any], why: str
) -> None:
    job = azure.create_job(JOB)
    with pytest.raises(InvalidParameterValue, match=why):
        run_now(client, job, **asked)
    assert azure.runs() == []


@pytest.mark.parametrize(
    ("outcome", "told"),
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
    azure: LocalAzure, client: WorkspaceClient, outcome: RunOutcome, told: tuple[str, ...]
) -> None:
    azure.simulate(acme=outcome)
    assert end_of(wait_for(client, run_now(client, azure.create_job(JOB)))) == told


def test_failed_tasks_output_contains_its_error(azure: LocalAzure, client: WorkspaceClient) -> None:
    azure.simulate(acme=RunOutcome(state="FAILED", error="SystemExit: 3"))
    found = wait_for(client, run_now(client, azure.create_job(JOB)))
    assert found.tasks is not None and found.tasks[0].run_id is not None
    assert found.tasks[0].run_id != found.run_id
    assert client.jobs.get_run_output(found.tasks[0].run_id).error == "SystemExit: 3"


def test_runs_above_the_limit_are_queued_or_skipped(
    azure: LocalAzure, client: WorkspaceClient
) -> None:
    azure.simulate(acme=RunOutcome(state="RUNNING"))
    job = azure.create_job(JOB)
    first, second, third = (run_now(client, job) for _ in range(3))
    waiting = client.jobs.get_run(third)
    assert waiting.status is not None and waiting.status.queue_details is not None
    assert waiting.status.queue_details.code is not None
    assert waiting.status.queue_details.code.value == "MAX_CONCURRENT_RUNS_REACHED"
    assert end_of(wait_for(client, run_now(client, job, queue=None)))[0] == "SKIPPED"
    active = {run.run_id for run in client.jobs.list_runs(job_id=job, active_only=True)}
    assert active == {first, second, third}
    client.jobs.cancel_run(first)
    wait_for(client, third, "RUNNING")
    client.jobs.cancel_run(third)
    client.jobs.cancel_run(second)
    assert end_of(wait_for(client, third)) == ("TERMINATED", "CANCELED", "USER_CANCELED", "CLIENT_ERROR")
    assert azure.runs()[2].states == ["QUEUED", "PENDING", "RUNNING", "TERMINATING", "CANCELED"]


def test_waiting_run_can_be_cancelled(
    azure: LocalAzure, client: WorkspaceClient
) -> None:
    azure.simulate(acme=RunOutcome(state="PENDING"))
    job = azure.create_job(JOB | {"max_concurrent_runs": 1})
    for run in (run_now(client, job), run_now(client, job)):
        client.jobs.cancel_run(run)
        assert end_of(wait_for(client, run))[1] == "CANCELED"
    client.jobs.cancel_run(run)  # one that has ended stays as it is
    assert end_of(client.jobs.get_run(run))[1] == "CANCELED"


def test_run_times_out_after_its_jobs_limit(azure: LocalAzure, client: WorkspaceClient) -> None:
    azure.simulate(acme=RunOutcome(state="RUNNING"))
    found = wait_for(client, run_now(client, azure.create_job(JOB | {"timeout_seconds": 1})))
    assert end_of(found)[1:3] == ("TIMEDOUT", "CANCELED")


@pytest.mark.parametrize("kind", ["throttled", "unavailable"])
def test_sdk_retries_after_the_requested_delay(azure: LocalAzure, client: WorkspaceClient, kind: Any) -> None:
    job = azure.create_job(JOB)
    azure.inject_faults(Fault(kind=kind, pattern="submitter jobs/run-now", times=1))
    run_now(client, job)
    assert [call.get("fault") for call in azure.calls()] == [kind, None]
    azure.inject_faults(Fault(kind=kind))
    with pytest.raises(TimeoutError) as late:
        connect(azure, retry_timeout_seconds=1).jobs.get_run(1)
    assert late.value.__cause__.retry_after_secs == 1  # type: ignore[union-attr]


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
    assert read_arguments(named, EVERYTHING) == ["--date=2025-08-12", "--mode=fast", "--tenant=acme", "--token=7"]
    listed = {"parameters": ["--tenant", "{{job.parameters.tenant}}", "{{job.parameters.other}}"]}
    assert read_arguments(listed, EVERYTHING) == ["--tenant", "acme", "{{job.parameters.other}}"]
