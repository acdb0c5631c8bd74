"""Run a complete night on the local Azure: the Functions app, the bundle's Spark job, the ledger, the poison queue."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from daily_batch.domain.calendar import business_day
from tests.local_cloud.azure.application_insights import serve_ingestion
from tests.local_cloud.azure.databricks.bundle import read_bundle_job
from tests.local_cloud.azure.functions.host import FunctionsHost
from tests.local_cloud.azure.identity.managed_identity import IDENTITY, JOBS_IDENTITY, STORAGE
from tests.local_cloud.azure.local_azure import LocalAzure, serve_azure
from tests.local_cloud.azure.night import CONTAINER, JOB_KEY, AzureNight, app_settings, upload_samples
from tests.local_cloud.common.night import Night
from tests.local_cloud.common.sample_tenants import SAMPLES
from tests.support.night_scenario import SETTINGS, CompletedNight, NightScenario, find_zone_at_2_am

TASKS = "makoto-tasks"


@dataclass(frozen=True, kw_only=True)
class CompletedAzureNight(CompletedNight):
    """A completed night and its deployment."""

    azure: LocalAzure
    host: FunctionsHost


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CompletedAzureNight]:
    folder = tmp_path_factory.mktemp("night")
    zone = find_zone_at_2_am(datetime.now(UTC))
    with (
        serve_azure(folder / "azure") as azure,
        serve_ingestion() as insights,
        pytest.MonkeyPatch.context() as environment,
    ):
        # delta-rs and obstore find Azurite only by this variable.
        environment.setenv("AZURITE_BLOB_STORAGE_URL", azure.storage.blob)
        azure.create_job(read_bundle_job(JOB_KEY))
        telemetry = {"APPLICATIONINSIGHTS_CONNECTION_STRING": insights.connection_string}
        settings = app_settings(azure, zone=zone, more={**SETTINGS, **telemetry})
        host = FunctionsHost(storage=azure.storage, settings=settings, folder=folder / "app", visibility=0)
        cloud, day = AzureNight(azure, host), business_day(datetime.now(UTC), offset=-1, zone=zone)
        expected_counts = upload_samples(azure, day=day, zone=zone, folder=folder / "in")
        report = Night(cloud=cloud, day=day, tenants=list(SAMPLES), on_progress=print).run()
        yield CompletedAzureNight(
            cloud=cloud,
            day=day,
            zone=zone,
            report=report,
            expected_counts=expected_counts,
            source=folder / "in",
            root=azure.storage.url(CONTAINER),
            options={"azure_storage_use_emulator": "true"},
            read=lambda key: azure.storage.blobs().get_blob_client(CONTAINER, key).download_blob().readall(),
            list_jobs=lambda: [(run.tenant, str(run.id)) for run in azure.runs() if run.states[-1] == "SUCCESS"],
            read_lines=lambda: read_lines(folder),
            sum_metrics=insights.sums,
            count_messages=lambda: sum(count_messages(host, queue) for queue in (TASKS, f"{TASKS}-poison")),
            azure=azure,
            host=host,
        )
        host.stop()


def count_messages(host: FunctionsHost, queue: str) -> int:
    return host.queue(queue).get_queue_properties().approximate_message_count or 0


def read_lines(folder: Path) -> list[dict[str, Any]]:
    """Return the JSON lines of the app's log and of the jobs' output; spark-submit merges a driver's two streams."""
    files = [*folder.glob("app/*/log"), *folder.rglob("stdout")]
    lines = [line for file in files for line in file.read_text(errors="replace").splitlines()]
    return [json.loads(line) for line in lines if line.startswith("{")]


class TestNight(NightScenario):
    """The scenario of both clouds, on Azure."""


def test_app_starts_the_job_with_its_own_identity(night: CompletedAzureNight) -> None:
    assert {call["caller"] for call in night.azure.calls()} == {IDENTITY}


def test_app_and_job_access_storage_by_identity_without_a_key(night: CompletedAzureNight) -> None:
    azure = night.azure
    requested = {(each["resource"].rstrip("/"), each["client_id"]) for each in azure.identity.requests}
    assert {(STORAGE, IDENTITY), (STORAGE, JOBS_IDENTITY)} <= requested
    environments = [azure.environment(), azure.workspace.api.program.environment]
    assert not any("AccountKey" in each["AZURE_STORAGE_CONNECTION_STRING"] for each in environments)


def test_duplicate_message_publishes_nothing(night: CompletedAzureNight) -> None:
    before = night.entry("small")
    queue = night.host.queue(TASKS)
    queue.send_message(json.dumps({"tenant": "small", "date": night.day.isoformat()}))
    assert night.host.deliver("worker", queue)
    assert count_messages(night.host, TASKS) == 0
    assert night.entry("small")["receipt"] == before["receipt"]


def test_repeatedly_failing_message_moves_to_the_poison_queue(night: CompletedAzureNight) -> None:
    queue, poison = night.host.queue(TASKS), night.host.queue(f"{TASKS}-poison")
    queue.send_message(json.dumps({"tenant": "../other", "date": night.day.isoformat()}))
    assert [night.host.deliver("worker", queue) for _ in range(4)] == [True, True, True, False]
    assert count_messages(night.host, f"{TASKS}-poison") == 1
    assert night.host.deliver("poison", poison)
    assert count_messages(night.host, f"{TASKS}-poison") == 0


def test_http_start_queues_a_day_and_refuses_an_invalid_request(night: CompletedAzureNight) -> None:
    accepted = night.host.post("start", json.dumps({"tenants": ["small"], "date": night.day.isoformat()}))
    assert (accepted.status, accepted.queued) == (202, 1)
    assert night.host.deliver("worker", night.host.queue(TASKS))
    refused = night.host.post("start", "[]")
    assert (refused.status, refused.queued) == (400, 0)
