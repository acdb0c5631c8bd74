"""Inject faults of Databricks and the ledger, and let runs fail: the Functions app on the local Azure.

Runs are simulated; the nights and the Spark runner's tests check what they do.
"""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.config import Config

from daily_batch.ledger import Entry, Ledger
from daily_batch.synthetic import FaultRates
from tests.local_cloud.azure.databricks.bundle import read_bundle_job
from tests.local_cloud.azure.databricks.job_runs import JobRun, RunOutcome
from tests.local_cloud.azure.functions.host import APP, CallResult, FunctionsHost
from tests.local_cloud.azure.local_azure import LocalAzure, serve_azure
from tests.local_cloud.azure.night import JOB_KEY, app_settings, open_store, upload_samples
from tests.local_cloud.common.faults import Fault
from tests.local_cloud.common.sample_tenants import Sample
from tests.support.failing_proxy import Rule, failing_proxy

# Recent, because the watcher checks the last days, and past in every time zone.
DAY = (datetime.now(UTC) - timedelta(days=2)).date()
SETTINGS = {"MAKOTO_RUNNER": "spark", "MAKOTO_LOOK_BACK": "0", "MAKOTO_LEASE_SECONDS": "30"}
TASKS = "makoto-tasks"
LEASE_SECONDS = 1.2
# The app in processes that CRASH_AT can kill.
CRASHING_APP = """
from tests.support.crash_points import crash_if_requested
crash_if_requested()
from azure_trigger.function_app import app
"""


@dataclass(frozen=True, kw_only=True)
class Tenant:
    """A tenant whose days go to Databricks, where runs stay RUNNING unless a test changes it."""

    azure: LocalAzure
    host: FunctionsHost
    name: str

    def deliver(self) -> CallResult:
        """Deliver the day's message once to the worker."""
        results: list[CallResult] = []
        self.host.on_message = lambda _, result: results.append(result)
        queue = self.host.queue(TASKS)
        queue.clear_messages()
        queue.send_message(json.dumps({"tenant": self.name, "date": DAY.isoformat()}))
        assert self.host.deliver("worker", queue)
        queue.clear_messages()
        return results[0]

    def submit(self, outcome: RunOutcome) -> JobRun:
        """Deliver the message and return the day's run in the simulated state."""
        self.azure.simulate(**{self.name: outcome})
        assert self.deliver().error is None
        (run,) = self.runs()
        wait_until(lambda: run.states[-1] == outcome.state)
        return run

    def reconcile(self) -> list[dict[str, Any]]:
        """Fire the watcher's timer and return the tenant's messages that it queued."""
        queue = self.host.queue(TASKS)
        queue.clear_messages()
        assert self.host.call_timer("watch").error is None
        bodies = [json.loads(message.content) for message in queue.receive_messages(max_messages=32)]
        return [body for body in bodies if body["tenant"] == self.name]

    def entry(self) -> Entry:
        ledger = Ledger(store=open_store(self.azure), clock=lambda: datetime.now(UTC))
        entry = ledger.find(self.name, DAY)
        assert entry is not None
        return entry

    def runs(self) -> list[JobRun]:
        return [run for run in self.azure.runs() if run.tenant == self.name]

    @property
    def retry_messages(self) -> list[dict[str, Any]]:
        """The messages that request the day again: one."""
        return [{"tenant": self.name, "date": DAY.isoformat(), "force": False}]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LocalAzure, FunctionsHost]]:
    folder = tmp_path_factory.mktemp("azure")
    with serve_azure(folder) as azure:
        settings = app_settings(azure, zone="Asia/Tokyo", more=SETTINGS)
        host = FunctionsHost(storage=azure.storage, settings=settings, folder=folder / "app", visibility=0)
        yield azure, host
        host.stop()


@pytest.fixture
def tenant(app: tuple[LocalAzure, FunctionsHost], tmp_path: Path) -> Tenant:
    azure, host = app
    name = f"t-{uuid.uuid4().hex[:8]}"
    # The generator's faults depend on the tenant's name, which is new in each test.
    clean = Sample(messages=3, rates=FaultRates.none())
    upload_samples(azure, day=DAY, zone="Asia/Tokyo", folder=tmp_path, samples={name: clean})
    azure.workspace.api.jobs.clear()
    azure.create_job(read_bundle_job(JOB_KEY, variables={"max_concurrent_runs": 100}))
    azure.inject_faults()
    azure.simulate(everyone=RunOutcome(state="RUNNING"))
    return Tenant(azure=azure, host=host, name=name)


@pytest.fixture
def new_worker(app: tuple[LocalAzure, FunctionsHost], tenant: Tenant, tmp_path: Path) -> Callable[..., CallResult]:
    """Return a function that delivers the day's message to a new worker, which is killed at a named step."""
    azure, _ = app
    crashing_app = tmp_path / "crashing-app"
    crashing_app.mkdir()
    (crashing_app / "host.json").write_bytes((APP / "host.json").read_bytes())
    (crashing_app / "function_app.py").write_text(CRASHING_APP)

    def deliver(crash_at: str, **more: str) -> CallResult:
        variables = SETTINGS | {"MAKOTO_LEASE_SECONDS": "1", "CRASH_AT": crash_at} | more
        settings = app_settings(azure, zone="Asia/Tokyo", more=variables)
        host = FunctionsHost(storage=azure.storage, settings=settings, folder=tmp_path / "app", app=crashing_app)
        try:
            return replace(tenant, host=host).deliver()
        finally:
            host.stop()

    return deliver


def test_1_2_retry_after_a_crash_past_the_commit_publishes_once(
    tenant: Tenant, new_worker: Callable[..., CallResult]
) -> None:
    assert new_worker("after the commit", MAKOTO_RUNNER="local").error == "the process ended"
    assert tenant.entry().status == "RUNNING"
    time.sleep(LEASE_SECONDS)
    assert new_worker("", MAKOTO_RUNNER="local").error is None
    assert (tenant.entry().is_complete, tenant.entry().message_count, tenant.runs()) == (True, 3, [])


@pytest.mark.parametrize("step", ["before the submission", "after the submission"])
def test_6_retry_after_a_crash_around_submission_uses_one_run(
    tenant: Tenant, new_worker: Callable[..., CallResult], step: str
) -> None:
    assert new_worker(step).error == "the process ended"
    time.sleep(LEASE_SECONDS)
    assert tenant.deliver().error is None
    (run,) = tenant.runs()
    assert (tenant.entry().status, tenant.entry().job_id) == ("SUBMITTED", str(run.id))


def test_retry_after_a_lost_submission_response_reuses_the_run(tenant: Tenant) -> None:
    tenant.azure.inject_faults(Fault(kind="lost", pattern="run-now", times=1))
    assert tenant.deliver().error is None
    (run,) = tenant.runs()
    assert (tenant.entry().status, tenant.entry().job_id) == ("SUBMITTED", str(run.id))


@pytest.mark.parametrize("kind", ["throttled", "unavailable"])
def test_failing_submission_is_retried(tenant: Tenant, kind: Any) -> None:
    tenant.azure.inject_faults(Fault(kind=kind, pattern="run-now", times=1))
    assert tenant.deliver().error is None
    assert len(tenant.runs()) == 1


def test_submitted_day_is_not_submitted_again(tenant: Tenant) -> None:
    assert [tenant.deliver().error for _ in range(2)] == [None, None]
    assert len(tenant.runs()) == 1


def test_missing_job_fails_the_day_with_a_next_step(tenant: Tenant) -> None:
    tenant.azure.workspace.api.jobs.clear()
    assert "deploy the bundle" in str(tenant.deliver().error)
    assert tenant.entry().status == "FAILED"


def test_denied_submission_names_the_missing_permission(tenant: Tenant) -> None:
    tenant.azure.inject_faults(Fault(kind="denied", pattern="run-now"))
    assert "allow this identity to run the job" in str(tenant.deliver().error)
    assert tenant.runs() == []


def test_next_poll_settles_a_run_after_a_failed_poll(tenant: Tenant) -> None:
    tenant.submit(RunOutcome(state="FAILED", error="SystemExit: 1"))
    tenant.azure.inject_faults(Fault(kind="denied", pattern="runs/get"))
    assert tenant.reconcile() == []
    assert tenant.entry().status == "SUBMITTED"
    tenant.azure.inject_faults()
    assert tenant.reconcile() == tenant.retry_messages
    assert tenant.reconcile() == []


@pytest.mark.parametrize(
    "outcome",
    [
        RunOutcome(state="FAILED", error="SystemExit: 1"),
        RunOutcome(state="INTERNAL_ERROR"),
        RunOutcome(state="INTERNAL_ERROR", code="CLOUD_FAILURE"),
        RunOutcome(state="TIMEDOUT"),
        RunOutcome(state="SKIPPED"),
    ],
    ids=lambda outcome: outcome.code or outcome.state,
)
def test_retryable_failure_of_a_run_is_requeued(tenant: Tenant, outcome: RunOutcome) -> None:
    tenant.submit(outcome)
    assert tenant.reconcile() == tenant.retry_messages
    assert (tenant.entry().status, tenant.entry().retryable) == ("FAILED", True)


@pytest.mark.parametrize(
    "outcome",
    [RunOutcome(state="FAILED", error="SystemExit: 3"), RunOutcome(state="CANCELED")],
    ids=lambda each: each.state,
)
def test_permanent_failure_or_cancellation_is_not_requeued(tenant: Tenant, outcome: RunOutcome) -> None:
    tenant.submit(outcome)
    assert tenant.reconcile() == []
    assert (tenant.entry().status, tenant.entry().retryable) == ("FAILED", False)


def test_error_of_a_failed_run_quotes_no_content(tenant: Tenant) -> None:
    tenant.submit(RunOutcome(state="FAILED", details="could not read 'Hello Bob'", error="ValueError: 'Hello Bob'"))
    tenant.reconcile()
    assert "RUN_EXECUTION_ERROR" in str(tenant.entry().error)
    assert "Bob" not in str(tenant.entry().error)


def test_deleted_run_is_requeued(tenant: Tenant) -> None:
    run = tenant.submit(RunOutcome(state="SUCCESS"))
    token = tenant.azure.workspace.admit("operator")
    WorkspaceClient(config=Config(host=tenant.azure.host, token=token, auth_type="pat")).jobs.delete_run(run.id)
    assert tenant.reconcile() == tenant.retry_messages
    assert tenant.entry().status == "FAILED"


def test_run_stuck_in_pending_is_cancelled_and_requeued(tenant: Tenant) -> None:
    run = tenant.submit(RunOutcome(state="PENDING"))
    assert tenant.reconcile() == []
    tenant.azure.age_runs(hours=2)
    assert tenant.reconcile() == []
    wait_until(lambda: run.states[-1] == "CANCELED")
    assert tenant.reconcile() == tenant.retry_messages
    assert "had waited 60 minutes" in str(tenant.entry().error)


def test_run_in_the_jobs_queue_is_not_cancelled(tenant: Tenant) -> None:
    tenant.submit(RunOutcome(state="QUEUED"))
    tenant.azure.age_runs(hours=2)
    tenant.reconcile()
    assert tenant.entry().status == "SUBMITTED"
    assert tenant.runs()[0].states[-1] == "QUEUED"


def test_expired_token_is_renewed(tenant: Tenant) -> None:
    tenant.submit(RunOutcome(state="SKIPPED"))
    tenant.azure.expire_tokens()
    assert tenant.reconcile() == tenant.retry_messages


def test_intermittent_ledger_failures_only_delay_the_day(
    app: tuple[LocalAzure, FunctionsHost], tenant: Tenant, tmp_path: Path
) -> None:
    azure, _ = app
    assert azure.cosmos is not None
    rules = (Rule("throttled", "/docs", every=3), Rule("unavailable", "/docs", every=4))
    with failing_proxy(azure.cosmos.endpoint, *rules) as endpoint:
        settings = app_settings(azure, zone="Asia/Tokyo", more=SETTINGS | {"COSMOS_ENDPOINT": endpoint})
        host = FunctionsHost(storage=azure.storage, settings=settings, folder=tmp_path / "app", visibility=0)
        behind_proxy = replace(tenant, host=host)
        try:
            behind_proxy.submit(RunOutcome(state="INTERNAL_ERROR"))
            assert behind_proxy.reconcile() == tenant.retry_messages
        finally:
            host.stop()
    assert (tenant.entry().status, tenant.entry().retryable, len(tenant.runs())) == ("FAILED", True, 1)
