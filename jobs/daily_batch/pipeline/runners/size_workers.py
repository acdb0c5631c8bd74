"""Size the local runner's workers: how many run concurrently, the memory and disk of each, and the buckets.

Pure functions of the process's resources and the day.
"""

from dataclasses import dataclass, replace
from threading import Lock

from daily_batch.domain.run import RunSpec
from daily_batch.errors import HandOverError
from daily_batch.pipeline.discover.manifest import Manifest
from daily_batch.pipeline.partitioning import count_buckets
from daily_batch.pipeline.runners.resources import MIB, Resources

# Measured: the interpreter with its libraries, and the vectors of one query, which DuckDB's memory_limit excludes.
PROCESS_BYTES = 96 * MIB
TASK_BYTES = 40 * MIB
# A task's `memory_bytes` limits DuckDB. Stored and decoded text, lines and arrays take at most as much again.
TASK_MEMORY_PARTS = 2
MIN_TASK_BYTES = 56 * MIB
# Below this size another concurrent task costs more in spilling than it saves.
COMFORTABLE_TASK_BYTES = 192 * MIB
# A third of the map's time holds the interpreter lock: more threads than this wait for each other.
MAX_WORKERS = 4
# The reduce holds no text, so DuckDB may use this factor more than in the map. Only for comfortable tasks: in a small
# process the interpreter uses most of the rest.
SORT_MEMORY_FACTOR = 1.5


@dataclass(frozen=True, kw_only=True)
class WorkerSizes:
    """The sizes of a local run.

    Attributes:
        workers: The number of concurrent tasks.
        spec: The day's specification, with the limits of each task.
        sort_bytes: The memory that DuckDB may use for each task in the reduce.
    """

    workers: int
    spec: RunSpec
    sort_bytes: int


def size_workers(resources: Resources, *, spec: RunSpec, manifest: Manifest) -> WorkerSizes:
    """Return sizes with which all tasks together fit into the process's memory.

    The `memory_bytes` and `fetch_concurrency` of `spec` are upper bounds, its `buckets` a lower one. More buckets
    change the files of a table, never its rows.

    Raises:
        HandOverError: The memory is too small for a single task.
    """
    workers = max(
        (n for n in range(1, min(resources.cores, MAX_WORKERS) + 1) if _share(resources, n) >= COMFORTABLE_TASK_BYTES),
        default=1,
    )
    share = _share(resources, workers)
    memory = min(spec.limits.memory_bytes, share)
    factor = SORT_MEMORY_FACTOR if share >= COMFORTABLE_TASK_BYTES else 1
    sort_bytes = min(spec.limits.memory_bytes, int(share * factor))
    if memory < min(MIN_TASK_BYTES, spec.limits.memory_bytes):
        raise HandOverError(
            f"{resources.memory_bytes // MIB} MiB of memory are too few for a run in this process",
            next_step="run the day on Spark, or give the function more memory",
            tenant=spec.tenant,
            day=spec.date,
        )
    buckets = count_buckets(spec.buckets, manifest.text_bytes, sort_bytes=sort_bytes)
    if buckets > spec.buckets:  # a multiple of the workers, so that all get the same number
        buckets = -(-buckets // workers) * workers
    limits = replace(
        spec.limits,
        memory_bytes=memory,
        fetch_concurrency=min(spec.limits.fetch_concurrency, max(1, memory // MIB)),
    )
    # The other half is for spilled rows between map and reduce, and for large objects.
    spill = resources.temp_bytes // 2 // workers
    sized = replace(spec, limits=limits, buckets=buckets, spill_bytes=spill)
    return WorkerSizes(workers=workers, spec=sized, sort_bytes=sort_bytes)


def _share(resources: Resources, workers: int) -> int:
    return max(0, resources.memory_bytes - PROCESS_BYTES - workers * TASK_BYTES) // workers // TASK_MEMORY_PARTS


class ByteBudget:
    """A thread-safe budget of bytes."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._lock = Lock()

    def reserve(self, size: int) -> bool:
        """Reserve bytes; return whether the budget had enough left."""
        with self._lock:
            if size > self._left:
                return False
            self._left -= size
            return True
