"""What the commands that keep tables in order have in common: whose tables, and where the work is done."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from deltalake.exceptions import DeltaError

from daily_batch.cli.console import show_progress
from daily_batch.cli.tenants import check_known, choose_tenants
from daily_batch.domain.request import Request
from daily_batch.errors import RetryableError, TerminalError, error_context
from daily_batch.maintenance.rewrite_day import DeleteRows
from daily_batch.maintenance.spark import SparkUpkeep
from daily_batch.maintenance.table_files import TenantTables
from daily_batch.orchestration.requests import build_requests
from daily_batch.pipeline.runners.base import Progress
from daily_batch.settings import Settings, load_settings
from daily_batch.storage.failures import explain_access, explain_failure, is_denied, quote_cause
from daily_batch.storage.stores import Storage

if TYPE_CHECKING:
    from daily_batch.pipeline.runners.spark import SparkRunner

    StartSpark = Callable[[], SparkRunner]

Row = TypeVar("Row")
# What delta-rs 1.6.6 says of a log that no try will read.
BROKEN = ("Json error", "No table metadata or protocol", "Parquet error")


@dataclass(frozen=True, kw_only=True)
class Place:
    """A tenant's tables; `request` names where, its day means nothing here. `spark` gives a session, where one is."""

    request: Request
    settings: Settings
    tables: TenantTables
    spark: "StartSpark | None"

    def spark_for(self, size: int) -> SparkUpkeep | None:
        """What does work of a size in bytes on Spark; None where it is done in this process."""
        if self.spark is None or size <= self.settings.maintain_spark_bytes:
            return None
        return SparkUpkeep(self.spark().spark, self.tables)

    def delete_on_spark(self, size: int) -> DeleteRows | None:
        """What removes rows of messages of a size in bytes from a Delta table on Spark; see `spark_for`."""
        engine = self.spark_for(size)
        return engine.delete_rows if engine else None


def open_places(
    flags: Mapping[str, object], *, spark: "StartSpark | None" = None, all_tenants: bool = False
) -> list[Place]:
    """The tables of each tenant of the settings. No objects are read, so an input is only needed to find all tenants.

    Raises:
        UsageError: a tenant or the output is missing, not allowed or not known.
    """
    settings = load_settings(flags=flags, environ=os.environ)
    settings = choose_tenants(settings, all_tenants=all_tenants)
    requests = build_requests(replace(settings, input=settings.input or settings.output), datetime.now(UTC))
    if not all_tenants:
        check_known(settings.tenants, settings, requests[0].output)
    return [
        Place(
            request=request,
            settings=settings,
            tables=TenantTables(
                tenant=request.tenant,
                storage=Storage(input=request.input, output=request.output, options=settings.storage_options),
            ),
            spark=spark,
        )
        for request in requests
    ]


def visit(places: Iterable[Place], work: Callable[[Place, Progress], Iterable[Row]]) -> list[Row]:
    """What the work on each tenant's tables gives, with progress."""
    rows: list[Row] = []
    with show_progress() as open_progress:
        for place in places:
            tenant = place.request.tenant
            with explained(tenant):
                rows += work(place, open_progress(f"tenant={tenant}"))
    return rows


@contextmanager
def explained(tenant: str) -> Iterator[None]:
    """Errors of storage and of delta-rs from within say whether trying again can help, and name the tenant."""
    try:
        with error_context(tenant, "-"):
            yield
    except DeltaError as error:
        if known := explain_access(error, tenant=tenant):
            raise known from error
        cause = quote_cause(error)
        if is_denied(error):
            step = "allow this identity to list, read, write and delete the tables"
            raise TerminalError(f"access is denied: {cause}", next_step=step, tenant=tenant) from error
        if any(sign in cause for sign in BROKEN):
            step = "restore the table's _delta_log, or move the table away and backfill its days"
            raise TerminalError(f"the table is broken: {cause}", next_step=step, tenant=tenant) from error
        raise RetryableError(cause, next_step="run the same command again", tenant=tenant) from error
    except Exception as error:
        failure = explain_failure(error, tenant=tenant, day="-")
        if failure is None or failure is error:
            raise
        raise failure from error
