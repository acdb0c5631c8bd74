"""`makoto-batch smoke`: a made-up day through the service that runs large days, before the first night.

It is asked for as a worker asks: the same settings, package, role and policy. Only the ledger hears nothing of it, and
the day lies in a folder of its own, which goes again.
"""

import os
import shutil
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from daily_batch.cli.console import show_progress
from daily_batch.cli.output import guarded, print_json
from daily_batch.domain.keys import export_folder
from daily_batch.domain.receipt import Receipt, receipt_key
from daily_batch.domain.request import Request
from daily_batch.domain.url import StorageUrl, parse_url
from daily_batch.entrypoints.smoke_test import MESSAGES, TENANT
from daily_batch.errors import TerminalError, UsageError, error_context
from daily_batch.orchestration.bootstrap import make_submitter
from daily_batch.orchestration.preflight import FOLDER
from daily_batch.orchestration.spark_jobs import SparkJob, Submitter
from daily_batch.orchestration.spark_jobs.follow import explain_job_failure, wait_for_job
from daily_batch.pipeline.discover.discover import open_storage
from daily_batch.pipeline.publish.receipts import read_receipt
from daily_batch.pipeline.runners.base import Progress
from daily_batch.settings import Settings, load_settings
from daily_batch.storage.failures import explain_failure
from daily_batch.storage.scratch import temporary_folder
from daily_batch.storage.stores import open_store
from daily_batch.synthetic import FaultRates, Truth, generate
from daily_batch.synthetic.write import SAMPLE_DAY

# Nobody holds a lease on the day, and nothing was published below its folder before.
TOKEN = 1
# Whatever the worker is told: the day is an export, for a service to run, and nobody's ledger or catalog hears of it.
_FIXED = {
    "tenants": TENANT,
    "date": SAMPLE_DAY.isoformat(),
    "layout": "export",
    "discovery": "listing",
    "catalog": "",
    "look_first": True,
}
_SECRET_ELSEWHERE = "@Microsoft.KeyVault("  # noqa: S105 - what stands for a secret that only the app can read


@dataclass(frozen=True, kw_only=True)
class SmokeOptions:
    """What a person may ask: how long to wait, whether the day stays, and a file of the worker's variables."""

    wait_minutes: int = 30
    keep: bool = False
    variables: str | None = None
    as_json: bool = False
    debug: bool = False


@dataclass(frozen=True, kw_only=True)
class Rehearsed:
    """A day that ran, and all that a night needs with it."""

    service: str
    job_id: str
    messages: int
    seconds: int
    input: str
    output: str

    def __str__(self) -> str:
        """One line for a person."""
        ran = f"job {self.job_id} of {self.service} ran a day of {self.messages:,} messages in {self.seconds:,} s"
        return f"nothing is lacking: {ran}, from {self.input} to {self.output}"


@dataclass(frozen=True, kw_only=True)
class SmokeDay:
    """The day of one try, and what its receipt must say."""

    request: Request
    settings: Settings
    run_id: str

    @property
    def roots(self) -> tuple[StorageUrl, ...]:
        """What is made, and goes again."""
        return tuple(dict.fromkeys((self.request.input, self.request.output)))


def smoke_command(flags: Mapping[str, object], options: SmokeOptions) -> int:
    """Lay the day down, submit it, follow it, say what is missing; return the exit status of DESIGN's interface."""

    def run() -> int:
        with error_context(TENANT, SAMPLE_DAY.isoformat()), show_progress() as open_progress:
            progress = open_progress(f"tenant={TENANT} day={SAMPLE_DAY}")
            day = plan_day(flags, os.environ | _read_variables(options.variables))
            submitter = make_submitter(day.settings)
            if submitter is None:
                raise UsageError(
                    "there is no service that runs large days",
                    next_step="set MAKOTO_SPARK to emr-serverless or databricks, or give the worker's --variables",
                )
            told = rehearse(day, submitter, options, progress)
        if options.as_json:
            print_json(asdict(told))
        else:
            print(told)
        return 0

    return guarded(run, debug=options.debug)


def plan_day(flags: Mapping[str, object], environ: Mapping[str, str]) -> SmokeDay:
    """The day by the worker's settings, in a folder of its own below the worker's input and output.

    Raises:
        UsageError: a setting is wrong, or only the workspace reaches the storage.
    """
    settings = load_settings(flags={**flags, **_FIXED}, environ=environ)
    run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}"
    roots = {}
    for name in ("input", "output"):
        text = getattr(settings, name)
        if not text:
            raise UsageError(f"no {name} is named", next_step=f"give --{name}, or the worker's --variables")
        root = parse_url(text)
        if root.kind == "volume":
            step = "databricks bundle run smoke (docs/databricks.md), which looks from within"
            raise UsageError(f"the {name} is a volume, which only the workspace reaches", next_step=step)
        roots[name] = root.child(f"{FOLDER}/{run_id}")
    request = Request(
        tenant=TENANT,
        day=SAMPLE_DAY,
        layout="export",
        table_format=settings.table_format,
        input=roots["input"],
        output=roots["output"],
    )
    return SmokeDay(request=request, settings=settings, run_id=run_id)


def rehearse(day: SmokeDay, submitter: Submitter, options: SmokeOptions, progress: Progress) -> Rehearsed:
    """Run the day through the service.

    Raises:
        Retryable: nobody can tell: the service does not answer, the time is over, or a person ended it.
        Terminal: something is missing; the message says what.
    """
    begun = time.monotonic()
    submitter.check_code()
    with cleared(day, keep=options.keep):
        progress("lays the day down", 0, 0, "")
        truth = lay_day(day)
        job = SparkJob(
            request=day.request,
            run_id=day.run_id,
            token=TOKEN,
            settings=day.settings.for_job(tenant=TENANT),
        )
        job_id = submitter.submit(job)
        report = wait_for_job(submitter, job_id, seconds=60 * options.wait_minutes, progress=progress)
        if report.state != "SUCCEEDED":
            raise explain_job_failure(submitter, job_id, report)
        written = check_receipt(day, truth, job_id)
    return Rehearsed(
        service=submitter.name,
        job_id=job_id,
        messages=written,
        seconds=round(time.monotonic() - begun),
        input=str(day.request.input),
        output=str(day.request.output),
    )


def lay_day(day: SmokeDay) -> Truth:
    """Write the day's export, clean and the same each time; returns what a run must count.

    Raises:
        BatchError: this identity may not, or the storage does not answer.
    """
    request, settings = day.request, day.settings
    folder = export_folder(settings.export_template, TENANT, request.day)
    with temporary_folder() as scratch:
        truth = generate(
            messages=MESSAGES,
            layout="export",
            seed=1,
            out=scratch,
            tenant=TENANT,
            zone=settings.timezone,
            rates=FaultRates.none(),
        )
        files = sorted(path for path in (scratch / TENANT).rglob("*") if path.is_file())
        try:
            store = open_store(request.input, settings.storage_options, create=True)
            for path in files:
                store.put(f"{folder}{path.name}", path)
        except Exception as error:
            known = explain_failure(error, tenant=TENANT, day=request.day.isoformat())
            if known is None:
                raise
            step = "allow whoever runs this to write and delete there, or give another --input"
            raise type(known)(
                f"the day cannot be laid down in {request.input}: {known.what}", next_step=step
            ) from error
    return truth


def check_receipt(day: SmokeDay, truth: Truth, job_id: str) -> int:
    """The messages that the job published: all of them.

    Raises:
        Terminal: there is no receipt, or it counts something else.
    """
    output = open_storage(day.request, day.settings).open_output()
    receipt: Receipt | None = read_receipt(output, receipt_key(TENANT, day.request.day, day.run_id))
    if receipt is None:
        step = "look at the job's log, and whether this identity reads the output"
        raise TerminalError(f"job {job_id} succeeded and left no receipt in {day.request.output}", next_step=step)
    counted, meant = receipt.records.written, truth.records["written"]
    if (receipt.status, counted) != ("COMPLETED", meant):
        what = f"job {job_id} published {counted:,} messages as {receipt.status}, and {meant:,} were laid down"
        raise TerminalError(what, next_step="report it, with the job's log")
    return counted


@contextmanager
def cleared(day: SmokeDay, *, keep: bool) -> Iterator[None]:
    """What the day leaves goes at the end, however it ends; what cannot go, or shall stay, is named."""
    try:
        yield
    finally:
        for root in day.roots:
            if keep:
                print(f"left: {root}", file=sys.stderr)
                continue
            try:
                _remove(root, day.settings)
            except Exception as error:
                known = explain_failure(error, tenant=TENANT, day=day.request.day.isoformat())
                why = known.what if known else type(error).__name__
                print(f"left: {root}, for it cannot be removed: {why}", file=sys.stderr)


def _remove(root: StorageUrl, settings: Settings) -> None:
    if root.kind == "file":
        shutil.rmtree(root.path, ignore_errors=True)
        with suppress(OSError):  # it holds another try's, or was there before
            Path(root.path).parent.rmdir()
        return
    store = open_store(root, settings.storage_options)
    for found in store.list(chunk_size=500):
        store.delete([each["path"] for each in found])


def _read_variables(name: str | None) -> dict[str, str]:
    """The worker's variables, as `aws lambda get-function-configuration` or `az functionapp config appsettings` says.

    Raises:
        UsageError: it is neither's JSON.
    """
    if name is None:
        return {}
    try:
        text = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        given = msgspec.json.decode(text, type=dict[str, str] | list[_Named])
    except (OSError, msgspec.MsgspecError) as error:
        what = f"the worker's variables cannot be read ({type(error).__name__})"
        step = 'give a file, or - for standard input, of {"NAME": "value"} or [{"name": …, "value": …}]'
        raise UsageError(what, next_step=step) from error
    pairs = given.items() if isinstance(given, dict) else ((each.name, each.value) for each in given)
    return {name: value for name, value in pairs if not value.startswith(_SECRET_ELSEWHERE)}


class _Named(msgspec.Struct):
    """An app setting, as Azure lists it; it has more members."""

    name: str
    value: str
