"""`makoto-batch smoke` on both local clouds: a night that would go well, and each thing that would be missing."""

import json
import os
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from daily_batch.cli import app
from daily_batch.cli.smoke import _read_variables
from daily_batch.orchestration import smoke as smoke_module
from makoto_packaging.environment import pack_thin
from makoto_packaging.packing import pack_folder
from tests.local_cloud.aws.emr.job_runs import Outcome
from tests.local_cloud.aws.job_package import VERSION, put_package, upload_package
from tests.local_cloud.aws.local_aws import LocalAws, serve_aws
from tests.local_cloud.aws.stack import ARTIFACTS, Stack, deploy
from tests.local_cloud.azure.databricks.bundle import Document, read_bundle_job
from tests.local_cloud.azure.databricks.job_runs import RunOutcome
from tests.local_cloud.azure.databricks.spark_submit import SparkSubmitProgram
from tests.local_cloud.azure.local_azure import LocalAzure, serve_azure
from tests.local_cloud.azure.night import CONTAINER, JOB_KEY, app_settings
from tests.support.failing_proxy import Rule, failing_proxy

pytestmark = pytest.mark.long  # each test runs a Spark job
BUCKET, OTHER = "data", "other"
PYTHON = f"python3.{sys.version_info.minor}"
Smoke = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daily_batch.orchestration.spark_jobs.follow.POLL_SECONDS", 0.1)
    monkeypatch.setattr("daily_batch.orchestration.spark_jobs.follow.LOG_SECONDS", 2.0)
    for name in [each for each in os.environ if each.startswith(("MAKOTO_", "AWS_", "AZURE_"))]:
        monkeypatch.delenv(name)


def run_smoke(variables: Mapping[str, str], folder: Path, *more: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error."""
    file = folder / "worker.json"
    file.write_text(json.dumps(dict(variables)))
    answer = CliRunner().invoke(app, ["smoke", "--variables", str(file), *more])
    return answer.exit_code, answer.stdout, answer.stderr


def error_of(said: str) -> str:
    """The one line that says what is wrong."""
    (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
    return line


# EMR Serverless


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("smoke-aws")
    parameters = {"DataBucketName": BUCKET, "PackageVersion": VERSION}
    with serve_aws(folder / "aws") as aws, deploy(aws, parameters=parameters) as stack:
        upload_package(stack, folder)
        place = {"LocationConstraint": aws.region}
        aws.client("s3").create_bucket(Bucket=OTHER, CreateBucketConfiguration=place)
        yield stack


@pytest.fixture
def on_aws(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Smoke]:
    """Runs the command with the worker's variables, some of them changed; nothing may be left of the day."""
    for name, value in stack.aws.environment().items():
        monkeypatch.setenv(name, value)
    stack.aws.simulate()
    stack.aws.inject_faults()
    worker = stack.deployment.functions["WorkerFunction"].environment

    def smoke(*more: str, **changed: str) -> tuple[int, str, str]:
        return run_smoke({**worker, **changed}, tmp_path, *more)

    yield smoke
    assert [key for bucket in (BUCKET, OTHER) for key in keys_of(stack.aws, bucket) if "_smoke" in key] == []


def keys_of(aws: LocalAws, bucket: str) -> list[str]:
    return [each["Key"] for each in aws.client("s3").list_objects_v2(Bucket=bucket).get("Contents", ())]


def run_of(stack: Stack) -> dict[str, Any]:
    """The newest job run."""
    client, application = stack.aws.client("emr-serverless"), stack.deployment.application.id
    newest = client.list_job_runs(applicationId=application)["jobRuns"][0]["id"]
    found: dict[str, Any] = client.get_job_run(applicationId=application, jobRunId=newest)["jobRun"]
    return found


def put_changed(stack: Stack, folder: Path, change: Callable[[Path], None]) -> str:
    """Upload a package whose environment is changed; its address."""
    packed = pack_thin(interpreter=Path(sys.executable), out=folder / "whole.tar.gz")
    with tarfile.open(packed) as archive:
        archive.extractall(folder / "environment", filter="fully_trusted")
    change(folder / "environment")
    url = f"s3://{ARTIFACTS}/emr/{folder.name}"
    put_package(stack, url, pack_folder(folder / "environment", folder / "environment.tar.gz"))
    return url


def test_a_day_that_emr_serverless_runs_as_the_worker_asks_for_it_says_that_nothing_is_lacking(
    stack: Stack, on_aws: Smoke
) -> None:
    status, said, told = on_aws("--json")
    assert status == 0, told
    answer = json.loads(said)
    run = run_of(stack)
    assert (answer["service"], answer["job_id"], answer["messages"]) == ("emr-serverless", run["jobRunId"], 2_000)
    assert run["tags"]["tenant"] == "smoke"
    assert run["executionRole"] == stack.deployment.roles["JobRole"].arn
    assert f"job {run['jobRunId']} is running" in told
    # It was no more than a day of its tenant may do.
    policy = json.loads(run["executionIamPolicy"]["policy"])
    assert "/smoke/" in str(policy)
    assert [call for call in stack.aws.calls() if call["principal"].startswith("JobRole") and not call["allowed"]] == []


def test_an_image_without_the_packages_python_is_told_as_that(stack: Stack, on_aws: Smoke, tmp_path: Path) -> None:
    def change(environment: Path) -> None:
        (environment / "bin/python").unlink()
        (environment / "bin/python").symlink_to("/usr/bin/python3.99")

    status, _, told = on_aws(MAKOTO_EMR_PACKAGE=put_changed(stack, tmp_path, change))
    assert status == 3
    lacks = f"the image does not have the package's Python: {PYTHON} is not found"
    assert f"failed: {lacks}. Next step: " in error_of(told)


def test_an_image_with_another_python_than_the_packages_is_told_as_that(
    stack: Stack, on_aws: Smoke, tmp_path: Path
) -> None:
    def change(environment: Path) -> None:
        (environment / f"lib/{PYTHON}").rename(environment / "lib/python3.99")

    status, _, told = on_aws(MAKOTO_EMR_PACKAGE=put_changed(stack, tmp_path, change))
    assert status == 3
    lacks = f"the image does not have the package's Python: it has {PYTHON}, and the package is for python3.99"
    assert f"failed: {lacks}. Next step: " in error_of(told)


def test_a_package_without_its_wheel_is_told_as_that(stack: Stack, on_aws: Smoke, tmp_path: Path) -> None:
    def change(environment: Path) -> None:
        (environment / f"lib/{PYTHON}/site-packages/packages.pth").write_text("")

    status, _, told = on_aws(MAKOTO_EMR_PACKAGE=put_changed(stack, tmp_path, change))
    assert status == 3
    assert "failed: the package daily_batch cannot be imported. Next step: " in error_of(told)


@pytest.mark.parametrize(
    ("place", "lacks"),
    [
        ("INPUT", f"driver check failed: missing permission: read from s3://{OTHER}/_smoke/"),
        ("OUTPUT", f"driver check failed: missing permission: write to s3://{OTHER}/_smoke/"),
    ],
)
def test_a_prefix_that_is_denied_to_the_job_is_told_as_that(on_aws: Smoke, place: str, lacks: str) -> None:
    status, _, told = on_aws(**{f"MAKOTO_{place}": f"s3://{OTHER}/"})
    assert status == 3
    assert lacks in error_of(told)
    assert "access is denied" in error_of(told)


def test_a_package_that_is_not_there_is_told_before_any_job_is_asked_for(stack: Stack, on_aws: Smoke) -> None:
    before = len(stack.aws.events())
    status, _, told = on_aws(MAKOTO_EMR_PACKAGE=f"s3://{ARTIFACTS}/emr/none")
    assert status == 3
    assert f"the package is incomplete: s3://{ARTIFACTS}/emr/none/package.json does not exist" in error_of(told)
    assert len(stack.aws.events()) == before


def test_a_package_for_another_python_than_jobs_are_told_is_found_before_too(on_aws: Smoke) -> None:
    status, _, told = on_aws(MAKOTO_EMR_PYTHON="3.99")
    assert status == 3
    assert "jobs run on Python 3.99 (emr_python). Next step: set EmrPython=" in error_of(told)


def test_a_job_that_waits_for_workers_is_cancelled_when_a_persons_patience_ends(
    stack: Stack, on_aws: Smoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.aws.simulate(smoke=Outcome(state="SCHEDULED", details="ServiceQuotaExceeded: vCPU"))
    wait_for_job = smoke_module.wait_for_job
    monkeypatch.setattr(
        smoke_module, "wait_for_job", lambda *given, **more: wait_for_job(*given, **{**more, "seconds": 1.0})
    )
    status, _, told = on_aws()
    assert status == 1
    assert "was still waiting for workers after" in error_of(told)
    assert "quota of concurrent vCPUs" in error_of(told)
    assert "waits for workers: " in told
    assert run_of(stack)["state"] == "CANCELLED"


def test_a_person_who_stops_it_leaves_no_job_behind(
    stack: Stack, on_aws: Smoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.aws.simulate(smoke=Outcome(state="RUNNING"))

    def stop(self: Any, job_id: str) -> None:
        monkeypatch.undo()
        for name, value in stack.aws.environment().items():
            os.environ[name] = value
        raise KeyboardInterrupt

    monkeypatch.setattr("daily_batch.orchestration.spark_jobs.emr_serverless.EmrServerless.get_status", stop)
    status, _, told = on_aws()
    assert status == 1
    assert "was cancelled. Next step: run the same command again." in error_of(told)
    assert run_of(stack)["state"] == "CANCELLED"


def test_a_day_that_is_to_stay_is_named_and_stays(stack: Stack, on_aws: Smoke) -> None:
    stack.aws.simulate(smoke=Outcome(state="FAILED", details="Job failed. ExitCode: 1"))
    status, _, told = on_aws("--keep")
    assert status == 1
    (left,) = [line.removeprefix("left: ") for line in told.splitlines() if line.startswith("left: ")]
    prefix = left.removeprefix(f"s3://{BUCKET}/")
    kept = [key for key in keys_of(stack.aws, BUCKET) if key.startswith(prefix)]
    assert kept and all(key.startswith(f"{prefix}/smoke/exports/messages/2025/08/12/") for key in kept)
    for key in kept:
        stack.aws.client("s3").delete_object(Bucket=BUCKET, Key=key)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"MAKOTO_SPARK": "here"}, "there is no service that runs large days. Next step: set MAKOTO_SPARK"),
        ({"MAKOTO_EMR_JOB_ROLE_ARN": ""}, "its settings are incomplete. Next step: set MAKOTO_EMR_JOB_ROLE_ARN"),
        ({"MAKOTO_INPUT": "/Volumes/a/b/c"}, "the input is a volume, which only the workspace reaches"),
    ],
)
def test_a_worker_whose_settings_are_incomplete_is_misuse(on_aws: Smoke, changed: dict[str, str], told: str) -> None:
    status, _, said = on_aws(**changed)
    assert status == 2
    assert told in error_of(said)


def test_variables_that_nobody_understands_are_misuse(tmp_path: Path) -> None:
    (tmp_path / "worker.json").write_text('["MAKOTO_INPUT"]')
    for name in ("worker.json", "none.json"):
        answer = CliRunner().invoke(app, ["smoke", "--variables", str(tmp_path / name)])
        assert answer.exit_code == 2
        assert "the worker's variables cannot be read" in error_of(answer.stderr)


def test_the_variables_of_both_clouds_are_read_and_secrets_that_stand_elsewhere_are_none(tmp_path: Path) -> None:
    azure = [{"name": "MAKOTO_OUTPUT", "value": "o", "slotSetting": False}]
    hidden = {"name": "COSMOS_KEY", "value": "@Microsoft.KeyVault(SecretUri=https://x)", "slotSetting": False}
    (tmp_path / "azure.json").write_text(json.dumps([*azure, hidden]))
    (tmp_path / "aws.json").write_text('{"MAKOTO_OUTPUT": "o"}')
    for name in ("azure.json", "aws.json"):
        assert _read_variables(str(tmp_path / name)) == {"MAKOTO_OUTPUT": "o"}


# Databricks


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAzure]:
    with serve_azure(tmp_path_factory.mktemp("smoke-azure"), cosmos=False) as azure:
        azure.storage.blobs().create_container(CONTAINER)
        yield azure


@pytest.fixture
def azure(served: LocalAzure, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalAzure]:
    """The workspace without a job; nothing may be left of the day."""
    served.workspace.api.jobs.clear()
    served.simulate()
    for name, value in served.environment().items():
        monkeypatch.setenv(name, value)
    yield served
    assert [blob.name for blob in served.storage.blobs().get_container_client(CONTAINER).list_blobs()] == []


def smoke_on(azure: LocalAzure, folder: Path, *more: str) -> tuple[int, str, str]:
    return run_smoke(app_settings(azure, zone="Asia/Tokyo"), folder, *more)


def bundle_job(**wheel: str) -> Document:
    job = read_bundle_job(JOB_KEY)
    job["tasks"][0]["python_wheel_task"].update(wheel)
    return job


def test_a_day_that_databricks_runs_as_the_worker_asks_for_it_says_that_nothing_is_lacking(
    azure: LocalAzure, tmp_path: Path
) -> None:
    azure.create_job(bundle_job())
    status, said, told = smoke_on(azure, tmp_path)
    assert status == 0, told
    run = azure.runs()[-1]
    assert said.startswith(f"smoke test passed: job {run.id} of databricks ran a day of 2,000 messages in ")
    assert run.tenant == "smoke"
    assert json.loads(run.parameters["settings"])["look_first"] is True


def test_a_cluster_without_the_wheel_is_told_as_that(azure: LocalAzure, tmp_path: Path) -> None:
    azure.create_job(bundle_job(package_name="makoto_absent"))
    status, _, told = smoke_on(azure, tmp_path)
    assert status == 3
    assert "failed: the package makoto_absent cannot be imported. Next step: " in error_of(told)


def test_a_cluster_with_a_python_that_the_wheel_does_not_take_is_told_as_that(
    azure: LocalAzure, tmp_path: Path
) -> None:
    azure.create_job(bundle_job())
    pip = "ERROR: Package 'makoto-daily-batch' requires a different Python: 3.10.12 not in '<3.14,>=3.11'"
    azure.simulate(smoke=RunOutcome(state="FAILED", code="LIBRARY_INSTALLATION_ERROR", details=pip))
    status, _, told = smoke_on(azure, tmp_path)
    assert status == 3
    assert "failed: the image does not have the package's Python: it has 3.10.12. Next step: " in error_of(told)


def test_an_output_that_is_denied_to_the_cluster_is_told_as_that(azure: LocalAzure, tmp_path: Path) -> None:
    with failing_proxy(azure.storage.blob, Rule("denied", "^PUT .*/analytics/")) as proxy:
        own = azure.workspace.api.program
        environment = {**azure.storage.environment, "AZURITE_BLOB_STORAGE_URL": proxy}
        azure.workspace.api.program = SparkSubmitProgram(folder=tmp_path / "runs", environment=environment)
        try:
            azure.create_job(bundle_job())
            status, _, told = smoke_on(azure, tmp_path)
        finally:
            azure.workspace.api.program = own
    assert status == 3
    assert "failed: driver check failed: missing permission: write to abfss://" in error_of(told)


def test_a_job_that_was_never_deployed_is_told_before_a_day_is_laid_down(azure: LocalAzure, tmp_path: Path) -> None:
    status, _, told = smoke_on(azure, tmp_path)
    assert status == 3
    assert "there are 0 jobs named 'makoto-daily-messages', not one. Next step: deploy the bundle" in error_of(told)
