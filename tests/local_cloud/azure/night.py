"""What a night needs of the local Azure: the Functions app, its queue, the bundle's job, and the ledger."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from daily_batch.metadata.cosmos import CosmosStore
from daily_batch.metadata.keys import TENANT, TENANTS, day_key, days_of
from daily_batch.synthetic import Truth
from tests.local_cloud.azure.functions.host import Called, FunctionsHost
from tests.local_cloud.azure.local_azure import LocalAzure
from tests.local_cloud.azure.managed_identity import IDENTITY
from tests.local_cloud.common.night import NightFailed
from tests.local_cloud.common.sample_tenants import SAMPLES, Sample, write_samples

JOB_KEY, JOB = "daily_messages", "makoto-daily-messages"
CONTAINER = "data"


@dataclass
class AzureNight:
    """See `NightCloud`."""

    azure: LocalAzure
    host: FunctionsHost
    _seen: dict[int, int] = field(default_factory=dict)

    @cached_property
    def store(self) -> CosmosStore:
        """The metadata store."""
        return open_store(self.azure)

    def ask(self) -> int:
        """See `NightCloud.ask`."""
        due = datetime.now(UTC).isoformat(timespec="seconds")
        return _expect(self.host.call_timer("night", due=due), "the dispatcher").queued

    @contextmanager
    def working(self, *, concurrency: int, say: Callable[[str], None]) -> Iterator[object]:
        """See `NightCloud.working`."""

        def told(body: str, called: Called) -> None:
            ended = f"failed: {called.error}" if called.error is not None else "answered"
            say(f"the worker {ended} after {called.seconds:.1f} s: {body}")

        self.host.told, self.host.concurrency = told, concurrency
        self.host.start()
        try:
            yield self.host
        finally:
            self.host.stop()

    def follow(self, say: Callable[[str], None]) -> Iterator[tuple[str, str]]:
        """See `NightCloud.follow`. Nobody tells the app of its jobs: its watcher asks."""
        for run in self.azure.runs():
            known = self._seen.get(run.id, 0)
            for state in run.states[known:]:
                yield f"job {state}", f"run {run.id} is {state}"
            self._seen[run.id] = len(run.states)

    def reconcile(self) -> Mapping[str, Any]:
        """See `NightCloud.reconcile`."""
        called = _expect(self.host.call_timer("watch"), "the watcher")
        summaries = [line["summary"] for line in called.lines if "summary" in line]
        if not summaries:
            raise NightFailed("the watcher told nothing of the night")
        summary: Mapping[str, Any] = summaries[-1]
        return summary

    def look(self, tenant: str, day: date) -> Mapping[str, Any]:
        """See `NightCloud.look`."""
        found = self.store.get(days_of(tenant), day_key(day))
        return dict(found.item) if found else {}


def app_settings(azure: LocalAzure, *, zone: str, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The Functions app's settings, as a deployment sets them."""
    url = azure.url(CONTAINER)
    return {
        **azure.environment(),
        "TENANT_ID": "*",
        "BATCH_TIMEZONE": zone,
        "MAKOTO_INPUT": url,
        "MAKOTO_OUTPUT": url,
        "MAKOTO_SPARK": "databricks",
        "MAKOTO_DATABRICKS_JOB": JOB,
        "MAKOTO_DATABRICKS_CLIENT_ID": IDENTITY,
        **(more or {}),
    }


def open_store(azure: LocalAzure) -> CosmosStore:
    """The metadata store, as the app would open it."""
    assert azure.cosmos is not None, "serve_azure was told that no Cosmos DB is needed"  # noqa: S101
    return CosmosStore(azure.cosmos.endpoint, azure.cosmos.key)


def plant(
    azure: LocalAzure, *, day: date, zone: str, folder: Path, samples: Mapping[str, Sample] = SAMPLES
) -> dict[str, Truth]:
    """Upload what `write_samples` writes to the container, and name the tenants in the metadata store."""
    store = open_store(azure)
    for tenant in samples:
        store.put({"PK": TENANTS, "SK": f"{TENANT}{tenant}", "tenant_id": tenant}, expected=None)
    truths = write_samples(folder, day=day, zone=zone, samples=samples)
    for tenant in truths:
        azure.storage.upload(folder / tenant, container=CONTAINER, prefix=f"{tenant}/")
    return truths


def _expect(called: Called, who: str) -> Called:
    if called.error is not None:
        raise NightFailed(f"{who} failed: {called.error}")
    return called
