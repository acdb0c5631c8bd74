"""`makoto-batch smoke` on the local AWS: a successful run, and each thing that can be missing."""

import json
import os
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from daily_batch.cli.smoke import _read_variables
from daily_batch.orchestration import smoke as smoke_module
from makoto_packaging.environment import pack_thin
from makoto_packaging.packing import pack_folder
from tests.local_cloud.aws.emr.job_runs import Outcome
from tests.local_cloud.aws.job_package import VERSION, put_package, upload_package
from tests.local_cloud.aws.local_aws import LocalAws, serve_aws
from tests.local_cloud.aws.stack import ARTIFACTS, Stack, deploy
from tests.support.smoke_command import RunSmoke, SmokeResult, invoke_smoke, run_smoke

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("smoke_environment")]  # each test runs a Spark job
BUCKET, OTHER = "data", "other"
PYTHON = f"python3.{sys.version_info.minor}"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("smoke-aws")
    parameters = {"DataBucketName": BUCKET, "PackageVersion": VERSION}
    with serve_aws(folder / "aws") as aws, deploy(aws, parameters=parameters) as stack:
        upload_package(stack, folder)
        configuration = {"LocationConstraint": aws.region}
        aws.client("s3").create_bucket(Bucket=OTHER, CreateBucketConfiguration=configuration)
        yield stack


@pytest.fixture
def smoke(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunSmoke]:
    """Return a function that runs the command with the worker's variables and changes; check that no object remains."""
    for name, value in stack.aws.environment().items():
        monkeypatch.setenv(name, value)
    stack.aws.simulate()
    stack.aws.inject_faults()
    worker = stack.deployment.functions["WorkerFunction"].environment

    def run(*arguments: str, **changes: str) -> SmokeResult:
        return run_smoke({**worker, **changes}, tmp_path, *arguments)

    yield run
    assert [key for bucket in (BUCKET, OTHER) for key in list_keys(stack.aws, bucket) if "_smoke" in key] == []


def list_keys(aws: LocalAws, bucket: str) -> list[str]:
    return [each["Key"] for each in aws.client("s3").list_objects_v2(Bucket=bucket).get("Contents", ())]


def find_last_run(stack: Stack) -> dict[str, Any]:
    """Return the newest job run."""
    client, application = stack.aws.client("emr-serverless"), stack.deployment.application.id
    newest = client.list_job_runs(applicationId=application)["jobRuns"][0]["id"]
    run: dict[str, Any] = client.get_job_run(applicationId=application, jobRunId=newest)["jobRun"]
    return run


def upload_changed_package(stack: Stack, folder: Path, change: Callable[[Path], None]) -> str:
    """Upload a package with a changed environment and return its URL."""
    packed = pack_thin(interpreter=Path(sys.executable), out=folder / "original.tar.gz")
    with tarfile.open(packed) as archive:
        archive.extractall(folder / "environment", filter="fully_trusted")
    change(folder / "environment")
    url = f"s3://{ARTIFACTS}/emr/{folder.name}"
    put_package(stack, url, pack_folder(folder / "environment", folder / "environment.tar.gz"))
    return url


def test_smoke_reports_no_missing_permission(stack: Stack, smoke: RunSmoke) -> None:
    result = smoke("--json")
    assert result.status == 0, result.stderr
    summary = json.loads(result.stdout)
    run = find_last_run(stack)
    assert (summary["service"], summary["job_id"], summary["messages"]) == ("emr-serverless", run["jobRunId"], 2_000)
    assert run["tags"]["tenant"] == "smoke"
    assert run["executionRole"] == stack.deployment.roles["JobRole"].arn
    assert f"job {run['jobRunId']} is running" in result.stderr
    # The job's policy names its tenant, and was wide enough.
    policy = json.loads(run["executionIamPolicy"]["policy"])
    assert "/smoke/" in str(policy)
    assert [call for call in stack.aws.calls() if call["principal"].startswith("JobRole") and not call["allowed"]] == []


def test_smoke_reports_a_missing_python_in_the_image(stack: Stack, smoke: RunSmoke, tmp_path: Path) -> None:
    def change(environment: Path) -> None:
        (environment / "bin/python").unlink()
        (environment / "bin/python").symlink_to("/usr/bin/python3.99")

    result = smoke(MAKOTO_EMR_PACKAGE=upload_changed_package(stack, tmp_path, change))
    assert result.status == 3
    error = f"the image does not have the package's Python: {PYTHON} is not found"
    assert f"failed: {error}. Next step: " in result.error


def test_smoke_reports_a_different_python_in_the_image(stack: Stack, smoke: RunSmoke, tmp_path: Path) -> None:
    def change(environment: Path) -> None:
        (environment / f"lib/{PYTHON}").rename(environment / "lib/python3.99")

    result = smoke(MAKOTO_EMR_PACKAGE=upload_changed_package(stack, tmp_path, change))
    assert result.status == 3
    error = f"the image does not have the package's Python: it has {PYTHON}, and the package is for python3.99"
    assert f"failed: {error}. Next step: " in result.error


def test_smoke_reports_a_package_without_its_wheel(stack: Stack, smoke: RunSmoke, tmp_path: Path) -> None:
    def change(environment: Path) -> None:
        (environment / f"lib/{PYTHON}/site-packages/packages.pth").write_text("")

    result = smoke(MAKOTO_EMR_PACKAGE=upload_changed_package(stack, tmp_path, change))
    assert result.status == 3
    assert "failed: the package daily_batch cannot be imported. Next step: " in result.error


@pytest.mark.parametrize(
    ("setting", "error"),
    [
        ("INPUT", f"driver check failed: missing permission: read from s3://{OTHER}/_smoke/"),
        ("OUTPUT", f"driver check failed: missing permission: write to s3://{OTHER}/_smoke/"),
    ],
)
def test_smoke_reports_a_denied_prefix(smoke: RunSmoke, setting: str, error: str) -> None:
    result = smoke(**{f"MAKOTO_{setting}": f"s3://{OTHER}/"})
    assert result.status == 3
    assert error in result.error
    assert "access is denied" in result.error


def test_smoke_reports_a_missing_package_before_submitting_a_job(stack: Stack, smoke: RunSmoke) -> None:
    events = len(stack.aws.events())
    result = smoke(MAKOTO_EMR_PACKAGE=f"s3://{ARTIFACTS}/emr/none")
    assert result.status == 3
    assert f"the package is incomplete: s3://{ARTIFACTS}/emr/none/package.json does not exist" in result.error
    assert len(stack.aws.events()) == events


def test_smoke_reports_a_package_for_another_python(smoke: RunSmoke) -> None:
    result = smoke(MAKOTO_EMR_PYTHON="3.99")
    assert result.status == 3
    assert "jobs run on Python 3.99 (emr_python). Next step: set EmrPython=" in result.error


def test_smoke_cancels_a_job_that_waits_too_long_for_workers(
    stack: Stack, smoke: RunSmoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.aws.simulate(smoke=Outcome(state="SCHEDULED", details="ServiceQuotaExceeded: vCPU"))
    wait_for_job = smoke_module.wait_for_job
    monkeypatch.setattr(
        smoke_module,
        "wait_for_job",
        lambda *arguments, **options: wait_for_job(*arguments, **{**options, "seconds": 1.0}),
    )
    result = smoke()
    assert result.status == 1
    assert "was still waiting for workers after" in result.error
    assert "quota of concurrent vCPUs" in result.error
    assert "waits for workers: " in result.stderr
    assert find_last_run(stack)["state"] == "CANCELLED"


def test_interrupted_smoke_cancels_its_job(stack: Stack, smoke: RunSmoke, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.aws.simulate(smoke=Outcome(state="RUNNING"))

    def interrupt(self: Any, job_id: str) -> None:
        monkeypatch.undo()
        for name, value in stack.aws.environment().items():
            os.environ[name] = value
        raise KeyboardInterrupt

    monkeypatch.setattr("daily_batch.orchestration.spark_jobs.emr_serverless.EmrServerless.get_status", interrupt)
    result = smoke()
    assert result.status == 1
    assert "was cancelled. Next step: run the same command again." in result.error
    assert find_last_run(stack)["state"] == "CANCELLED"


def test_keep_retains_the_day_and_names_its_location(stack: Stack, smoke: RunSmoke) -> None:
    stack.aws.simulate(smoke=Outcome(state="FAILED", details="Job failed. ExitCode: 1"))
    result = smoke("--keep")
    assert result.status == 1
    (location,) = [line.removeprefix("left: ") for line in result.stderr.splitlines() if line.startswith("left: ")]
    prefix = location.removeprefix(f"s3://{BUCKET}/")
    stored = [key for key in list_keys(stack.aws, BUCKET) if key.startswith(prefix)]
    assert stored and all(key.startswith(f"{prefix}/smoke/exports/messages/2025/08/12/") for key in stored)
    for key in stored:
        stack.aws.client("s3").delete_object(Bucket=BUCKET, Key=key)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"MAKOTO_SPARK": "here"}, "there is no service that runs large days. Next step: set MAKOTO_SPARK"),
        ({"MAKOTO_EMR_JOB_ROLE_ARN": ""}, "its settings are incomplete. Next step: set MAKOTO_EMR_JOB_ROLE_ARN"),
        ({"MAKOTO_INPUT": "/Volumes/a/b/c"}, "the input is a volume, which only the workspace reaches"),
    ],
)
def test_smoke_rejects_incomplete_settings(smoke: RunSmoke, changes: dict[str, str], error: str) -> None:
    result = smoke(**changes)
    assert result.status == 2
    assert error in result.error


def test_smoke_rejects_an_invalid_variables_file(tmp_path: Path) -> None:
    (tmp_path / "worker.json").write_text('["MAKOTO_INPUT"]')
    for name in ("worker.json", "none.json"):
        result = invoke_smoke("--variables", str(tmp_path / name))
        assert result.status == 2
        assert "the worker's variables cannot be read" in result.error


def test_variables_of_both_clouds_are_read_without_secret_references(tmp_path: Path) -> None:
    settings = [{"name": "MAKOTO_OUTPUT", "value": "o", "slotSetting": False}]
    secret = {"name": "COSMOS_KEY", "value": "@Microsoft.KeyVault(SecretUri=https://x)", "slotSetting": False}
    (tmp_path / "azure.json").write_text(json.dumps([*settings, secret]))
    (tmp_path / "aws.json").write_text('{"MAKOTO_OUTPUT": "o"}')
    for name in ("azure.json", "aws.json"):
        assert _read_variables(str(tmp_path / name)) == {"MAKOTO_OUTPUT": "o"}
