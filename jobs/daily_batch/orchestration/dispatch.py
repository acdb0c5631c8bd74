"""One tenant-day from the ledger's lease to the ledger's word: who may work on it, where, and how it ended.

Every trigger and the command line call this. It knows no Spark: what runs a day there, or submits it, is given to it.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Literal

from daily_batch.domain.bill import Bill
from daily_batch.domain.keys import analytics_folder
from daily_batch.domain.receipt import Receipt, receipt_key
from daily_batch.domain.request import Request
from daily_batch.errors import (
    BatchError,
    HandOverError,
    LeaseHeldError,
    RetryableError,
    describe_error,
    error_context,
    is_retryable,
)
from daily_batch.ledger import Entry, Lease, Ledger
from daily_batch.ledger.heartbeat import Heartbeat
from daily_batch.ledger.process import current_process
from daily_batch.orchestration.routing.billing import Meter
from daily_batch.orchestration.spark_jobs import JobSize, SparkJob, Submitter
from daily_batch.orchestration.spark_jobs.reconcile import Ended, nobody, reconcile
from daily_batch.pipeline.discover.discover import fingerprint_day, open_storage
from daily_batch.pipeline.discover.manifest import Manifest
from daily_batch.pipeline.process_day import ChooseRunner, process_day
from daily_batch.pipeline.publish.publisher import DayPublisher
from daily_batch.pipeline.publish.snapshot import check_format
from daily_batch.pipeline.runners.base import Progress, Runner
from daily_batch.settings import Settings
from daily_batch.telemetry import StepLogger, log_nothing, since, timed

# For a place in a service's own queue, and what it may take longer than it was told, before another run takes the day.
JOB_GRACE = timedelta(hours=12)
KILLED_HERE = "an earlier run in a function's own process was killed before it ended"
# A single run that was killed so early may have met with an accident.
LISTINGS_TRIED = 2
TOO_MANY_TO_LIST = f"{LISTINGS_TRIED} runs in a function's own process were killed before they had listed the day"
# The size of a job whose objects nobody could count.
UNLISTED = JobSize(executors=3, disk_gb=100)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What became of a tenant-day: a receipt, the id of a job that is at work, or nothing because nothing changed."""

    kind: Literal["published", "submitted", "unchanged"]
    run_id: str
    receipt: Receipt | None = None
    job_id: str | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Dispatch:
    """Deals with tenant-days.

    `route` says why a manifest must go to Spark, or None; `local` and `spark` make the runners of this process;
    where there is a `submitter`, Spark runs there instead, in the `size` of the manifest. `owner` is whose leases are;
    `told` hears of each step.
    `meter` prices the seconds that a run was at work in this process.
    """

    settings: Settings
    ledger: Ledger
    local: Callable[[], Runner]
    spark: Callable[[], Runner]
    submitter: Submitter | None = None
    route: Callable[[Manifest], str | None] = lambda manifest: None
    size: Callable[[Manifest], JobSize] = lambda manifest: JobSize()
    owner: str = field(default_factory=current_process)
    told: StepLogger = log_nothing
    meter: Meter = lambda seconds: None

    def run(
        self,
        request: Request,
        *,
        progress: Progress,
        if_changed: bool = False,
        take_over: bool = False,
        ended: Ended = nobody,
    ) -> Answer:
        """Run or submit one tenant-day.

        Args:
            if_changed: leave a day alone that was completed with the very objects that are there now.
            take_over: take the lease from a run that is known to be dead.
            ended: hears of an earlier run's job, if it turns out to have ended.

        Raises:
            LeaseHeld: another run is at work.
            BatchError: the run failed, and the ledger says how.
        """
        with error_context(request.tenant, request.day.isoformat()):
            return self._run(request, progress, if_changed=if_changed, take_over=take_over, ended=ended)

    def _run(self, request: Request, progress: Progress, *, if_changed: bool, take_over: bool, ended: Ended) -> Answer:
        bill = _begin_bill(self.meter)
        entry = self.look(request, ended=ended)
        if if_changed and entry is not None and self._is_current(entry, request, progress):
            return Answer(kind="unchanged", run_id=str(entry.run_id), reason="no object changed since")
        if entry is not None and entry.awaits_job_id and self.submitter and not entry.is_leased(self.ledger.clock()):
            return self._submit(request, entry.lease, str(entry.handed_over), _size_of(entry), self.submitter)
        begun = time.perf_counter()
        lease = self._take(request, force=take_over)
        self._cancel_job_of(entry)
        reason = self._spark_at_once(entry)
        with Heartbeat(self.ledger, lease) as keeper, self._failures_noted(keeper, bill):
            storage = open_storage(request, self.settings)
            check_format(request, storage)
            observed = DayPublisher.snapshot(request, storage)
            held = keeper.raise_token(above=observed.held_token)
            self._naming(held)("lease", owner=self.owner, taken_over=held.taken_over, seconds=since(begun))
            choice = _LocalChoice(self, keeper, reason)
            if reason != TOO_MANY_TO_LIST and (reason is None or self.submitter):
                try:
                    return self._publish(request, keeper, observed, choice, progress, bill)
                except HandOverError as short:
                    if self.settings.runner == "local":
                        raise
                    reason = short.what
            progress(f"goes to Spark: {reason}", 0, 0, "")
            self.ledger.record(keeper.lease, runner="spark", handed_over=reason)
            if self.submitter is None:
                spark = self.spark()
                return self._publish(request, keeper, observed, lambda manifest: spark, progress, bill)
        return self._submit(request, keeper.lease, reason, choice.size, self.submitter)

    def look(self, request: Request, *, ended: Ended = nobody) -> Entry | None:
        """What the ledger knows of the day, once a submitted job that has ended is settled; `ended` hears of that."""
        entry = self.ledger.find(request.tenant, request.day)
        if entry is None or self.submitter is None:
            return entry
        service = self.submitter.name
        begun = time.perf_counter()

        def tell(settled: Entry, job_ended: datetime | None) -> None:
            facts = {"service": service, "job_id": settled.job_id, "status": settled.status}
            self._naming(settled.lease)("settle", **facts, seconds=since(begun))
            ended(settled, job_ended)

        return reconcile(
            entry,
            ledger=self.ledger,
            submitter=self.submitter,
            output=open_storage(request, self.settings).open_output(),
            output_path=_tables(request),
            patience=timedelta(minutes=self.settings.job_wait_minutes),
            ended=tell,
        )

    def _naming(self, lease: Lease) -> StepLogger:
        """Tells whose step it is."""
        whose = {"tenant": lease.tenant, "day": lease.day.isoformat(), "run_id": lease.run_id, "token": lease.token}
        return partial(self.told, **whose)

    def _take(self, request: Request, *, force: bool) -> Lease:
        run_id = f"{self.ledger.clock():%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}"
        return self.ledger.acquire(request.tenant, request.day, owner=self.owner, run_id=run_id, force=force)

    def _is_current(self, entry: Entry, request: Request, progress: Progress) -> bool:
        """Whether the tables hold what the objects of now would give."""
        if not entry.is_complete or entry.output_path != _tables(request):
            return False
        try:
            now = fingerprint_day(request, self.settings, progress=progress, metadata=self.ledger.store)
        except HandOverError:  # too many to list here, so nobody knows
            return False
        return now == entry.fingerprint

    def _cancel_job_of(self, entry: Entry | None) -> None:
        """End the job of a run whose day was taken: it can publish nothing more, and would only cost."""
        if self.submitter and entry is not None and entry.status == "SUBMITTED" and entry.job_id is not None:
            with suppress(BatchError):
                self.submitter.cancel(entry.job_id)

    def _spark_at_once(self, entry: Entry | None) -> str | None:
        """Why the day need not be tried in this process: it was asked for, or was tried before."""
        if self.settings.runner == "spark":
            return "that runner was asked for"
        if self.settings.runner == "local" or entry is None:
            return None
        # A function that lacks memory or time is killed, and can say nothing.
        if entry.status == "RUNNING" and self.submitter:
            if entry.runner == "local":
                return KILLED_HERE
            if entry.runner is None and entry.attempts >= LISTINGS_TRIED:
                return TOO_MANY_TO_LIST
        return entry.handed_over

    def _publish(
        self,
        request: Request,
        keeper: Heartbeat,
        observed: DayPublisher,
        choose: ChooseRunner,
        progress: Progress,
        bill: Callable[[], Bill | None],
    ) -> Answer:
        """Run the day in this process, under the lease."""
        lease = keeper.lease

        def watched(stage: str, done: int, total: int, unit: str) -> None:
            keeper.check()
            progress(stage, done, total, unit)

        receipt = process_day(
            request,
            self.settings,
            choose,
            run_id=lease.run_id,
            now=self.ledger.clock(),
            progress=watched,
            publisher=observed.fenced(lease.token, at_once=lease.taken_over, confirm=keeper.confirm),
            metadata=self.ledger.store,
            named=self.ledger.tenants,
            told=self.told,
        )
        key = receipt_key(request.tenant, request.day, lease.run_id)
        with timed(self._naming(lease), "ledger", status=receipt.status):
            self.ledger.complete(lease, receipt, receipt_key=key, output_path=_tables(request), bill=bill())
        return Answer(kind="published", run_id=lease.run_id, receipt=receipt)

    def _submit(self, request: Request, lease: Lease, reason: str, size: JobSize, submitter: Submitter) -> Answer:
        """Ask for a job. What is asked is written down first, so that a lost answer can be asked for again."""
        settings = self.settings.for_job(tenant=request.tenant)
        job = SparkJob(request=request, run_id=lease.run_id, token=lease.token, size=size, settings=settings)
        hand_over = partial(self.ledger.hand_over, lease, reason=reason, job_token=job.job_token, **asdict(size))
        with timed(self._naming(lease), "submit", service=submitter.name, reason=reason, **asdict(size)) as facts:
            hand_over()
            try:
                job_id = facts["job_id"] = submitter.submit(job)
            except RetryableError:
                # No lease: whoever comes next may ask again at once.
                hand_over(duration=timedelta(0), refused=True)
                raise
            except BatchError as error:
                self.ledger.fail(lease, error.advice, retryable=False)
                raise
            hand_over(job_id=job_id, duration=self._job_lease())
        return Answer(kind="submitted", run_id=lease.run_id, job_id=job_id, reason=reason)

    def _job_lease(self) -> timedelta:
        """Until its service has ended a job for certain."""
        return timedelta(minutes=self.settings.job_wait_minutes + self.settings.job_timeout_minutes) + JOB_GRACE

    @contextmanager
    def _failures_noted(self, keeper: Heartbeat, bill: Callable[[], Bill | None]) -> Iterator[None]:
        """Give the lease back with the error; a ledger that is down learns of it when the lease has ended."""
        try:
            yield
        except LeaseHeldError:
            raise
        except BaseException as error:
            with suppress(BatchError):
                self.ledger.fail(keeper.lease, describe_error(error), retryable=is_retryable(error), bill=bill())
            raise


class _LocalChoice:
    """Takes the local runner where nothing speaks against it; either way it knows how large a job the day would be."""

    def __init__(self, dispatch: Dispatch, keeper: Heartbeat, reason: str | None) -> None:
        self.size = UNLISTED
        self._dispatch = dispatch
        self._keeper = keeper
        self._reason = reason

    def __call__(self, manifest: Manifest) -> Runner:
        """The local runner.

        Raises:
            HandOver: the day must go to Spark.
        """
        dispatch = self._dispatch
        self.size = dispatch.size(manifest)
        reason = self._reason or (dispatch.route(manifest) if dispatch.settings.runner == "auto" else None)
        if reason:
            raise HandOverError(reason, next_step="run the day on Spark")
        dispatch.ledger.record(self._keeper.lease, runner="local")
        return dispatch.local()


def _begin_bill(meter: Meter) -> Callable[[], Bill | None]:
    """Gives the bill of the time from now until it is asked for."""
    begun = time.monotonic()
    return lambda: meter(time.monotonic() - begun)


def _size_of(entry: Entry) -> JobSize:
    """The size in which a job was asked for."""
    usual = JobSize()
    return JobSize(executors=entry.executors or usual.executors, disk_gb=entry.disk_gb or usual.disk_gb)


def _tables(request: Request) -> str:
    """Where the tenant's tables are, as the ledger's item says it."""
    return f"{request.output}/{analytics_folder(request.tenant)}"
