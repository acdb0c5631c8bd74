"""What the maintenance commands share: the tables of each tenant, and where their work is done."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from deltalake.exceptions import DeltaError

from daily_batch.cli.progress import show_progress
from daily_batch.cli.tenants import check_known, choose_tenants
from daily_batch.domain.request import Request
from daily_batch.errors import RetryableError, TerminalError, error_context
from daily_batch.maintenance.rewrite_day import DeleteRows
from daily_batch.maintenance.spark import SparkMaintenance
from daily_batch.maintenance.table_files import TenantTables
from daily_batch.orchestration.requests import build_requests
from daily_batch.pipeline.runners.base import Progress
from daily_batch.settings import Settings, load_settings
from daily_batch.storage.failures import explained_failures, is_denied, quote_cause
from daily_batch.storage.stores import Storage

if TYPE_CHECKING:
    from daily_batch.pipeline.runners.spark import SparkRunner

    StartSpark = Callable[[], SparkRunner]

Row = TypeVar("Row")
# What delta-rs 1.6.6 reports of a log that no retry can read.
BROKEN_LOG = ("Json error", "No table metadata or protocol", "Parquet error")


@dataclass(frozen=True, kw_only=True)
class TenantTarget:
    """A tenant's tables to maintain.

    `request` says where the tables are; its day has no meaning here. `start_spark` makes a session, where there is one.
    """

    request: Request
    settings: Settings
    tables: TenantTables
    start_spark: "StartSpark | None"

    def spark_for(self, size: int) -> SparkMaintenance | None:
        """Return what maintains tables of `size` bytes on Spark; None where this process does the work."""
        if self.start_spark is None or size <= self.settings.maintain_spark_bytes:
            return None
        return SparkMaintenance(self.start_spark().spark, self.tables)

    def delete_on_spark(self, size: int) -> DeleteRows | None:
        """Return what deletes messages from a Delta table on Spark, for `size` bytes of them; see `spark_for`."""
        engine = self.spark_for(size)
        return engine.delete_rows if engine else None


def open_targets(
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    *,
    start_spark: "StartSpark | None" = None,
    all_tenants: bool = False,
) -> list[TenantTarget]:
    """Return the tables of each tenant. No objects are read: an input is needed only to find all tenants.

    Raises:
        UsageError: a tenant or the output is missing, not allowed or not known.
    """
    settings = load_settings(flags=flags, environ=environ)
    settings = choose_tenants(settings, all_tenants=all_tenants)
    requests = build_requests(replace(settings, input=settings.input or settings.output), datetime.now(UTC))
    if not all_tenants:
        check_known(settings.tenants, settings, requests[0].output)
    return [
        TenantTarget(
            request=request,
            settings=settings,
            tables=TenantTables(
                tenant=request.tenant,
                storage=Storage(input=request.input, output=request.output, options=settings.storage_options),
            ),
            start_spark=start_spark,
        )
        for request in requests
    ]


def for_each_target(
    targets: Iterable[TenantTarget], maintain: Callable[[TenantTarget, Progress], Iterable[Row]]
) -> list[Row]:
    """Maintain the tables of each tenant, with progress, and return all rows."""
    rows: list[Row] = []
    with show_progress() as open_progress:
        for target in targets:
            tenant = target.request.tenant
            with explained_errors(tenant):
                rows += maintain(target, open_progress(f"tenant={tenant}"))
    return rows


@contextmanager
def explained_errors(tenant: str) -> Iterator[None]:
    """Turn errors of storage and delta-rs into errors that name the tenant and say whether a retry can help."""
    try:
        with error_context(tenant, "-"), explained_failures(tenant):
            yield
    except DeltaError as error:
        cause = quote_cause(error)
        if is_denied(error):
            step = "allow this identity to list, read, write and delete the tables"
            raise TerminalError(f"access is denied: {cause}", next_step=step, tenant=tenant) from error
        if any(sign in cause for sign in BROKEN_LOG):
            step = "restore the table's _delta_log, or move the table away and backfill its days"
            raise TerminalError(f"the table is broken: {cause}", next_step=step, tenant=tenant) from error
        raise RetryableError(cause, next_step="run the same command again", tenant=tenant) from error
