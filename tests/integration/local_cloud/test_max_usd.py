"""The ceiling max_usd on the local AWS and a local workspace: every way to a job, refused before anything is sent."""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from daily_batch.domain.url import parse_url
from daily_batch.errors import TerminalError
from daily_batch.ledger import Entry
from daily_batch.ledger.factory import open_ledger
from daily_batch.orchestration import Task, write_task
from daily_batch.orchestration.spark_jobs import emr_serverless
from daily_batch.orchestration.worker import handle_message
from daily_batch.settings import load_settings
from daily_batch.synthetic import generate
from tests.local_cloud.aws.emr.job_runs import Outcome
from tests.local_cloud.aws.local_aws import LocalAws, serve_aws
from tests.local_cloud.azure.databricks.jobs_api import JobsApi
from tests.local_cloud.azure.databricks.spark_submit import SparkSubmitProgram
from tests.local_cloud.azure.databricks.workspace import Workspace, serve_workspace
from tests.support.command_runs import invoke
from tests.support.day_runs import DAY
from tests.support.local_cloud.emr_client import APPLICATION, ARN, ROLE, SUBMITTER_KEY, wait_for_state
from tests.support.recording_telemetry import RecordingTelemetry

ALL = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
TASK = write_task(Task(tenant="acme", date=DAY.isoformat()))
TENANT = ("--tenant", "acme", "--json")
RUN = ("run", *TENANT, "--date", str(DAY))
PLAN = ("plan", *TENANT, "--date", str(DAY))
BACKFILL = ("backfill", *TENANT, "--from", str(DAY), "--to", str(DAY))


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    folder = tmp_path_factory.mktemp("max-usd")
    generate(messages=60, layout="export", seed=1, out=folder / "in", files=1)
    with serve_aws(folder / "aws", dynamodb=False) as aws:
        s3 = aws.client("s3")
        s3.create_bucket(Bucket="data", CreateBucketConfiguration={"LocationConstraint": aws.region})
        for path in (folder / "in").rglob("*.*"):
            s3.put_object(Bucket="data", Key=str(path.relative_to(folder / "in")), Body=path.read_bytes())
        aws.register_principal("ASIAJOB", name="job", policies=[ALL], arn=ROLE)
        aws.register_principal(SUBMITTER_KEY, name="submitter", policies=[ALL])
        yield aws


@pytest.fixture
def aws(cloud: LocalAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalAws]:
    """Return a cloud with an empty application, to which this process's settings send every day."""
    application = {"applicationId": APPLICATION, "arn": ARN, "releaseLabel": "emr-spark-8.1.0", "type": "SPARK"}
    cloud.create_application({**application, "state": "STARTED", "createdAt": 0, "updatedAt": 0})
    cloud.simulate(everyone=Outcome(state="RUNNING"))
    settings = {
        "MAKOTO_INPUT": "s3://data",
        "MAKOTO_OUTPUT": "s3://data",
        "MAKOTO_LEDGER": str(tmp_path / "ledger.sqlite"),
        "MAKOTO_SPARK": "emr-serverless",
        "MAKOTO_RUNNER": "spark",
        "MAKOTO_EMR_APPLICATION_ID": APPLICATION,
        "MAKOTO_EMR_JOB_ROLE_ARN": ROLE,
        "MAKOTO_EMR_PACKAGE": "s3://data/emr",
    }
    for name, value in {**cloud.environment(), "AWS_ALLOW_HTTP": "true", **settings}.items():
        monkeypatch.setenv(name, value)
    emr_serverless.cached_client.cache_clear()  # a client of another test's cloud
    yield cloud
    emr_serverless.cached_client.cache_clear()


def count_jobs(aws: LocalAws) -> int:
    return len(aws.client("emr-serverless").list_job_runs(applicationId=APPLICATION)["jobRuns"])


def read_entry() -> Entry:
    settings = load_settings(flags={}, environ=os.environ)
    found = open_ledger(settings, parse_url(settings.output)).find("acme", DAY)
    assert found is not None
    return found


def deliver(*, sent: datetime | None = None) -> RecordingTelemetry:
    """Deliver the day's message to the worker: a new one, or one that was sent before."""
    telemetry, now = RecordingTelemetry(), datetime.now(UTC)
    handle_message(
        TASK,
        read_settings=lambda: load_settings(flags={}, environ=os.environ),
        now=now,
        sent=sent or now,
        owner="test",
        seconds=600,
        telemetry=telemetry,
    )
    return telemetry


@pytest.mark.parametrize("command", [RUN, BACKFILL], ids=["run", "backfill"])
def test_a_command_submits_no_job_above_the_ceiling(aws: LocalAws, command: tuple[str, ...]) -> None:
    before = count_jobs(aws)
    code, stdout, stderr = invoke(*command, MAKOTO_MAX_USD="0.01")
    assert code == 3
    assert "the job on emr-serverless is predicted to cost 0.0171 USD, and max_usd is 0.01" in stdout + stderr
    assert "MAKOTO_MAX_USD=1" in stdout + stderr
    assert count_jobs(aws) == before
    entry = read_entry()
    assert (entry.status, entry.retryable, entry.job_token, entry.lease_until) == ("FAILED", False, None, None)
    assert str(entry.error).startswith("the job on emr-serverless is predicted to cost")


def test_a_message_of_a_costly_day_fails_once_and_is_given_up(aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> None:
    before, sent = count_jobs(aws), datetime.now(UTC)
    monkeypatch.setenv("MAKOTO_MAX_USD", "0.01")
    with pytest.raises(TerminalError, match=r"max_usd is 0\.01"):
        deliver(sent=sent)
    assert "given up" in [message for _, message, _ in deliver(sent=sent).lines]
    assert (count_jobs(aws), read_entry().attempts) == (before, 1)


def test_a_day_is_submitted_once_its_ceiling_is_raised(aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> None:
    before = count_jobs(aws)
    monkeypatch.setenv("MAKOTO_MAX_USD", "0.01")
    with pytest.raises(TerminalError, match=r"max_usd is 0\.01"):
        deliver()
    monkeypatch.setenv("MAKOTO_MAX_USD", "1")
    assert "submitted" in [message for _, message, _ in deliver().lines]
    assert (count_jobs(aws), read_entry().status, read_entry().attempts) == (before + 1, "SUBMITTED", 2)


def test_a_retry_of_a_failed_job_is_checked_again(aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> None:
    before = count_jobs(aws)
    aws.simulate(everyone=Outcome(state="FAILED", details="ExitCode: 1"))
    deliver()
    assert count_jobs(aws) == before + 1
    wait_for_state(aws, str(read_entry().job_id), "FAILED")
    monkeypatch.setenv("MAKOTO_MAX_USD", "0.01")
    with pytest.raises(TerminalError, match=r"max_usd is 0\.01"):
        deliver()
    assert (count_jobs(aws), read_entry().status) == (before + 1, "FAILED")


def test_a_plan_shows_the_refusal_and_ends_as_the_run_would(aws: LocalAws) -> None:
    before = count_jobs(aws)
    code, stdout, stderr = invoke(*PLAN, MAKOTO_MAX_USD="0.01")
    (planned,) = json.loads(stdout)["days"]
    assert code == 3
    assert planned["job"]["usd"] == pytest.approx(planned["predicted"]["spark"]["cost_usd"])
    assert "max_usd is 0.01" in planned["job"]["refused"]
    error = json.loads(stderr.splitlines()[-1])
    assert (error["tenant"], error["date"], error["retryable"]) == ("acme", str(DAY), False)
    assert error["error"] == planned["job"]["refused"]
    code, stdout, _ = invoke(*PLAN[:3], *PLAN[4:], MAKOTO_MAX_USD="1")  # for people
    assert code == 0
    assert "job on emr-serverless: 0.01" in stdout and "max_usd 1" in stdout
    assert count_jobs(aws) == before


def test_a_local_run_has_no_ceiling(aws: LocalAws) -> None:
    code, stdout, _ = invoke(*PLAN, MAKOTO_MAX_USD="0.01", MAKOTO_RUNNER="local")
    assert code == 0
    assert "job" not in json.loads(stdout)["days"][0]


def test_a_databricks_job_of_unknown_cost_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generate(messages=60, layout="export", seed=1, out=tmp_path / "in", files=1)
    api = JobsApi(program=SparkSubmitProgram(folder=tmp_path, environment={}))
    with serve_workspace(Workspace(api=api)) as host:
        settings = {
            "MAKOTO_INPUT": str(tmp_path / "in"),
            "MAKOTO_OUTPUT": str(tmp_path / "out"),
            "MAKOTO_RUNNER": "spark",
            "MAKOTO_SPARK": "databricks",
            "MAKOTO_MAX_USD": "5",
            "MAKOTO_DATABRICKS_AUTH": "sdk",
            "MAKOTO_DATABRICKS_JOB": "1",
            "DATABRICKS_HOST": host,
            "DATABRICKS_TOKEN": "token",
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        code, _, stderr = invoke(*RUN)
        assert code == 3
        assert "the cost of a job on databricks is not known, and max_usd is 5" in stderr
        assert "set node_dbus, node_hour and [blob] in conf/prices.toml" in stderr
        assert (api.runs, read_entry().status) == ({}, "FAILED")
