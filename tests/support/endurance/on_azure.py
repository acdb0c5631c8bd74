"""Run a month on the local Azure, with the app's own settings and the bundle's job."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from daily_batch.metadata.keys import TENANT, TENANTS
from tests.local_cloud.azure.application_insights import Ingestion, serve_ingestion
from tests.local_cloud.azure.databricks.bundle import read_bundle_job
from tests.local_cloud.azure.functions.host import APP, CallResult, FunctionsHost
from tests.local_cloud.azure.local_azure import LocalAzure, serve_azure
from tests.local_cloud.azure.night import CONTAINER, JOB_KEY, AzureNight, app_settings
from tests.local_cloud.common.clock import Clock
from tests.local_cloud.common.faults import Fault
from tests.support.endurance.month import Month, TenantDay, plan_crashes
from tests.support.endurance.trust import write_trust_store
from tests.support.operations.alarm_definitions import find_firing, read_azure_alarms
from tests.support.operations.insights_tables import Row, make_row

NAME = "makoto-daily-batch"
TASKS = "makoto-tasks"
ENDED = ("SUCCESS", "FAILED", "TIMEDOUT", "CANCELED", "INTERNAL_ERROR", "SKIPPED")
CRASHING_APP = "from tests.support.endurance.azure_app import app\n"


@dataclass
class AzureMonth:
    """Implement `EnduranceCloud` on Azure."""

    azure: LocalAzure
    host: FunctionsHost
    ingestion: Ingestion
    crashes: Path
    rows: dict[str, list[Row]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.night = AzureNight(self.azure, self.host)
        self.alarms = read_azure_alarms()
        self.host.on_call = self._record_call

    @property
    def root(self) -> str:
        return self.azure.storage.url(CONTAINER)

    @property
    def options(self) -> dict[str, str]:
        return {"azure_storage_use_emulator": "true"}

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables for commands that read the tables and the ledger."""
        return dict(self.host.settings)

    def put(self, objects: Mapping[str, bytes]) -> None:
        client = self.azure.storage.blobs().get_container_client(CONTAINER)
        for key, body in objects.items():
            client.upload_blob(key, body, overwrite=True)

    def delete(self, keys: Sequence[str]) -> None:
        client = self.azure.storage.blobs().get_container_client(CONTAINER)
        for key in keys:
            client.delete_blob(key)

    def read(self, key: str) -> bytes:
        return self.azure.storage.blobs().get_container_client(CONTAINER).download_blob(key).readall()

    def start_night(self, faulty_days: Sequence[TenantDay]) -> None:
        kinds = {each.fault for each in faulty_days}
        self.rows.clear()
        plan_crashes(self.crashes, faulty_days)
        faults = [Fault(kind="throttled", pattern="jobs/", every=3)] if "throttled" in kinds else []
        if "surge" in kinds:
            faults.append(Fault(kind="lost", pattern="run-now", times=1))
        self.azure.inject_faults(*faults)

    def fire_schedule(self) -> int:
        return self.night.fire_schedule()

    @contextmanager
    def consume_queue(self) -> Iterator[object]:
        self.host.start()
        try:
            yield self.host
        finally:
            self.host.pause()

    def deploy_update(self) -> None:
        """Change the settings of new instances; running calls finish."""
        self.host.settings = {**self.host.settings, "MAKOTO_TARGET_FILE_BYTES": "1000000"}
        self.host.recycle()

    def poll(self) -> bool:
        all_ended = all(run.states[-1] in ENDED for run in self.azure.runs())
        return all_ended and not self.host.in_flight and not self.host.queue(TASKS).peek_messages()

    def has_delayed_messages(self) -> bool:
        count = self.host.queue(TASKS).get_queue_properties().approximate_message_count
        return bool(count)

    def release_messages(self) -> None:
        """Make failed messages visible, because the queue uses the machine's clock."""
        self.host.release_failed()

    def reconcile(self) -> Mapping[str, Any]:
        return self.night.reconcile()

    def find_firing_alarms(self, now: datetime) -> set[str]:
        return find_firing(self.alarms, self.rows, now=now)

    def entry(self, tenant: str, day: date) -> Mapping[str, Any]:
        return self.night.ledger_item(tenant, day)

    def _record_call(self, name: str, result: CallResult) -> None:
        """Record the rows of a call: its request, a trace of each log line, and the exported metrics."""
        now = datetime.now(UTC)
        self._row("requests", name=name, success=result.error is None, duration=result.seconds, operation_Name=name)
        if result.error is not None:
            self._row("exceptions", type="Exception", operation_Name=name)
        for line in result.lines:
            level = {"ERROR": 3, "WARNING": 2}.get(str(line.get("level")), 1)
            self._row("traces", message=json.dumps(line), severityLevel=level, operation_Name=name)
        metrics = self.ingestion.rows()
        self.ingestion.requests.clear()
        self.rows.setdefault("customMetrics", []).extend(make_row(each, now) for each in metrics)

    def _row(self, table: str, **values: Any) -> None:
        row = {"timestamp": datetime.now(UTC), "cloud_RoleName": NAME, **values}
        self.rows.setdefault(table, []).append(row)


@contextmanager
def serve_month(month: Month, *, clock: Clock, folder: Path) -> Iterator[AzureMonth]:
    """Deploy to the cloud, and register the month's tenants."""
    crashes, app = folder / "crashes", folder / "crashing"
    for each in (crashes, app):
        each.mkdir(parents=True)
    (app / "host.json").write_bytes((APP / "host.json").read_bytes())
    (app / "function_app.py").write_text(CRASHING_APP)
    with (
        pytest.MonkeyPatch.context() as environment,
        serve_azure(folder / "azure") as azure,
        serve_ingestion() as ingestion,
    ):
        # delta-rs finds Azurite only by this variable.
        environment.setenv("AZURITE_BLOB_STORAGE_URL", azure.storage.blob)
        azure.create_job(read_bundle_job(JOB_KEY))
        azure.storage.blobs().create_container(CONTAINER)
        more = {
            **clock.environment,
            **month.settings,
            **write_trust_store(folder),
            "CRASHES": str(crashes),
            "MAKOTO_LOOK_BACK": "1",
            "MAKOTO_DRIFT_MINUTES": "10",
            "APPLICATIONINSIGHTS_CONNECTION_STRING": ingestion.connection_string,
            "WEBSITE_CLOUD_ROLENAME": NAME,
        }
        settings = app_settings(azure, zone=month.zone, more=more)
        host = FunctionsHost(
            storage=azure.storage,
            settings=settings,
            folder=folder / "app",
            app=app,
            concurrency=2,
        )
        deployed = AzureMonth(azure=azure, host=host, ingestion=ingestion, crashes=crashes)
        for tenant in month.tenants:
            deployed.night.store.put({"PK": TENANTS, "SK": f"{TENANT}{tenant}", "tenant_id": tenant}, expected=None)
        yield deployed
        host.stop()
