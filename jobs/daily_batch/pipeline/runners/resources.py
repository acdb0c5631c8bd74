"""Measure the memory, cores and temporary disk that this process may use: its function, its cgroups and its machine."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path, PurePath
from typing import TypeVar

from daily_batch.storage.scratch import temporary_root

MIB = 2**20
# A Lambda function gets one core per 1,769 MiB of memory, however many cores it sees.
LAMBDA_CORE_MIB = 1_769
# cgroups version 1 represents "no limit" by a number above this one.
UNLIMITED = 2**60

Limit = TypeVar("Limit", int, float)


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Bytes of memory and of temporary disk, and the number of cores (a fraction of a core counts as one)."""

    memory_bytes: int
    cores: int
    temp_bytes: int

    def split(self, parts: int) -> "Resources":
        """Return the share of each of `parts` runs in this process."""
        return Resources(
            memory_bytes=self.memory_bytes // parts,
            cores=max(1, self.cores // parts),
            temp_bytes=self.temp_bytes // parts,
        )


def measure_resources(environ: Mapping[str, str], *, memory_bytes: int = 0, root: Path = Path("/")) -> Resources:
    """Return what this process may use now.

    Args:
        environ: The environment variables, which hold a Lambda function's memory size.
        memory_bytes: The memory of a function whose environment does not hold it; 0: measure it.
        root: The folder of `proc` and `sys`.
    """
    cores = min([_count_cores(), *(ceil(part) for part in _find_limits(root, "cpu", _read_cores))])
    lambda_mib = int(environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE") or 0)
    if lambda_mib:
        cores = min(cores, ceil(lambda_mib / LAMBDA_CORE_MIB))
    return Resources(
        memory_bytes=memory_bytes or lambda_mib * MIB or measure_memory(root),
        cores=max(1, cores),
        temp_bytes=shutil.disk_usage(temporary_root()).free,
    )


def measure_memory(root: Path) -> int:
    """Return the minimum of the machine's available memory and the limits of all cgroups of this process."""
    return min([_read_available(root), *_find_limits(root, "memory", _read_memory)])


def _count_cores() -> int:
    # Only Linux reports which cores a process may use.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _read_available(root: Path) -> int:
    meminfo = dict(line.split(":", 1) for line in _read(root / "proc/meminfo").splitlines() if ":" in line)
    for name in ("MemAvailable", "MemTotal"):
        if name in meminfo:
            return int(meminfo[name].split()[0]) * 1024
    return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def _find_limits(root: Path, controller: str, read: Callable[[Path], Limit | None]) -> Iterator[Limit]:
    """Yield the limits of this process's cgroup and of its ancestors, in both versions of cgroups."""
    mounted = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0":
            hierarchies = [mounted, mounted / "unified"]
        elif controller in controllers.split(","):
            hierarchies = [mounted / controllers, mounted / controller]
        else:
            continue
        # In a container the path may be the host's, of which only the root exists here.
        below = [hierarchy / part for hierarchy in hierarchies for part in _with_parents(path)]
        yield from (limit for limit in map(read, below) if limit is not None)


def _with_parents(path: str) -> list[PurePath]:
    cgroup = PurePath(path.lstrip("/"))
    return [cgroup, *cgroup.parents]


def _read_memory(cgroup: Path) -> int | None:
    text = _read(cgroup / "memory.max") or _read(cgroup / "memory.limit_in_bytes")
    limit = int(text) if text.strip().isdecimal() else UNLIMITED
    return limit if limit < UNLIMITED else None


def _read_cores(cgroup: Path) -> float | None:
    quota, _, period = _read(cgroup / "cpu.max").strip().partition(" ")
    if not quota:
        quota, period = _read(cgroup / "cpu.cfs_quota_us").strip(), _read(cgroup / "cpu.cfs_period_us").strip()
    # "max" and -1 mean no limit.
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() else None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
