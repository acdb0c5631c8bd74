"""The smoke test: run a generated day through the service that runs large days, before the first night.

The job is submitted as a worker submits it: with the same settings, package, role and policy. Only the ledger records
nothing of it, and the day is in a folder of its own, which is removed afterwards.
"""

import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from daily_batch.domain.keys import export_folder
from daily_batch.domain.receipt import receipt_key
from daily_batch.domain.request import Request
from daily_batch.domain.url import StorageUrl, parse_url
from daily_batch.errors import TerminalError, UsageError
from daily_batch.orchestration.bootstrap import make_submitter
from daily_batch.orchestration.preflight import FOLDER, SMOKE_MESSAGES, SMOKE_TENANT
from daily_batch.orchestration.spark_jobs import SparkJob
from daily_batch.orchestration.spark_jobs.follow import explain_job_failure, wait_for_job
from daily_batch.pipeline.discover.discover import open_storage
from daily_batch.pipeline.publish.receipts import read_receipt
from daily_batch.pipeline.runners.base import Progress
from daily_batch.settings import Settings, load_settings
from daily_batch.storage.failures import explain_failure
from daily_batch.storage.scratch import temporary_folder
from daily_batch.storage.stores import open_store
from daily_batch.synthetic import ExpectedCounts, FaultRates, generate
from daily_batch.synthetic.write import SAMPLE_DAY

# No run holds a lease on the day, and nothing was published below its folder before.
TOKEN = 1
# Overrides the worker's settings: the day is an export, and no ledger or catalog records it.
_FIXED_SETTINGS = {
    "tenants": SMOKE_TENANT,
    "date": SAMPLE_DAY.isoformat(),
    "layout": "export",
    "discovery": "listing",
    "catalog": "",
    "look_first": True,
}


@dataclass(frozen=True, kw_only=True)
class SmokeResult:
    """A smoke test that passed: the service's job published every message."""

    service: str
    job_id: str
    messages: int
    seconds: int
    input: str
    output: str

    def __str__(self) -> str:
        """One line for the terminal."""
        ran = f"job {self.job_id} of {self.service} ran a day of {self.messages:,} messages in {self.seconds:,} s"
        return f"smoke test passed: {ran}, from {self.input} to {self.output}"


@dataclass(frozen=True, kw_only=True)
class SmokeDay:
    """The day of one smoke test."""

    request: Request
    settings: Settings
    run_id: str

    @property
    def roots(self) -> tuple[StorageUrl, ...]:
        """The folders that the test creates and removes."""
        return tuple(dict.fromkeys((self.request.input, self.request.output)))


def run_smoke_test(
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    *,
    wait_minutes: int,
    keep: bool,
    progress: Progress,
    on_remaining: Callable[[str], None],
) -> SmokeResult:
    """Write a day, submit its job, follow the job, check its receipt, and remove the day.

    Args:
        flags: settings by name, which override `environ`.
        environ: the worker's environment variables.
        keep: do not remove the day and its tables.
        on_remaining: called with each folder that remains, and why it could not be removed.

    Raises:
        UsageError: a setting is wrong, or names no service.
        RetryableError: the result is unknown: the service does not answer, the time is over, or a user stopped it.
        TerminalError: something is missing; the message says what.
    """
    day = make_smoke_day(flags, environ)
    submitter = make_submitter(day.settings)
    if submitter is None:
        raise UsageError(
            "there is no service that runs large days",
            next_step="set MAKOTO_SPARK to emr-serverless or databricks, or give the worker's --variables",
        )
    started = time.monotonic()
    submitter.check_code()
    with _removed_afterwards(day, keep=keep, on_remaining=on_remaining):
        progress("writes the day", 0, 0, "")
        truth = write_day(day)
        job = SparkJob(
            request=day.request,
            run_id=day.run_id,
            token=TOKEN,
            settings=day.settings.for_job(tenant=SMOKE_TENANT),
        )
        job_id = submitter.submit(job)
        report = wait_for_job(submitter, job_id, seconds=60 * wait_minutes, progress=progress)
        if report.state != "SUCCEEDED":
            raise explain_job_failure(submitter, job_id, report)
        messages = check_receipt(day, truth, job_id)
    return SmokeResult(
        service=submitter.name,
        job_id=job_id,
        messages=messages,
        seconds=round(time.monotonic() - started),
        input=str(day.request.input),
        output=str(day.request.output),
    )


def make_smoke_day(flags: Mapping[str, object], environ: Mapping[str, str]) -> SmokeDay:
    """Return a day by the worker's settings, in a folder of its own below the worker's input and output.

    Raises:
        UsageError: a setting is wrong, or only the workspace reaches the storage.
    """
    settings = load_settings(flags={**flags, **_FIXED_SETTINGS}, environ=environ)
    run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}"
    roots = {}
    for name in ("input", "output"):
        url = getattr(settings, name)
        if not url:
            raise UsageError(f"no {name} is named", next_step=f"give --{name}, or the worker's --variables")
        root = parse_url(url)
        if root.kind == "volume":
            step = "databricks bundle run smoke (docs/databricks.md), which runs inside the workspace"
            raise UsageError(f"the {name} is a volume, which only the workspace reaches", next_step=step)
        roots[name] = root.child(f"{FOLDER}/{run_id}")
    request = Request(
        tenant=SMOKE_TENANT,
        day=SAMPLE_DAY,
        layout="export",
        table_format=settings.table_format,
        input=roots["input"],
        output=roots["output"],
    )
    return SmokeDay(request=request, settings=settings, run_id=run_id)


def write_day(day: SmokeDay) -> ExpectedCounts:
    """Write the day's export, without faults and the same each time; return what a run of it must count.

    Raises:
        BatchError: this identity may not write there, or the storage does not answer.
    """
    request, settings = day.request, day.settings
    folder = export_folder(settings.export_template, SMOKE_TENANT, request.day)
    with temporary_folder() as scratch:
        truth = generate(
            messages=SMOKE_MESSAGES,
            layout="export",
            seed=1,
            out=scratch,
            tenant=SMOKE_TENANT,
            zone=settings.timezone,
            rates=FaultRates.none(),
        )
        files = sorted(path for path in (scratch / SMOKE_TENANT).rglob("*") if path.is_file())
        try:
            store = open_store(request.input, settings.storage_options, create=True)
            for path in files:
                store.put(f"{folder}{path.name}", path)
        except Exception as error:
            known = explain_failure(error, tenant=SMOKE_TENANT, day=request.day.isoformat())
            if known is None:
                raise
            step = "allow this identity to write and delete there, or give another --input"
            raise type(known)(f"the day cannot be written to {request.input}: {known.what}", next_step=step) from error
    return truth


def check_receipt(day: SmokeDay, truth: ExpectedCounts, job_id: str) -> int:
    """Return how many messages the job published: all of them.

    Raises:
        TerminalError: there is no receipt, or it counts something else.
    """
    output = open_storage(day.request, day.settings).open_output()
    receipt = read_receipt(output, receipt_key(SMOKE_TENANT, day.request.day, day.run_id))
    if receipt is None:
        step = "look at the job's log, and whether this identity can read the output"
        raise TerminalError(f"job {job_id} succeeded and left no receipt in {day.request.output}", next_step=step)
    published, expected = receipt.records.written, truth.records["written"]
    if (receipt.status, published) != ("COMPLETED", expected):
        what = f"job {job_id} published {published:,} messages as {receipt.status}, and {expected:,} were written"
        raise TerminalError(what, next_step="report it, with the job's log")
    return published


@contextmanager
def _removed_afterwards(day: SmokeDay, *, keep: bool, on_remaining: Callable[[str], None]) -> Iterator[None]:
    """Remove the day's folders when the block ends or fails; report each that is kept or cannot be removed."""
    try:
        yield
    finally:
        for root in day.roots:
            if keep:
                on_remaining(str(root))
                continue
            try:
                _remove(root, day.settings)
            except Exception as error:
                known = explain_failure(error, tenant=SMOKE_TENANT, day=day.request.day.isoformat())
                why = known.what if known else type(error).__name__
                on_remaining(f"{root}, which cannot be removed: {why}")


def _remove(root: StorageUrl, settings: Settings) -> None:
    if root.kind == "file":
        shutil.rmtree(root.path, ignore_errors=True)
        with suppress(OSError):  # the folder holds another test's day, or existed before
            Path(root.path).parent.rmdir()
        return
    store = open_store(root, settings.storage_options)
    for batch in store.list(chunk_size=500):
        store.delete([each["path"] for each in batch])
