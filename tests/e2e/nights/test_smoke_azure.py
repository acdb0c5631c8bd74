"""`makoto-batch smoke` on the local Azure: a successful run, and each thing that can be missing."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local_cloud.azure.databricks.bundle import Document, read_bundle_job
from tests.local_cloud.azure.databricks.job_runs import RunOutcome
from tests.local_cloud.azure.databricks.spark_submit import SparkSubmitProgram
from tests.local_cloud.azure.local_azure import LocalAzure, serve_azure
from tests.local_cloud.azure.night import CONTAINER, JOB_KEY, app_settings
from tests.support.failing_proxy import Rule, failing_proxy
from tests.support.smoke_command import SmokeResult, run_smoke

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("smoke_environment")]  # each test runs a Spark job


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAzure]:
    with serve_azure(tmp_path_factory.mktemp("smoke-azure"), cosmos=False) as azure:
        azure.storage.blobs().create_container(CONTAINER)
        yield azure


@pytest.fixture
def azure(served: LocalAzure, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalAzure]:
    """Return the cloud with a workspace without jobs; check that no object remains."""
    served.workspace.api.jobs.clear()
    served.simulate()
    for name, value in served.environment().items():
        monkeypatch.setenv(name, value)
    yield served
    assert [blob.name for blob in served.storage.blobs().get_container_client(CONTAINER).list_blobs()] == []


def run_on(azure: LocalAzure, folder: Path) -> SmokeResult:
    return run_smoke(app_settings(azure, zone="Asia/Tokyo"), folder)


def make_job(**wheel_task: str) -> Document:
    job = read_bundle_job(JOB_KEY)
    job["tasks"][0]["python_wheel_task"].update(wheel_task)
    return job


def test_smoke_reports_no_missing_permission(azure: LocalAzure, tmp_path: Path) -> None:
    azure.create_job(make_job())
    result = run_on(azure, tmp_path)
    assert result.status == 0, result.stderr
    run = azure.runs()[-1]
    assert result.stdout.startswith(f"smoke test passed: job {run.id} of databricks ran a day of 2,000 messages in ")
    assert run.tenant == "smoke"
    assert json.loads(run.parameters["settings"])["look_first"] is True


def test_smoke_reports_a_cluster_without_the_wheel(azure: LocalAzure, tmp_path: Path) -> None:
    azure.create_job(make_job(package_name="makoto_absent"))
    result = run_on(azure, tmp_path)
    assert result.status == 3
    assert "failed: the package makoto_absent cannot be imported. Next step: " in result.error


def test_smoke_reports_an_unsupported_python_on_the_cluster(azure: LocalAzure, tmp_path: Path) -> None:
    azure.create_job(make_job())
    pip = "ERROR: Package 'makoto-daily-batch' requires a different Python: 3.10.12 not in '<3.14,>=3.11'"
    azure.simulate(smoke=RunOutcome(state="FAILED", code="LIBRARY_INSTALLATION_ERROR", details=pip))
    result = run_on(azure, tmp_path)
    assert result.status == 3
    assert "failed: the image does not have the package's Python: it has 3.10.12. Next step: " in result.error


def test_smoke_reports_a_denied_output(azure: LocalAzure, tmp_path: Path) -> None:
    with failing_proxy(azure.storage.blob, Rule("denied", "^PUT .*/analytics/")) as proxy:
        program = azure.workspace.api.program
        environment = {**azure.storage.environment, "AZURITE_BLOB_STORAGE_URL": proxy}
        azure.workspace.api.program = SparkSubmitProgram(folder=tmp_path / "runs", environment=environment)
        try:
            azure.create_job(make_job())
            result = run_on(azure, tmp_path)
        finally:
            azure.workspace.api.program = program
    assert result.status == 3
    assert "failed: driver check failed: missing permission: write to abfss://" in result.error


def test_smoke_reports_a_job_that_is_not_deployed(azure: LocalAzure, tmp_path: Path) -> None:
    result = run_on(azure, tmp_path)
    assert result.status == 3
    assert "there are 0 jobs named 'makoto-daily-messages', not one. Next step: deploy the bundle" in result.error
