"""A night's access to the local Azure: the Functions app, its queue, the bundle's job and the ledger."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from daily_batch.metadata.cosmos import CosmosStore
from daily_batch.metadata.keys import TENANT, TENANTS, day_key, days_of
from daily_batch.synthetic import ExpectedCounts
from tests.local_cloud.azure.functions.host import CallResult, FunctionsHost
from tests.local_cloud.azure.identity.managed_identity import IDENTITY
from tests.local_cloud.azure.local_azure import LocalAzure
from tests.local_cloud.common.night import NightFailedError
from tests.local_cloud.common.sample_tenants import SAMPLES, Sample, write_samples

JOB_KEY, JOB = "daily_messages", "makoto-daily-messages"
CONTAINER = "data"


@dataclass
class AzureNight:
    """Implement `NightCloud` on Azure."""

    azure: LocalAzure
    host: FunctionsHost
    _reported: dict[int, int] = field(default_factory=dict)

    @cached_property
    def store(self) -> CosmosStore:
        """The metadata store."""
        return open_store(self.azure)

    def fire_schedule(self) -> int:
        """See `NightCloud.fire_schedule`."""
        due = datetime.now(UTC).isoformat(timespec="seconds")
        return _check(self.host.call_timer("night", due=due), "the dispatcher").queued

    @contextmanager
    def consume_queue(self, *, concurrency: int, on_progress: Callable[[str], None]) -> Iterator[object]:
        """See `NightCloud.consume_queue`."""

        def report(body: str, result: CallResult) -> None:
            outcome = f"failed: {result.error}" if result.error is not None else "succeeded"
            on_progress(f"the worker {outcome} after {result.seconds:.1f} s: {body}")

        self.host.on_message, self.host.concurrency = report, concurrency
        self.host.start()
        try:
            yield self.host
        finally:
            self.host.stop()

    def follow_jobs(self, on_progress: Callable[[str], None]) -> Iterator[tuple[str, str]]:
        """See `NightCloud.follow_jobs`. Jobs send no events on Azure: the watcher polls."""
        for run in self.azure.runs():
            reported = self._reported.get(run.id, 0)
            for state in run.states[reported:]:
                yield f"job {state}", f"run {run.id} is {state}"
            self._reported[run.id] = len(run.states)

    def reconcile(self) -> Mapping[str, Any]:
        """See `NightCloud.reconcile`."""
        result = _check(self.host.call_timer("watch"), "the watcher")
        summaries = [line["summary"] for line in result.lines if "summary" in line]
        if not summaries:
            raise NightFailedError("the watcher logged no summary of the night")
        summary: Mapping[str, Any] = summaries[-1]
        return summary

    def ledger_item(self, tenant: str, day: date) -> Mapping[str, Any]:
        """See `NightCloud.ledger_item`."""
        found = self.store.get(days_of(tenant), day_key(day))
        return dict(found.item) if found else {}


def app_settings(azure: LocalAzure, *, zone: str, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the Functions app's settings, as a deployment sets them."""
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
    """Return the metadata store, as the app opens it."""
    assert azure.cosmos is not None, "serve_azure was called with cosmos=False"  # noqa: S101
    return CosmosStore(azure.cosmos.endpoint, azure.cosmos.key)


def upload_samples(
    azure: LocalAzure, *, day: date, zone: str, folder: Path, samples: Mapping[str, Sample] = SAMPLES
) -> dict[str, ExpectedCounts]:
    """Write the samples, upload them to the container, and register their tenants in the metadata store."""
    store = open_store(azure)
    for tenant in samples:
        store.put({"PK": TENANTS, "SK": f"{TENANT}{tenant}", "tenant_id": tenant}, expected=None)
    expected = write_samples(folder, day=day, zone=zone, samples=samples)
    for tenant in expected:
        azure.storage.upload(folder / tenant, container=CONTAINER, prefix=f"{tenant}/")
    return expected


def _check(result: CallResult, function: str) -> CallResult:
    if result.error is not None:
        raise NightFailedError(f"{function} failed: {result.error}")
    return result
