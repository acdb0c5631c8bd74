"""Run one tenant-day in this process under its lease, or find the route of the job that must run it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from daily_batch.domain.bill import Bill
from daily_batch.domain.keys import analytics_folder
from daily_batch.domain.receipt import Receipt, receipt_key
from daily_batch.domain.request import Request
from daily_batch.errors import HandOverError
from daily_batch.ledger import Entry, Lease, Ledger
from daily_batch.ledger.heartbeat import Heartbeat
from daily_batch.ledger.process import current_process
from daily_batch.orchestration.new_fields import complete_day
from daily_batch.orchestration.routing.billing import Meter
from daily_batch.orchestration.routing.route import TOO_MANY_TO_LIST, UNLISTED, Route, Router
from daily_batch.orchestration.spark_jobs import JobSize, Submitter
from daily_batch.pipeline.discover.discover import check_tenant, discover, open_storage
from daily_batch.pipeline.discover.manifest import Manifest
from daily_batch.pipeline.process_day import log_manifest, process_day
from daily_batch.pipeline.publish.publisher import DayPublisher
from daily_batch.pipeline.publish.snapshot import check_format
from daily_batch.pipeline.runners.base import Progress, Runner
from daily_batch.pipeline.runners.resource_limits import hand_over_if_full
from daily_batch.settings import Settings
from daily_batch.storage.failures import explained_failures
from daily_batch.telemetry import NoTelemetry, StepLog, Telemetry


@dataclass(frozen=True, kw_only=True)
class DayResult:
    """What became of a tenant-day: a receipt, the id of a submitted job, or nothing because no object changed."""

    kind: Literal["published", "submitted", "unchanged"]
    run_id: str
    receipt: Receipt | None = None
    job_id: str | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """What a process runs or submits days with.

    `local` and `spark` make the runners of this process; with a `submitter`, Spark runs there instead.
    `reason_for_spark` and `job_size` are the router's (`Router`). `check_cost` refuses the job of a day, listed or not,
    that costs too much. `owner` names the process in leases. `meter` prices the seconds of a run in this process.
    """

    settings: Settings
    ledger: Ledger
    local: Callable[[], Runner]
    spark: Callable[[], Runner]
    submitter: Submitter | None = None
    reason_for_spark: Callable[[Manifest], str | None] = lambda manifest: None
    job_size: Callable[[Manifest], JobSize] = lambda manifest: JobSize()
    check_cost: Callable[[Manifest | None], None] = lambda manifest: None
    owner: str = field(default_factory=current_process)
    telemetry: Telemetry = field(default_factory=NoTelemetry)
    meter: Meter = lambda seconds: None

    @property
    def router(self) -> Router:
        """What decides where a day runs."""
        return Router(
            runner=self.settings.runner,
            has_service=self.submitter is not None,
            reason_for_spark=self.reason_for_spark,
            job_size=self.job_size,
        )


@dataclass(frozen=True, kw_only=True)
class DayRun:
    """One run of a day under its lease.

    `publisher` is the snapshot of the tables before the run; `bill` prices the run so far; `folder` is for temporary
    files.
    """

    runtime: Runtime
    request: Request
    heartbeat: Heartbeat
    publisher: DayPublisher
    progress: Progress
    bill: Callable[[], Bill | None]
    folder: Path

    def run_or_route(self, entry: Entry | None, manifest: Manifest | None) -> DayResult | Route:
        """Run the day in this process, or return the route of its job.

        Args:
            entry: The day's entry before this run.
            manifest: The day, if it is listed already.

        Raises:
            HandOverError: The day is too large for the local runner, and no other is allowed.
            TerminalError: The day's job would cost more than allowed.
        """
        router = self.runtime.router
        route = router.decide_unlisted(entry)
        try:
            if route is None or (route.is_job and route.reason != TOO_MANY_TO_LIST):
                manifest = self._list(manifest)
                route = router.decide(manifest, route)
            if route.target == "local":
                return self._process(route, manifest)
        except HandOverError as short:
            size = router.job_size(manifest) if manifest else UNLISTED
            route = router.escalate(short.what, size)
            if route is None:
                raise
        if route.is_job:
            # Not where an unanswered submission is repeated: its job may be running, and was checked here.
            self.runtime.check_cost(manifest)
            self._note(route)
            return route
        return self._process(route, manifest)

    def _list(self, manifest: Manifest | None) -> Manifest:
        """List the day, unless that is done; refuse an unknown tenant.

        Raises:
            HandOverError: The temporary disk cannot hold the manifest.
        """
        request, settings, ledger = self.request, self.runtime.settings, self.runtime.ledger
        with explained_failures(request.tenant, request.day.isoformat()):
            if manifest is None:
                with hand_over_if_full():
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
        log_manifest(steps_of(self.heartbeat.lease, self.runtime.telemetry), manifest)
        return manifest

    def _note(self, route: Route) -> None:
        """Record in the ledger where the day runs, before it does: a function that is killed cannot."""
        ledger, lease = self.runtime.ledger, self.heartbeat.lease
        if route.target == "local":
            ledger.record(lease, runner="local")
        else:
            self.progress(f"goes to Spark: {route.reason}", 0, 0, "")
            ledger.record(lease, runner="spark", handed_over=route.reason)

    def _process(self, route: Route, manifest: Manifest | None) -> DayResult:
        """Process the day in this process, and complete it in the ledger."""
        request, runtime, lease = self.request, self.runtime, self.heartbeat.lease
        ledger = runtime.ledger
        self._note(route)
        receipt = process_day(
            request,
            runtime.settings,
            runtime.local() if route.target == "local" else runtime.spark(),
            self.publisher.fenced(lease.token, write_now=lease.taken_over, confirm=self.heartbeat.confirm),
            run_id=lease.run_id,
            now=ledger.clock(),
            progress=self.progress,
            metadata=ledger.store,
            list_known_tenants=ledger.tenants,
            manifest=manifest,
            telemetry=runtime.telemetry,
        )
        key = receipt_key(request.tenant, request.day, lease.run_id)
        with steps_of(lease, runtime.telemetry).timed("ledger", status=receipt.status):
            complete_day(ledger, lease, receipt, receipt_key=key, output_path=tables_of(request), bill=self.bill())
        return DayResult(kind="published", run_id=lease.run_id, receipt=receipt)


def snapshot_tables(request: Request, settings: Settings) -> DayPublisher:
    """Return a publisher on top of the tables as they are now.

    Raises:
        UsageError: The tables are of the other format.
    """
    storage = open_storage(request, settings)
    check_format(request, storage)
    return DayPublisher.snapshot(request, storage)


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
