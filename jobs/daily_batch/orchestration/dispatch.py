"""Run or submit one tenant-day, from the ledger's lease to its final status.

The triggers and the command line share this module. It imports no Spark: runners and the Spark service are passed in.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from daily_batch.domain.bill import Bill
from daily_batch.domain.request import Request
from daily_batch.errors import (
    BatchError,
    HandOverError,
    LeaseHeldError,
    describe_error,
    error_context,
    is_retryable,
)
from daily_batch.ledger import Entry, Lease
from daily_batch.ledger.heartbeat import Heartbeat
from daily_batch.orchestration.day_run import DayResult, DayRun, Runtime, snapshot_tables, steps_of, tables_of
from daily_batch.orchestration.routing.billing import Meter
from daily_batch.orchestration.routing.route import Route
from daily_batch.orchestration.spark_jobs.reconcile import Reconciled, reconcile
from daily_batch.orchestration.submission import route_again, submit_job
from daily_batch.pipeline.discover.discover import list_day, open_storage
from daily_batch.pipeline.discover.manifest import Manifest
from daily_batch.pipeline.publish.publisher import DayPublisher
from daily_batch.pipeline.runners.base import Progress
from daily_batch.storage.scratch import temporary_folder
from daily_batch.telemetry import seconds_since


@dataclass(frozen=True, kw_only=True)
class Dispatch(Runtime):
    """Runs or submits tenant-days."""

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
        with error_context(request.tenant, request.day.isoformat()), temporary_folder() as folder:
            found = None if known else self.reconcile(request)
            entry = found.entry if found else known
            if (
                entry is not None
                and entry.awaits_job_id
                and self.submitter
                and not entry.is_leased(self.ledger.clock())
            ):
                return self._submit(request, entry.lease, route_again(entry))
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
                run = DayRun(
                    runtime=self,
                    request=request,
                    heartbeat=heartbeat,
                    publisher=publisher,
                    progress=_watch(heartbeat, progress),
                    bill=bill,
                    folder=folder,
                )
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
            output_path=tables_of(request),
            max_wait=timedelta(minutes=self.settings.job_wait_minutes),
        )
        if found.has_ended:
            facts = {"service": self.submitter.name, "job_id": found.entry.job_id, "status": found.entry.status}
            steps_of(found.entry.lease, self.telemetry).log("settle", **facts, seconds=seconds_since(started))
        return found

    def _list_completed(
        self, request: Request, entry: Entry | None, staging: Path, progress: Progress
    ) -> Manifest | None:
        """List a completed day, to compare it; None if it is not completed here, or has too many objects to list."""
        if entry is None or not entry.is_complete or entry.output_path != tables_of(request):
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
        snapshot = snapshot_tables(request, self.settings)
        lease = heartbeat.raise_token(above=snapshot.held_token)
        steps_of(lease, self.telemetry).log(
            "lease", owner=self.owner, taken_over=lease.taken_over, seconds=seconds_since(started)
        )
        return snapshot

    def _submit(self, request: Request, lease: Lease, route: Route) -> DayResult:
        job_id = submit_job(
            request,
            lease,
            route,
            settings=self.settings,
            ledger=self.ledger,
            submitter=self.submitter,
            steps=steps_of(lease, self.telemetry),
        )
        return DayResult(kind="submitted", run_id=lease.run_id, job_id=job_id, reason=route.reason)

    @contextmanager
    def _record_failure(self, heartbeat: Heartbeat, bill: Callable[[], Bill | None]) -> Iterator[None]:
        """Release the lease with the error. A ledger that is down learns of it when the lease expires."""
        try:
            yield
        except LeaseHeldError:
            raise
        except BaseException as error:
            with suppress(BatchError):
                self.ledger.fail(heartbeat.lease, describe_error(error), retryable=is_retryable(error), bill=bill())
            raise


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
