"""The resources that a job run used and is billed for, from its workers and run time."""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

from tests.local_cloud.aws.emr.validation import read_worker

HOUR = 3_600
# Per worker: the minimum billed time, and the free disk.
MIN_SECONDS, FREE_DISK_GB = 60, 20
# Spark starts with the largest of these; the values are the service's defaults.
EXECUTORS = {
    "spark.executor.instances": "3",
    "spark.dynamicAllocation.initialExecutors": "3",
    "spark.dynamicAllocation.minExecutors": "0",
}


def describe_usage(conf: Mapping[str, str], worked: Sequence[float]) -> dict[str, Any]:
    """Return GetJobRun's members about usage; none for a run that never started.

    Every worker counts from the start of an attempt to its end, as with executors that are all requested at once.

    Args:
        worked: seconds that each attempt ran.
    """
    if not worked:
        return {}
    seconds = [ceil(each) for each in worked]
    return {
        "totalExecutionDurationSeconds": sum(seconds),
        "totalResourceUtilization": _count(conf, sum(seconds), free_disk_gb=0),
        "billedResourceUtilization": _count(
            conf, sum(max(each, MIN_SECONDS) for each in seconds), free_disk_gb=FREE_DISK_GB
        ),
    }


def _count(conf: Mapping[str, str], seconds: int, *, free_disk_gb: int) -> dict[str, float]:
    executors = max(int(conf.get(name, default)) for name, default in EXECUTORS.items())
    workers = [read_worker("driver", conf), *[read_worker("executor", conf)] * executors]
    hours = seconds / HOUR
    return {
        "vCPUHour": round(hours * sum(vcpu for vcpu, _, _ in workers), 3),
        "memoryGBHour": round(hours * sum(memory for _, memory, _ in workers), 3),
        "storageGBHour": round(hours * sum(max(disk - free_disk_gb, 0) for _, _, disk in workers), 3),
    }
