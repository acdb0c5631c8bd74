"""Discover what a tenant-day holds: list its objects into a manifest, and derive the run's parameters from it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from daily_batch.domain.calendar import day_window, to_us, utc_folders
from daily_batch.domain.keys import export_folder, export_root, is_tenant
from daily_batch.domain.request import Request
from daily_batch.domain.run import RunSpec
from daily_batch.domain.url import StorageUrl
from daily_batch.metadata import MetadataStore
from daily_batch.pipeline.discover.compare import DiscoveryComparison, compare_discovery
from daily_batch.pipeline.discover.manifest import Manifest, build_manifest
from daily_batch.pipeline.discover.object_tree import list_root
from daily_batch.pipeline.discover.strays import Strays, find_strays
from daily_batch.pipeline.discover.unknown_tenant import check_tenant_known, holds_tenant_folders
from daily_batch.pipeline.erased_list import read_erased
from daily_batch.pipeline.partitioning import CHUNK_BYTES, CHUNK_OBJECTS, count_files
from daily_batch.pipeline.runners.base import Progress
from daily_batch.settings import Settings
from daily_batch.storage.scratch import temporary_folder
from daily_batch.storage.stores import Storage, open_store

LISTING_CONCURRENCY = 64


def open_storage(request: Request, settings: Settings) -> Storage:
    """Return the storage that a request reads and writes."""
    return Storage(input=request.input, output=request.output, options=settings.storage_options)


def list_day(
    request: Request, settings: Settings, *, staging: Path, progress: Progress, metadata: MetadataStore | None = None
) -> Manifest:
    """List a tenant-day's objects into a manifest, whose chunks are written to `staging`.

    Raises:
        TerminalError: Access is denied, the input root is missing, or an object's name cannot be read.
        RetryableError: The listing failed midway.
    """
    window = _window(request, settings)
    storage = open_storage(request, settings)
    # Before the objects: an erasure that begins meanwhile must not find a run that does not know of it.
    erased = read_erased(storage, request.tenant, day=request.day.isoformat())
    manifest = build_manifest(
        storage.open_input(),
        tenant=request.tenant,
        layout=request.layout,
        folders=utc_folders(*window),
        window_us=window,
        export_folder=export_folder(settings.export_template, request.tenant, request.day),
        staging=staging,
        chunk_bytes=CHUNK_BYTES,
        chunk_objects=CHUNK_OBJECTS,
        concurrency=LISTING_CONCURRENCY,
        metadata=metadata if settings.discovery == "metadata" else None,
        day=request.day.isoformat(),
        progress=lambda objects: progress("manifest", objects, 0, "objects"),
    )
    return replace(manifest, erased=erased, fingerprint=erased.mix(manifest.fingerprint))


def discover(
    request: Request,
    settings: Settings,
    *,
    staging: Path,
    progress: Progress,
    metadata: MetadataStore | None = None,
    list_known_tenants: Callable[[], Sequence[str]],
) -> Manifest:
    """List a tenant-day into a manifest, and refuse a day without objects of an unknown tenant.

    Args:
        staging: Local folder for the manifest's chunks.
        metadata: Names the active rooms where the setting `discovery` is `metadata`.
        list_known_tenants: Returns the tenants in the metadata store.

    Raises:
        TerminalError: Access is denied, the input root is missing, an object's name cannot be read, or the tenant is
            unknown.
        RetryableError: The listing failed midway.
    """
    manifest = list_day(request, settings, staging=staging, progress=progress, metadata=metadata)
    check_tenant(request, settings, manifest, list_known_tenants=list_known_tenants)
    return manifest


def check_tenant(
    request: Request, settings: Settings, manifest: Manifest, *, list_known_tenants: Callable[[], Sequence[str]]
) -> None:
    """Refuse a day without objects of an unknown tenant: the input is more likely the wrong one.

    Raises:
        TerminalError: The input holds nothing of the tenant, and the metadata store does not know it.
    """
    if not (manifest.objects or manifest.ignored):
        check_tenant_known(
            open_storage(request, settings).open_input(),
            tenant=request.tenant,
            export_root=export_root(settings.export_template),
            list_known_tenants=list_known_tenants,
            day=request.day.isoformat(),
        )


def fingerprint_day(request: Request, settings: Settings, *, progress: Progress, metadata: MetadataStore) -> str:
    """Return the fingerprint of the day's objects as they are now; the manifest is discarded."""
    with temporary_folder() as staging:
        return list_day(request, settings, staging=staging, progress=progress, metadata=metadata).fingerprint


def verify_discovery(request: Request, settings: Settings, metadata: MetadataStore) -> DiscoveryComparison:
    """Compare the day's message objects by listing with what discovery by the metadata store would find."""
    window = _window(request, settings)
    return compare_discovery(
        open_storage(request, settings).open_input(),
        metadata,
        tenant=request.tenant,
        folders=utc_folders(*window),
        window_us=window,
        concurrency=LISTING_CONCURRENCY,
        day=request.day.isoformat(),
    )


def count_strays(request: Request, settings: Settings, *, progress: Progress) -> Strays:
    """Count the tenant's objects that no run of any day reads; the whole input of the tenant is listed."""
    return find_strays(
        open_storage(request, settings).open_input(),
        tenant=request.tenant,
        export_template=settings.export_template,
        progress=lambda listed: progress("strays", listed, 0, "objects"),
    )


def list_tenants(source: StorageUrl, settings: Settings) -> list[str]:
    """Return the top-level folders of a root that are tenants': they hold messages, exports or tables.

    An output folder inside the input is none.
    """
    store = open_store(source, settings.storage_options)
    return sorted(
        name
        for name in filter(is_tenant, list_root(store))
        if holds_tenant_folders(store, name, export_root(settings.export_template))
    )


def _window(request: Request, settings: Settings) -> tuple[int, int]:
    """Return the interval of sending times that the day's objects may have, in microseconds since 1970 UTC."""
    start_us, end_us = day_window(request.day, settings.timezone)
    slack_us = settings.slack_seconds * 1_000_000
    return start_us - slack_us, end_us + slack_us


def make_run_spec(request: Request, settings: Settings, manifest: Manifest, *, run_id: str, now: datetime) -> RunSpec:
    """Return the parameters that map and reduce need of the day."""
    start_us, end_us = day_window(request.day, settings.timezone)
    return RunSpec(
        tenant=request.tenant,
        date=request.day.isoformat(),
        zone=settings.timezone,
        naive_zone=settings.naive_timezone,
        start_us=start_us,
        end_us=end_us,
        slack_us=settings.slack_seconds * 1_000_000,
        layout=manifest.layout,
        table_format=request.table_format,
        buckets=settings.buckets or count_files(manifest.text_bytes, settings.target_file_bytes),
        run_id=run_id,
        processed_us=to_us(now),
        limits=settings.limits,
        erased=manifest.erased,
    )
