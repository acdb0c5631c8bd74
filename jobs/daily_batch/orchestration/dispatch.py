"""Run or submit one tenant-day, from the ledger's lease to its final status.

The triggers and the command line share this module. It imports no Spark: runners and the Spark service are passed in.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Literal

from daily_batch.domain.bill import Bill, Meter
from daily_batch.domain.keys import analytics_folder
from daily_batch.domain.receipt import Receipt, receipt_key
from daily_batch.domain.request import Request
from daily_batch.errors import (
    BatchError,
    HandOverError,
    LeaseHeldError,
    RetryableError,
    advise,
    concerning,
    is_retryable,
)
from daily_batch.ledger import Entry, Lease, Ledger
from daily_batch.ledger.heartbeat import Heartbeat
from daily_batch.ledger.process import this_process
from daily_batch.orchestration.routing.route import TOO_MANY_TO_LIST, Route, Router
from daily_batch.orchestration.spark_jobs import JobSize, SparkJob, Submitter
from daily_batch.orchestration.spark_jobs.reconcile import Reconciled, reconcile
from daily_batch.pipeline.discover.discover import check_tenant, discover, list_day, open_storage
from daily_batch.pipeline.discover.manifest import Manifest
from daily_batch.pipeline.process_day import explained_failures, log_manifest, process_day
from daily_batch.pipeline.publish.publisher import DayPublisher
from daily_batch.pipeline.publish.snapshot import check_format
from daily_batch.pipeline.runners.base import Progress, Runner
from daily_batch.settings import Settings
from daily_batch.storage.scratch import temporary_folder
from daily_batch.telemetry import NoTelemetry, StepLog, Telemetry, seconds_since

# For the wait in a service's own queue, and for what a job may exceed its timeout by, before another run takes the day.
JOB_GRACE = timedelta(hours=12)


@dataclass(frozen=True, kw_only=True)
class DayResult:
    """What became of a tenant-day: a receipt, the id of a submitted job, or nothing because no object changed."""

    kind: Literal["published", "submitted", "unchanged"]
    run_id: str
    receipt: Receipt | None = None
    job_id: str | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Dispatch:
    """Runs or submits tenant-days.

    `local` and `spark` make the runners of this process; with a `submitter`, Spark runs there instead.
    `reason_for_spark` and `job_size` are the router's (`Router`). `owner` names the process in leases. `meter` prices
    the seconds of a run in this process.
    """

    settings: Settings
    ledger: Ledger
    local: Callable[[], Runner]
    spark: Callable[[], Runner]
    submitter: Submitter | None = None
    reason_for_spark: Callable[[Manifest], str | None] = lambda manifest: None
    job_size: Callable[[Manifest], JobSize] = lambda manifest: JobSize()
    owner: str = field(default_factory=this_process)
    telemetry: Telemetry = field(default_factory=NoTelemetry)
    meter: Meter = lambda seconds: None

    def run(
        self,
        request: Request,
        *,
        progress: Progress,
        known: Entry | None = None,
        if_changed: bool = False,
        take_over: bool = False,
    ) -> DayResult:
        """Run or submit one tenant-day.

        Args:
            known: The day's entry, if it was reconciled just now; otherwise it is read and reconciled here.
            if_changed: Do nothing if the day was completed with exactly the objects that exist now.
            take_over: Take the lease from a run that is known to be dead.

        Raises:
            LeaseHeldError: Another run holds the day.
            BatchError: The run failed; the ledger records why.
        """
        with concerning(request.tenant, request.day.isoformat()), temporary_folder() as folder:
            entry = known or self._find_reconciled(request)
            if (
                entry is not None
                and entry.awaits_answer
                and self.submitter
                and not entry.holds_lease(self.ledger.clock())
            ):
                return self._submit(
                    request, entry.lease, Route(target="job", reason=str(entry.handed_over), size=_size_of(entry))
                )
            manifest = self._list_completed(request, entry, folder / "completed", progress) if if_changed else None
            if entry is not None and manifest is not None and manifest.fingerprint == entry.fingerprint:
                return DayResult(kind="unchanged", run_id=str(entry.run_id), reason="no object changed since")
            started, bill = time.perf_counter(), _start_bill(self.meter)
            lease = self._acquire(request, force=take_over)
            self._cancel_job_of(entry)
            if entry is not None and lease.token != entry.token + 1:
                manifest = None  # another run came between the listing and the lease, perhaps with newer objects
            with Heartbeat(self.ledger, lease) as heartbeat, self._record_failure(heartbeat, bill):
                publisher = self._fence(request, heartbeat, started)
                run = _DayRun(self, request, heartbeat, publisher, _watch(heartbeat, progress), bill, folder)
                result = run.run_or_route(entry, manifest)
        return self._submit(request, heartbeat.lease, result) if isinstance(result, Route) else result

    def reconcile(self, request: Request, entry: Entry | None = None) -> Reconciled | None:
        """Settle a submitted day whose job has ended; None for a day that the ledger does not know.

        Args:
            entry: The day's entry, if it was read just now.

        Raises:
            RetryableError: The Spark service, the store or the ledger does not answer.
            LeaseHeldError: Another run acquired the day meanwhile.
        """
        entry = entry or self.ledger.find(request.tenant, request.day)
        if entry is None:
            return None
        if self.submitter is None:
            return Reconciled(entry=entry)
        started = time.perf_counter()
        found = reconcile(
            entry,
            ledger=self.ledger,
            submitter=self.submitter,
            output=open_storage(request, self.settings).open_output(),
            output_path=_tables(request),
            patience=timedelta(minutes=self.settings.job_wait_minutes),
        )
        if found.has_ended:
            facts = {"service": self.submitter.name, "job_id": found.entry.job_id, "status": found.entry.status}
            self.steps(found.entry.lease).log("settle", **facts, seconds=seconds_since(started))
        return found

    @property
    def router(self) -> Router:
        """What decides where a day runs."""
        return Router(
            runner=self.settings.runner,
            has_service=self.submitter is not None,
            reason_for_spark=self.reason_for_spark,
            job_size=self.job_size,
        )

    def steps(self, lease: Lease) -> StepLog:
        """Return the step log of a lease's run."""
        return StepLog(
            telemetry=self.telemetry,
            tenant=lease.tenant,
            day=lease.day.isoformat(),
            run_id=lease.run_id,
            token=lease.token,
        )

    def _find_reconciled(self, request: Request) -> Entry | None:
        found = self.reconcile(request)
        return found.entry if found else None

    def _list_completed(
        self, request: Request, entry: Entry | None, staging: Path, progress: Progress
    ) -> Manifest | None:
        """List a completed day, to compare it; None if it is not completed here, or has too many objects to list."""
        if entry is None or not entry.is_complete or entry.output_path != _tables(request):
            return None
        try:
            return list_day(request, self.settings, staging=staging, progress=progress, metadata=self.ledger.store)
        except HandOverError:
            return None

    def _acquire(self, request: Request, *, force: bool) -> Lease:
        run_id = f"{self.ledger.clock():%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}"
        return self.ledger.acquire(request.tenant, request.day, owner=self.owner, run_id=run_id, force=force)

    def _cancel_job_of(self, entry: Entry | None) -> None:
        """Cancel the job of a run whose day was taken over: it can publish nothing more, and only costs."""
        if self.submitter and entry is not None and entry.status == "SUBMITTED" and entry.job_id is not None:
            with suppress(BatchError):
                self.submitter.cancel(entry.job_id)

    def _fence(self, request: Request, heartbeat: Heartbeat, started: float) -> DayPublisher:
        """Snapshot the tables, and return their publisher under a token above every one that they hold."""
        storage = open_storage(request, self.settings)
        check_format(request, storage)
        snapshot = DayPublisher.snapshot(request, storage)
        lease = heartbeat.raise_token(above=snapshot.held_token)
        self.steps(lease).log("lease", owner=self.owner, taken_over=lease.taken_over, seconds=seconds_since(started))
        return snapshot

    def _submit(self, request: Request, lease: Lease, route: Route) -> DayResult:
        """Submit a job. The ledger records the request first, so that a lost answer can be asked for again."""
        if self.submitter is None:
            raise AssertionError("a job route needs a submitter")
        settings = self.settings.for_job(tenant=request.tenant)
        job = SparkJob(request=request, run_id=lease.run_id, token=lease.token, size=route.size, settings=settings)
        size = asdict(route.size)
        hand_over = partial(self.ledger.hand_over, lease, reason=route.reason, job_token=job.job_token, **size)
        with self.steps(lease).timed("submit", service=self.submitter.name, reason=route.reason, **size) as facts:
            hand_over()
            try:
                job_id = facts["job_id"] = self.submitter.submit(job)
            except RetryableError:
                # Without a lease, so that the next run may ask again at once.
                hand_over(lasting=timedelta(0), refused=True)
                raise
            except BatchError as error:
                self.ledger.fail(lease, error.advice, retryable=False)
                raise
            hand_over(job_id=job_id, lasting=self._job_lease())
        return DayResult(kind="submitted", run_id=lease.run_id, job_id=job_id, reason=route.reason)

    def _job_lease(self) -> timedelta:
        """Return how long a job's lease lasts: until its service has ended the job for certain."""
        return timedelta(minutes=self.settings.job_wait_minutes + self.settings.job_timeout_minutes) + JOB_GRACE

    @contextmanager
    def _record_failure(self, heartbeat: Heartbeat, bill: Callable[[], Bill | None]) -> Iterator[None]:
        """Release the lease with the error. A ledger that is down learns of it when the lease expires."""
        try:
            yield
        except LeaseHeldError:
            raise
        except BaseException as error:
            with suppress(BatchError):
                self.ledger.fail(heartbeat.lease, advise(error), retryable=is_retryable(error), bill=bill())
            raise


@dataclass(frozen=True)
class _DayRun:
    """One run of a day under its lease."""

    dispatch: Dispatch
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
        """
        router = self.dispatch.router
        route = router.decide_unlisted(entry)
        try:
            if route is None or (route.is_job and route.reason != TOO_MANY_TO_LIST):
                manifest = self._list(manifest)
                route = router.decide(manifest, route)
            if route.target == "local":
                return self._process(route, manifest)
        except HandOverError as short:
            size = self.dispatch.job_size(manifest) if manifest else None
            route = router.escalate(short.what, *filter(None, [size]))
            if route is None:
                raise
        if route.is_job:
            self._note(route)
            return route
        return self._process(route, manifest)

    def _list(self, manifest: Manifest | None) -> Manifest:
        """List the day, unless that is done; refuse an unknown tenant."""
        request, settings, ledger = self.request, self.dispatch.settings, self.dispatch.ledger
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
        log_manifest(self.dispatch.steps(self.heartbeat.lease), manifest)
        return manifest

    def _note(self, route: Route) -> None:
        """Record in the ledger where the day runs, before it does: a function that is killed cannot."""
        lease = self.heartbeat.lease
        if route.target == "local":
            self.dispatch.ledger.note(lease, runner="local")
        else:
            self.progress(f"goes to Spark: {route.reason}", 0, 0, "")
            self.dispatch.ledger.note(lease, runner="spark", handed_over=route.reason)

    def _process(self, route: Route, manifest: Manifest | None) -> DayResult:
        """Process the day in this process, and complete it in the ledger."""
        dispatch, request, lease = self.dispatch, self.request, self.heartbeat.lease
        self._note(route)
        receipt = process_day(
            request,
            dispatch.settings,
            dispatch.local() if route.target == "local" else dispatch.spark(),
            self.publisher.fenced(lease.token, at_once=lease.taken_over, confirm=self.heartbeat.confirm),
            run_id=lease.run_id,
            now=dispatch.ledger.clock(),
            progress=self.progress,
            metadata=dispatch.ledger.store,
            list_known_tenants=dispatch.ledger.tenants,
            manifest=manifest,
            telemetry=dispatch.telemetry,
        )
        key = receipt_key(request.tenant, request.day, lease.run_id)
        with dispatch.steps(lease).timed("ledger", status=receipt.status):
            dispatch.ledger.complete(lease, receipt, receipt_key=key, output_path=_tables(request), bill=self.bill())
        return DayResult(kind="published", run_id=lease.run_id, receipt=receipt)


def _watch(heartbeat: Heartbeat, progress: Progress) -> Progress:
    """Return progress that ends the run when its lease is lost."""

    def report(stage: str, done: int, total: int, unit: str) -> None:
        heartbeat.check()
        progress(stage, done, total, unit)

    return report


def _start_bill(meter: Meter) -> Callable[[], Bill | None]:
    """Return a function that prices the time from now until it is called."""
    started = time.monotonic()
    return lambda: meter(time.monotonic() - started)


def _size_of(entry: Entry) -> JobSize:
    """Return the size in which a job was submitted."""
    default = JobSize()
    return JobSize(executors=entry.executors or default.executors, disk_gb=entry.disk_gb or default.disk_gb)


def _tables(request: Request) -> str:
    """Return where the tenant's tables are, as the ledger's item records it."""
    return f"{request.output}/{analytics_folder(request.tenant)}"
