"""Run one tenant-day in this process under its lease, or find the route of the job that must run it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from daily_batch.domain.bill import Bill
from daily_batch.domain.keys import analytics_folder
from daily_batch.domain.receipt import Receipt, receipt_key
from daily_batch.domain.request import Request
from daily_batch.errors import HandOverError
from daily_batch.ledger import Entry, Lease, Ledger
from daily_batch.ledger.heartbeat import Heartbeat
from daily_batch.orchestration.routing.route import TOO_MANY_TO_LIST, UNLISTED, Route, Router
from daily_batch.pipeline.discover.discover import check_tenant, discover
from daily_batch.pipeline.discover.manifest import Manifest
from daily_batch.pipeline.process_day import log_manifest, process_day
from daily_batch.pipeline.publish.publisher import DayPublisher
from daily_batch.pipeline.runners.base import Progress, Runner
from daily_batch.settings import Settings
from daily_batch.storage.failures import explained_failures
from daily_batch.telemetry import StepLog, Telemetry


@dataclass(frozen=True, kw_only=True)
class DayResult:
    """What became of a tenant-day: a receipt, the id of a submitted job, or nothing because no object changed."""

    kind: Literal["published", "submitted", "unchanged"]
    run_id: str
    receipt: Receipt | None = None
    job_id: str | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class DayRun:
    """One run of a day under its lease.

    `local` and `spark` make the runners of this process; `publisher` is the snapshot of the tables before the run;
    `bill` prices the run so far; `folder` is for temporary files.
    """

    request: Request
    settings: Settings
    ledger: Ledger
    router: Router
    local: Callable[[], Runner]
    spark: Callable[[], Runner]
    heartbeat: Heartbeat
    publisher: DayPublisher
    progress: Progress
    bill: Callable[[], Bill | None]
    folder: Path
    telemetry: Telemetry

    def run_or_route(self, entry: Entry | None, manifest: Manifest | None) -> DayResult | Route:
        """Run the day in this process, or return the route of its job.

        Args:
            entry: The day's entry before this run.
            manifest: The day, if it is listed already.

        Raises:
            HandOverError: The day is too large for the local runner, and no other is allowed.
        """
        route = self.router.decide_unlisted(entry)
        try:
            if route is None or (route.is_job and route.reason != TOO_MANY_TO_LIST):
                manifest = self._list(manifest)
                route = self.router.decide(manifest, route)
            if route.target == "local":
                return self._process(route, manifest)
        except HandOverError as short:
            size = self.router.job_size(manifest) if manifest else UNLISTED
            route = self.router.escalate(short.what, size)
            if route is None:
                raise
        if route.is_job:
            self._note(route)
            return route
        return self._process(route, manifest)

    def _list(self, manifest: Manifest | None) -> Manifest:
        """List the day, unless that is done; refuse an unknown tenant."""
        request, settings, ledger = self.request, self.settings, self.ledger
        with explained_failures(request.tenant, request.day.isoformat()):
            if manifest is None:
                manifest = discover(
                    request,
                    settings,
                    staging=self.folder / "manifest",
                    progress=self.progress,
                    metadata=ledger.store,
                    list_known_tenants=ledger.tenants,
                )
            else:
                check_tenant(request, settings, manifest, list_known_tenants=ledger.tenants)
        log_manifest(steps_of(self.heartbeat.lease, self.telemetry), manifest)
        return manifest

    def _note(self, route: Route) -> None:
        """Record in the ledger where the day runs, before it does: a function that is killed cannot."""
        lease = self.heartbeat.lease
        if route.target == "local":
            self.ledger.record(lease, runner="local")
        else:
            self.progress(f"goes to Spark: {route.reason}", 0, 0, "")
            self.ledger.record(lease, runner="spark", handed_over=route.reason)

    def _process(self, route: Route, manifest: Manifest | None) -> DayResult:
        """Process the day in this process, and complete it in the ledger."""
        request, ledger, lease = self.request, self.ledger, self.heartbeat.lease
        self._note(route)
        receipt = process_day(
            request,
            self.settings,
            self.local() if route.target == "local" else self.spark(),
            self.publisher.fenced(lease.token, write_now=lease.taken_over, confirm=self.heartbeat.confirm),
            run_id=lease.run_id,
            now=ledger.clock(),
            progress=self.progress,
            metadata=ledger.store,
            list_known_tenants=ledger.tenants,
            manifest=manifest,
            telemetry=self.telemetry,
        )
        key = receipt_key(request.tenant, request.day, lease.run_id)
        with steps_of(lease, self.telemetry).timed("ledger", status=receipt.status):
            ledger.complete(lease, receipt, receipt_key=key, output_path=tables_of(request), bill=self.bill())
        return DayResult(kind="published", run_id=lease.run_id, receipt=receipt)


def steps_of(lease: Lease, telemetry: Telemetry) -> StepLog:
    """Return the step log of a lease's run."""
    return StepLog(
        telemetry=telemetry,
        tenant=lease.tenant,
        day=lease.day.isoformat(),
        run_id=lease.run_id,
        token=lease.token,
    )


def tables_of(request: Request) -> str:
    """Return where the tenant's tables are, as the ledger's item records it."""
    return f"{request.output}/{analytics_folder(request.tenant)}"
