"""What EMR Serverless is asked for: one job run, in a size that the application and the account allow."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from daily_batch.domain.url import StorageUrl
from daily_batch.errors import TerminalError
from daily_batch.orchestration.spark_jobs.base import JobSize, SparkJob

ENTRY = "daily_messages.py"
ENVIRONMENT = "environment.tar.gz"
# By which our own job runs are known.
PRODUCT = "makoto-daily-batch"
# Service Quotas' code of "Max concurrent vCPUs per account".
QUOTA = "L-D05C8A75"
# A repeated attempt publishes under the same token, so it repeats nothing.
ATTEMPTS = 2


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A size that EMR Serverless has. The heap is the JVM's, the rest of the memory Python's and DuckDB's."""

    vcpu: int
    gb: int
    heap_gb: int


# routing's constants assume these sizes (conf/predictions.toml).
DRIVER = Worker(vcpu=2, gb=8, heap_gb=3)
EXECUTOR = Worker(vcpu=4, gb=16, heap_gb=6)
DRIVER_DISK_GB = 20


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where jobs run: what a deployment sets."""

    application_id: str
    role_arn: str
    package: StorageUrl
    region: str
    python: str
    log_group: str = ""
    kms_key_arn: str = ""
    timeout_minutes: int = 360


def fit(size: JobSize, *, vcpus: int, capacity: Mapping[str, str]) -> JobSize:
    """The size, or as much of it as there may be at once.

    Args:
        vcpus: what the account's quota leaves for one job.
        capacity: the application's maximumCapacity: `cpu` as "40 vCPU", `memory` and `disk` as "300 GB"; may lack any.

    Raises:
        Terminal: not even one executor fits; the limit is named.
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
        if most := re.match(r"\d+", capacity.get(name, "")):
            limit = f"the application's maximum capacity ({name} {capacity[name]})"
            limits[limit] = (int(most[0]) - driver) // executor
    narrowest = min(limits, key=lambda name: limits[name])
    if limits[narrowest] < 1:
        raise TerminalError(
            f"a driver of {DRIVER.vcpu} vCPU and {DRIVER.gb} GB with one executor of {EXECUTOR.vcpu} vCPU,"
            f" {EXECUTOR.gb} GB and {size.disk_gb} GB of disk does not fit into {narrowest}",
            next_step="raise that limit",
        )
    return JobSize(executors=min(size.executors, limits[narrowest]), disk_gb=size.disk_gb)


def make_request(job: SparkJob, place: Place, *, size: JobSize, policy: str) -> dict[str, Any]:
    """The arguments of StartJobRun.

    Args:
        size: what of the job's size fits.
        policy: what the job may do, beside what its role allows.
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
        "applicationId": place.application_id,
        "clientToken": job.job_token,
        "name": f"makoto-{tenant}-{day}",
        "executionRoleArn": place.role_arn,
        "executionIamPolicy": {"policy": policy},
        "executionTimeoutMinutes": place.timeout_minutes,
        "retryPolicy": {"maxAttempts": ATTEMPTS},
        "tags": tags,
        "jobDriver": {
            "sparkSubmit": {
                "entryPoint": f"{place.package}/{ENTRY}",
                "entryPointArguments": job.arguments(),
                "sparkSubmitParameters": _write_conf(_conf(place, size)),
            }
        },
        **({"configurationOverrides": _logging(place, f"{tenant}/{day}")} if place.log_group else {}),
    }


def _conf(place: Place, size: JobSize) -> dict[str, object]:
    driver_env = "spark.emr-serverless.driverEnv"
    # By its version: an environment that was made for another one has no such program, and the job fails at once.
    python = f"./environment/bin/python{place.python}"
    return {
        "spark.archives": f"{place.package}/{ENVIRONMENT}#environment",
        f"{driver_env}.PYSPARK_DRIVER_PYTHON": python,
        f"{driver_env}.PYSPARK_PYTHON": python,
        "spark.executorEnv.PYSPARK_PYTHON": python,
        # Storage clients ask for it, and executors are told by the driver.
        f"{driver_env}.AWS_REGION": place.region,
        **_worker_conf("driver", DRIVER, DRIVER_DISK_GB),
        **_worker_conf("executor", EXECUTOR, size.disk_gb),
        # All at once from the start: a day is two stages, and waiting for workers would be most of it.
        # The largest of these two and of the least is what Spark begins with, and the service's own default of
        # spark.executor.instances is 3: without it a small job would have three.
        "spark.executor.instances": size.executors,
        "spark.dynamicAllocation.initialExecutors": size.executors,
        "spark.dynamicAllocation.maxExecutors": size.executors,
    }


def _worker_conf(kind: str, worker: Worker, disk_gb: int) -> dict[str, object]:
    return {
        f"spark.{kind}.cores": worker.vcpu,
        f"spark.{kind}.memory": f"{worker.heap_gb}g",
        f"spark.{kind}.memoryOverhead": f"{worker.gb - worker.heap_gb}g",
        f"spark.emr-serverless.{kind}.disk": f"{disk_gb}G",
    }


def _write_conf(conf: Mapping[str, object]) -> str:
    """As the service's own examples do: without quotes, which it may not understand. No value has a space."""
    return " ".join(f"--conf {name}={value}" for name, value in conf.items())


def _logging(place: Place, stream: str) -> dict[str, Any]:
    logging = {"enabled": True, "logGroupName": place.log_group, "logStreamNamePrefix": stream}
    return {"monitoringConfiguration": {"cloudWatchLoggingConfiguration": logging}}
