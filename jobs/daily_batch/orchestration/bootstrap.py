"""Build what processes tenant-days in this process from the settings: ledger, runners, Spark service, routing."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from daily_batch.domain.url import StorageUrl
from daily_batch.errors import UsageError
from daily_batch.ledger.factory import open_ledger
from daily_batch.ledger.process import current_process
from daily_batch.orchestration.dispatch import Dispatch
from daily_batch.orchestration.routing import (
    Decision,
    FunctionLimits,
    Thresholds,
    Volume,
    count_executors,
    decide,
    load_predictions,
    load_prices,
    predict_disk_gb,
)
from daily_batch.orchestration.routing.billing import find_meter
from daily_batch.orchestration.routing.ceiling import JobCost, find_refusal, predict_job_cost
from daily_batch.orchestration.routing.costs import HostCost, predict_costs
from daily_batch.orchestration.spark_jobs import JobSize, Submitter
from daily_batch.orchestration.spark_jobs.spark_submit import SparkSubmit
from daily_batch.pipeline.discover.manifest import Manifest
from daily_batch.pipeline.partitioning import EXPANSION
from daily_batch.pipeline.runners.base import Runner
from daily_batch.pipeline.runners.local import LocalRunner
from daily_batch.pipeline.runners.resources import Resources, measure_resources
from daily_batch.settings import Settings
from daily_batch.storage.scratch import remove_abandoned
from daily_batch.telemetry import NoTelemetry, Telemetry

# spark-submit runs from a checkout of the project; the cloud services have submitters of their own.
PROJECT = Path(__file__).parents[3]
JOBS = Path(".makoto/jobs")


def refuse_spark() -> Runner:
    """Refuse to run Spark in a process that has none.

    Raises:
        UsageError: Always.
    """
    raise UsageError("the day needs Spark, which is not available here", next_step="set MAKOTO_SPARK")


def start_spark() -> Runner:
    """Start Spark in this process. Its module needs pyarrow, so it is imported only when a day needs Spark.

    Raises:
        UsageError: pyspark or Java is not installed.
    """
    from daily_batch.pipeline.runners.spark import start_local

    return start_local()


def make_dispatch(
    settings: Settings,
    output: StorageUrl,
    *,
    spark: Callable[[], Runner] = refuse_spark,
    parallel: int = 1,
    owner: str | None = None,
    deadline: float | None = None,
    telemetry: Telemetry | None = None,
) -> Dispatch:
    """Return what runs or submits days under an output root.

    Args:
        spark: Makes a runner on this process's Spark; a function has none.
        parallel: How many days share this process.
        owner: Names the holder in leases; None: this process, which others on its machine can find dead.
        deadline: When local runs hand over, by `time.monotonic`; None: each by its own `time_limit_seconds`.
        telemetry: Receives the steps of runs; None: nothing is logged.
    """
    resources = find_resources(settings).split(parallel)
    return Dispatch(
        settings=settings,
        ledger=open_ledger(settings, output),
        local=lambda: LocalRunner(resources=resources, deadline=deadline or _deadline(settings)),
        spark=spark,
        submitter=make_submitter(settings),
        reason_for_spark=lambda manifest: _reason_for_spark(decide_runner(manifest, settings, resources)),
        job_size=size_job,
        check_cost=lambda manifest: refuse_costly(predict_job(manifest, settings)),
        owner=owner or current_process(),
        telemetry=telemetry or NoTelemetry(),
        meter=find_meter(os.environ, memory_mb=settings.function_memory_mb, prices=load_prices()),
    )


def find_resources(settings: Settings) -> Resources:
    """Return what this process may use, as set or else as measured, after removing what dead runs left."""
    remove_abandoned()
    return measure_resources(os.environ, memory_bytes=settings.function_memory_mb * 2**20)


def decide_runner(manifest: Manifest, settings: Settings, resources: Resources) -> Decision:
    """Decide which runner processes a day, with reasons and what each runner is predicted to need."""
    limits = FunctionLimits(
        memory_bytes=resources.memory_bytes,
        seconds=settings.time_limit_seconds,
        cores=resources.cores,
        temp_bytes=resources.temp_bytes,
    )
    return decide(
        _volume(manifest),
        limits=limits,
        thresholds=Thresholds(small_messages=settings.small_messages, large_messages=settings.large_messages),
        predictions=load_predictions(),
        prices=load_prices(),
        choice=settings.runner,
        vcpus=settings.emr_vcpus,
    )


def price_hosts(manifest: Manifest, settings: Settings) -> tuple[HostCost, ...]:
    """Predict time and cost of a day on each host where it can run, in the sizes of the deployments."""
    return predict_costs(
        _volume(manifest), predictions=load_predictions(), prices=load_prices(), vcpus=settings.emr_vcpus
    )


def predict_job(manifest: Manifest | None, settings: Settings) -> JobCost | None:
    """Predict what the job of a day costs, beside its ceiling; None if its Spark bills nothing."""
    volume = _volume(manifest) if manifest else None
    return predict_job_cost(volume, settings, predictions=load_predictions(), prices=load_prices())


def refuse_costly(cost: JobCost | None) -> None:
    """Refuse a job above its ceiling.

    Raises:
        TerminalError: The job is predicted to cost more than max_usd, or its cost is not known.
    """
    if refusal := find_refusal(cost):
        raise refusal


def size_job(manifest: Manifest) -> JobSize:
    """Return how many workers a day keeps busy and the disk that each needs, regardless of quotas."""
    volume, predictions = _volume(manifest), load_predictions()
    executors = count_executors(volume, predictions)
    return JobSize(executors=executors, disk_gb=predict_disk_gb(volume, predictions, executors=executors))


def _volume(manifest: Manifest) -> Volume:
    """Return the day's volume in bytes as stored by default: exports compressed, single messages not."""
    usual = manifest.text_bytes // EXPANSION if manifest.layout == "export" else manifest.text_bytes
    return Volume(layout=manifest.layout, objects=manifest.objects, bytes=usual)


def _reason_for_spark(decision: Decision) -> str | None:
    return "; ".join(decision.reasons) if decision.runner == "spark" else None


def _deadline(settings: Settings) -> float | None:
    return time.monotonic() + settings.time_limit_seconds if settings.time_limit_seconds else None


def make_submitter(settings: Settings) -> Submitter | None:
    """Return the service that runs Spark jobs; None where Spark runs in this process.

    Raises:
        UsageError: A setting or a package of the service is missing.
    """
    if settings.spark == "here":
        return None
    if settings.spark in ("emr-serverless", "databricks"):
        return _open_service(settings)
    script, conf = PROJECT / "jobs/daily_messages.py", PROJECT / "conf/spark/local.conf"
    if not script.exists():
        raise UsageError("spark-submit needs a checkout of the project", next_step="set spark to here")
    return SparkSubmit(folder=JOBS, script=script, options=("--properties-file", str(conf)))


def _open_service(settings: Settings) -> Submitter:
    extra = "aws" if settings.spark == "emr-serverless" else "azure"
    try:
        if extra == "aws":
            from daily_batch.orchestration.spark_jobs.emr_serverless import open_emr_serverless

            return open_emr_serverless(settings)
        from daily_batch.orchestration.spark_jobs.databricks import open_databricks

        return open_databricks(settings)
    except ImportError as error:
        raise UsageError(
            f"spark is {settings.spark}, which needs the package {error.name}",
            next_step=f"pip install 'makoto-daily-batch[{extra}]'",
        ) from error
