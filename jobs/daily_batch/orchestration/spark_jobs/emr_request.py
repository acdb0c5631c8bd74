"""Build the StartJobRun request of EMR Serverless, in a size that the application and the account allow."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from daily_batch.domain.url import StorageUrl
from daily_batch.errors import TerminalError
from daily_batch.orchestration.routing.jobs import fit_disk
from daily_batch.orchestration.spark_jobs.base import JobSize, SparkJob

ENTRY_POINT = "daily_messages.py"
ENVIRONMENT = "environment.tar.gz"
# The tag `product` of our job runs.
PRODUCT = "makoto-daily-batch"
# Service Quotas' code of "Max concurrent vCPUs per account".
QUOTA = "L-D05C8A75"
# A second attempt publishes under the same fencing token, so the day is published at most once.
MAX_ATTEMPTS = 2


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A worker size that EMR Serverless offers. The JVM gets the heap; Python and DuckDB the rest of the memory."""

    vcpu: int
    gb: int
    heap_gb: int


# The constants of routing assume these sizes (conf/predictions.toml).
DRIVER = Worker(vcpu=2, gb=8, heap_gb=3)
EXECUTOR = Worker(vcpu=4, gb=16, heap_gb=6)
DRIVER_DISK_GB = 20


@dataclass(frozen=True, kw_only=True)
class EmrConfig:
    """The deployment's EMR settings."""

    application_id: str
    role_arn: str
    package: StorageUrl
    region: str
    python: str
    log_group: str = ""
    kms_key_arn: str = ""
    timeout_minutes: int = 360


def fit_size(size: JobSize, *, vcpus: int, capacity: Mapping[str, str]) -> JobSize:
    """Return the size, reduced to what may run at the same time; fewer executors get more disk each.

    Args:
        size: The requested size.
        vcpus: The vCPUs that the account's quota leaves for one job.
        capacity: The application's maximumCapacity: `cpu` as "40 vCPU", `memory` and `disk` as "300 GB"; each may be
            missing.

    Raises:
        TerminalError: Not even one executor fits; the message names the limit.
    """
    limits = {
        f"the account's quota of concurrent vCPUs ({QUOTA}; setting emr_vcpus)": (vcpus - DRIVER.vcpu) // EXECUTOR.vcpu
    }
    needs = {
        "cpu": (DRIVER.vcpu, EXECUTOR.vcpu),
        "memory": (DRIVER.gb, EXECUTOR.gb),
        "disk": (DRIVER_DISK_GB, size.disk_gb),
    }
    for name, (driver, executor) in needs.items():
        if maximum := re.match(r"\d+", capacity.get(name, "")):
            limit = f"the application's maximum capacity ({name} {capacity[name]})"
            limits[limit] = (int(maximum[0]) - driver) // executor
    narrowest = min(limits, key=lambda name: limits[name])
    if limits[narrowest] < 1:
        raise TerminalError(
            f"a driver of {DRIVER.vcpu} vCPU and {DRIVER.gb} GB with one executor of {EXECUTOR.vcpu} vCPU,"
            f" {EXECUTOR.gb} GB and {size.disk_gb} GB of disk does not fit into {narrowest}",
            next_step="raise that limit",
        )
    executors = min(size.executors, limits[narrowest])
    return JobSize(executors=executors, disk_gb=_share_disk(size, executors, capacity))


def _share_disk(size: JobSize, executors: int, capacity: Mapping[str, str]) -> int:
    """Return the disk of each executor: fewer of them share the same shuffle, as far as the limits allow."""
    disk_gb = fit_disk(ceil(size.executors * size.disk_gb / executors))
    if maximum := re.match(r"\d+", capacity.get("disk", "")):
        disk_gb = min(disk_gb, (int(maximum[0]) - DRIVER_DISK_GB) // executors)
    return max(disk_gb, size.disk_gb)


def make_request(job: SparkJob, config: EmrConfig, *, size: JobSize, policy: str) -> dict[str, Any]:
    """Return the arguments of StartJobRun.

    Args:
        job: The job.
        config: The deployment's configuration.
        size: The job's size, as `fit_size` returns it.
        policy: The session policy, which restricts the permissions of the job's role.
    """
    tenant, day = job.request.tenant, job.request.day.isoformat()
    tags = {
        "product": PRODUCT,
        "tenant": tenant,
        "date": day,
        "run_id": job.run_id,
        "token": str(job.token),
    }
    return {
        "applicationId": config.application_id,
        "clientToken": job.job_token,
        "name": f"makoto-{tenant}-{day}",
        "executionRoleArn": config.role_arn,
        "executionIamPolicy": {"policy": policy},
        "executionTimeoutMinutes": config.timeout_minutes,
        "retryPolicy": {"maxAttempts": MAX_ATTEMPTS},
        "tags": tags,
        "jobDriver": {
            "sparkSubmit": {
                "entryPoint": f"{config.package}/{ENTRY_POINT}",
                "entryPointArguments": job.arguments(),
                "sparkSubmitParameters": _format_conf(_make_conf(config, size)),
            }
        },
        **({"configurationOverrides": _make_log_settings(config, f"{tenant}/{day}")} if config.log_group else {}),
    }


def _make_conf(config: EmrConfig, size: JobSize) -> dict[str, object]:
    driver_env = "spark.emr-serverless.driverEnv"
    # With its version: an environment for another version has no such program, so the job fails immediately.
    python = f"./environment/bin/python{config.python}"
    return {
        "spark.archives": f"{config.package}/{ENVIRONMENT}#environment",
        f"{driver_env}.PYSPARK_DRIVER_PYTHON": python,
        f"{driver_env}.PYSPARK_PYTHON": python,
        "spark.executorEnv.PYSPARK_PYTHON": python,
        # Storage clients need the region; the driver passes it to the executors.
        f"{driver_env}.AWS_REGION": config.region,
        **_make_worker_conf("driver", DRIVER, DRIVER_DISK_GB),
        **_make_worker_conf("executor", EXECUTOR, size.disk_gb),
        # All executors from the start: a day has two stages, and most of its time would be waiting for workers.
        # Spark starts with the maximum of instances, initialExecutors and minExecutors; the service's default for
        # spark.executor.instances is 3, so a small job would start with three.
        "spark.executor.instances": size.executors,
        "spark.dynamicAllocation.initialExecutors": size.executors,
        "spark.dynamicAllocation.maxExecutors": size.executors,
    }


def _make_worker_conf(kind: str, worker: Worker, disk_gb: int) -> dict[str, object]:
    return {
        f"spark.{kind}.cores": worker.vcpu,
        f"spark.{kind}.memory": f"{worker.heap_gb}g",
        f"spark.{kind}.memoryOverhead": f"{worker.gb - worker.heap_gb}g",
        f"spark.emr-serverless.{kind}.disk": f"{disk_gb}G",
    }


def _format_conf(conf: Mapping[str, object]) -> str:
    """Format without quotes, as in the service's own examples: it may not support them. No value has a space."""
    return " ".join(f"--conf {name}={value}" for name, value in conf.items())


def _make_log_settings(config: EmrConfig, stream: str) -> dict[str, Any]:
    logging = {"enabled": True, "logGroupName": config.log_group, "logStreamNamePrefix": stream}
    return {"monitoringConfiguration": {"cloudWatchLoggingConfiguration": logging}}
