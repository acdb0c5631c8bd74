"""What a job run used and is billed, by the workers that it asked for and the time that it ran."""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

from tests.local_cloud.aws.emr.validation import read_worker

HOUR = 3_600
# Of each worker: the least time, and the disk that costs nothing.
LEAST_SECONDS, FREE_DISK_GB = 60, 20
# What Spark takes the largest of, with the service's own defaults.
EXECUTORS = {
    "spark.executor.instances": "3",
    "spark.dynamicAllocation.initialExecutors": "3",
    "spark.dynamicAllocation.minExecutors": "0",
}


def describe_use(conf: Mapping[str, str], worked: Sequence[float]) -> dict[str, Any]:
    """The members of GetJobRun about it; none for a run that never ran.

    Every worker is there from the start of an attempt to its end, as with executors that are asked for all at once.

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
            conf, sum(max(each, LEAST_SECONDS) for each in seconds), free_disk_gb=FREE_DISK_GB
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
