"""The Databricks submitter with the SDK's own types: requests, run states, usage and errors."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest
from azure.identity import CredentialUnavailableError
from databricks.sdk.errors import NotFound, PermissionDenied, TemporarilyUnavailable, TooManyRequests, Unauthenticated
from databricks.sdk.service.jobs import BaseJob, Run, RunOutput

from daily_batch.domain.request import Request
from daily_batch.domain.url import parse_url
from daily_batch.errors import BatchError, RetryableError, TerminalError, UsageError
from daily_batch.orchestration.spark_jobs import SparkJob
from daily_batch.orchestration.spark_jobs.databricks import Databricks, open_databricks, parse_status
from daily_batch.settings import load_settings

LAKE = "abfss://data@lake.dfs.core.windows.net"
JOB = SparkJob(
    request=Request(tenant="acme", day=date(2025, 8, 12), input=parse_url(LAKE), output=parse_url(LAKE)),
    run_id="20250812T170000Z-1a2b3c4d",
    token=3,
    settings={"timezone": "Asia/Tokyo"},
)
STARTED = datetime(2025, 8, 12, 17, 0, tzinfo=UTC)


@dataclass
class Jobs:
    """A fake of the SDK's jobs API that returns a run by its idempotency token, or raises `raises`."""

    names: dict[int, str] = field(default_factory=lambda: {7: "makoto-daily-messages"})
    raises: Exception | None = None
    requests: list[dict[str, Any]] = field(default_factory=list)
    output: str = ""

    def list(self, *, name: str) -> Any:
        return [BaseJob(job_id=number) for number, job_name in self.names.items() if job_name == name]

    def run_now(self, job_id: int, **request: Any) -> Any:
        if self.raises:
            raise self.raises
        self.requests.append({"job_id": job_id, **request})
        tokens = [each["idempotency_token"] for each in self.requests]
        return SimpleNamespace(run_id=100 + tokens.index(request["idempotency_token"]))

    def get_run(self, run_id: int) -> Run:
        if self.raises:
            raise self.raises
        return make_run("TERMINATED", "CLIENT_ERROR", "RUN_EXECUTION_ERROR")

    def get_run_output(self, run_id: int) -> RunOutput:
        return RunOutput(error=self.output)


def make_submitter(jobs: Jobs, job: str = "makoto-daily-messages") -> Databricks:
    return Databricks(client=SimpleNamespace(jobs=jobs), job=job)  # type: ignore[arg-type]


def make_run(state: str, kind: str = "", code: str = "") -> Run:
    """Return a run as the API returns it."""
    status: dict[str, Any] = {"state": state}
    if kind:
        status["termination_details"] = {"type": kind, "code": code}
    started = round(STARTED.timestamp() * 1000)
    return Run.from_dict(
        {"run_id": 1, "start_time": started, "status": status, "tasks": [{"run_id": 2, "task_key": "t"}]}
    )


def test_submission_runs_the_bundle_job_with_the_attempts_token() -> None:
    jobs = Jobs()
    assert make_submitter(jobs).submit(JOB) == make_submitter(jobs).submit(JOB) == "100"
    request = jobs.requests[0]
    assert (request["job_id"], request["idempotency_token"], request["queue"].enabled) == (7, JOB.job_token, True)
    assert len(request["idempotency_token"]) <= 64
    assert request["job_parameters"] == {
        "tenant": "acme",
        "date": "2025-08-12",
        "input": LAKE,
        "output": LAKE,
        "layout": "auto",
        "format": "delta",
        "run_id": JOB.run_id,
        "token": "3",
        "settings": '{"timezone":"Asia/Tokyo"}',
    }


def test_job_may_be_named_by_its_id() -> None:
    jobs = Jobs(names={})
    make_submitter(jobs, "42").submit(JOB)
    assert jobs.requests[0]["job_id"] == 42


@pytest.mark.parametrize("names", [{}, {1: "makoto-daily-messages", 2: "makoto-daily-messages"}])
def test_missing_or_ambiguous_job_name_is_an_error(names: dict[int, str]) -> None:
    with pytest.raises(TerminalError, match=f"there are {len(names)} jobs named 'makoto-daily-messages', not one"):
        make_submitter(Jobs(names=names)).submit(JOB)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TooManyRequests("secret"), RetryableError),
        (TemporarilyUnavailable("secret"), RetryableError),
        (TimeoutError("secret"), RetryableError),
        (Unauthenticated("secret"), RetryableError),
        (PermissionDenied("secret", error_code="403"), RetryableError),
        (PermissionDenied("secret"), TerminalError),
    ],
)
def test_error_is_classified_as_retryable_without_quoting_it(error: Exception, kind: type[BatchError]) -> None:
    with pytest.raises(kind) as raised:
        make_submitter(Jobs(raises=error)).submit(JOB)
    assert "secret" not in str(raised.value)


def test_run_that_was_deleted_is_lost() -> None:
    assert make_submitter(Jobs(raises=NotFound("no such run"))).get_status("100").state == "LOST"


@pytest.mark.parametrize(
    ("state", "counts"), [("QUEUED", False), ("BLOCKED", False), ("PENDING", True), ("WAITING", True)]
)
def test_waiting_for_machines_differs_from_waiting_in_a_queue(state: str, counts: bool) -> None:
    status = parse_status(make_run(state))
    assert (status.state, status.waiting_since) == ("WAITING", STARTED if counts else None)


@pytest.mark.parametrize("state", ["RUNNING", "TERMINATING"])
def test_run_that_is_ending_still_runs(state: str) -> None:
    assert parse_status(make_run(state)).state == "RUNNING"


@pytest.mark.parametrize(
    ("kind", "code", "state", "retryable"),
    [
        ("SUCCESS", "SUCCESS", "SUCCEEDED", True),
        ("CLIENT_ERROR", "RUN_EXECUTION_ERROR", "FAILED", True),
        ("CLOUD_FAILURE", "CLOUD_FAILURE", "FAILED", True),
        ("INTERNAL_ERROR", "INTERNAL_ERROR", "FAILED", True),
        ("CLIENT_ERROR", "SKIPPED", "FAILED", True),
        ("CLIENT_ERROR", "USER_CANCELED", "FAILED", False),
        ("CLIENT_ERROR", "UNAUTHORIZED_ERROR", "FAILED", False),
    ],
)
def test_termination_code_determines_the_final_state(kind: str, code: str, state: str, retryable: bool) -> None:
    status = parse_status(make_run("TERMINATED", kind, code))
    assert (status.state, status.retryable) == (state, retryable)


@pytest.mark.parametrize(("exit_code", "retryable"), [(1, True), (2, False), (3, False), (4, False)])
def test_only_the_exit_status_of_a_tasks_error_is_reported(exit_code: int, retryable: bool) -> None:
    status = make_submitter(Jobs(output=f"SystemExit: {exit_code}\nwhile reading 'Hello Bob'")).get_status("100")
    assert (status.state, status.retryable) == ("FAILED", retryable)
    assert f"exit status {exit_code}" in status.detail
    assert "Bob" not in status.detail


@pytest.mark.parametrize(
    ("cluster", "units"),
    [
        ({"num_workers": 3}, {"node_hours": 1.0}),
        ({"autoscale": {"min_workers": 1, "max_workers": 8}}, {"node_hours_least": 0.5, "node_hours_most": 2.25}),
        (None, {}),
    ],
)
def test_ended_run_reports_its_node_hours(cluster: dict[str, Any] | None, units: dict[str, float]) -> None:
    ended = make_run("TERMINATED", "SUCCESS", "SUCCESS").as_dict()
    ended["tasks"][0] |= {"setup_duration": 300_000, "execution_duration": 540_000, "cleanup_duration": 60_000}
    if cluster:
        ended["job_clusters"] = [{"job_cluster_key": "spark", "new_cluster": cluster}]
    assert parse_status(Run.from_dict(ended)).billed == {"run_hours": 0.25} | units
    assert parse_status(make_run("TERMINATED", "SUCCESS", "SUCCESS")).billed == {}
    assert parse_status(make_run("RUNNING")).billed == {}


def test_ended_run_reports_its_end_time() -> None:
    ended = make_run("TERMINATED", "SUCCESS", "SUCCESS").as_dict() | {
        "end_time": round(STARTED.timestamp() * 1000) + 60_000
    }
    assert parse_status(Run.from_dict(ended)).ended_at == STARTED + timedelta(minutes=1)
    assert parse_status(make_run("TERMINATED", "SUCCESS", "SUCCESS")).ended_at is None
    assert parse_status(make_run("RUNNING")).ended_at is None


def test_missing_settings_are_named() -> None:
    with pytest.raises(UsageError, match="DATABRICKS_HOST and MAKOTO_DATABRICKS_JOB"):
        open_databricks(load_settings(flags={"spark": "databricks"}, environ={}))


@pytest.fixture
def workspace() -> Iterator[str]:
    """Serve a workspace without the configuration endpoint that the SDK queries."""

    class NotFoundHandler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), NotFoundHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class SignedOut:
    """The credential of a machine without an Azure identity."""

    def __init__(self, **_: object) -> None:
        pass

    def get_token(self, *_: str) -> None:
        raise CredentialUnavailableError("secret")


def test_azure_token_is_requested_only_when_needed(workspace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("azure.identity.DefaultAzureCredential", SignedOut)
    settings = load_settings(
        flags={"spark": "databricks", "databricks_job": "7"}, environ={"DATABRICKS_HOST": workspace}
    )
    opened = open_databricks(settings)
    with pytest.raises(RetryableError, match="there is no token for Databricks") as raised:
        opened.get_status("1")
    assert "secret" not in str(raised.value)
    assert (opened.client.config.auth_type, opened.client.config.host) == ("azure-identity", workspace)
