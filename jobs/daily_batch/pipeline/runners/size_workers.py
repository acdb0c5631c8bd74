"""How the local runner divides what its process has: tasks at once, memory and disk of each, buckets. Pure."""

from dataclasses import dataclass, replace
from threading import Lock

from daily_batch.domain.run import RunSpec
from daily_batch.errors import HandOverError
from daily_batch.pipeline.discover.manifest import Manifest
from daily_batch.pipeline.runners.resources import MIB, Resources

# Measured: the interpreter with its libraries, and what the vectors of one query take beside DuckDB's memory_limit.
PROCESS_BYTES = 96 * MIB
TASK_BYTES = 40 * MIB
# A task's `memory_bytes` bounds DuckDB. Stored and decoded text, lines and arrays take as much again at most.
PARTS = 2
LEAST_BYTES = 56 * MIB
# With less than this another task at once costs more in spilling than it saves.
COMFORTABLE_BYTES = 192 * MIB
# A third of the map holds the interpreter: more threads than this wait for each other.
MOST_WORKERS = 4
# In the reduce no text is at hand, and DuckDB may use this much more than in the map; where a task is comfortable, for
# in a small process the interpreter has most of the rest.
SORTING_MORE = 1.5


@dataclass(frozen=True, kw_only=True)
class LocalSizes:
    """Tasks at once, the plan with the limits of each, and the bytes that DuckDB may use for each in the reduce."""

    workers: int
    plan: RunSpec
    sorting_bytes: int


def size_workers(resources: Resources, *, plan: RunSpec, manifest: Manifest) -> LocalSizes:
    """Sizes with which all tasks together stay inside of the process's memory.

    The plan's own `memory_bytes` and `fetch_concurrency` are upper bounds, its `buckets` a lower one. More buckets
    change the files of a table, never its rows.

    Raises:
        HandOver: there is too little memory for a single task.
    """
    workers = max(
        (n for n in range(1, min(resources.cores, MOST_WORKERS) + 1) if _share(resources, n) >= COMFORTABLE_BYTES),
        default=1,
    )
    share = _share(resources, workers)
    memory = min(plan.limits.memory_bytes, share)
    sorting = min(plan.limits.memory_bytes, int(share * (SORTING_MORE if share >= COMFORTABLE_BYTES else 1)))
    if memory < min(LEAST_BYTES, plan.limits.memory_bytes):
        raise HandOverError(
            f"{resources.memory_bytes // MIB} MiB of memory are too few for a run in this process",
            next_step="run the day on Spark, or give the function more memory",
            tenant=plan.tenant,
            day=plan.date,
        )
    buckets = count_buckets(plan, manifest.text_bytes, sorting_bytes=sorting)
    if buckets > plan.buckets:  # so that no worker has one more than another
        buckets = -(-buckets // workers) * workers
    limits = replace(
        plan.limits,
        memory_bytes=memory,
        fetch_concurrency=min(plan.limits.fetch_concurrency, max(1, memory // MIB)),
    )
    # The other half is for the runs between map and reduce, and for large objects.
    spill = resources.temp_bytes // 2 // workers
    sized = replace(plan, limits=limits, buckets=buckets, spill_bytes=spill)
    return LocalSizes(workers=workers, plan=sized, sorting_bytes=sorting)


def _share(resources: Resources, workers: int) -> int:
    return max(0, resources.memory_bytes - PROCESS_BYTES - workers * TASK_BYTES) // workers // PARTS


# A bucket is sorted as a whole. This part of what sorts it fits as text; a larger one spills.
BUCKET_SHARE = 3
MOST_BUCKETS = 256


def count_buckets(plan: RunSpec, text_bytes: int, *, sorting_bytes: int) -> int:
    """Return how many buckets the day's text needs: the plan's, or more, so that a task sorts each in its memory."""
    return max(plan.buckets, min(-(-text_bytes * BUCKET_SHARE // sorting_bytes), MOST_BUCKETS))


class KeptText:
    """A budget of bytes of text, asked by many threads."""

    def __init__(self, most: int) -> None:
        self._left = most
        self._lock = Lock()

    def take(self, size: int) -> bool:
        """Take so many bytes, if they are left."""
        with self._lock:
            if size > self._left:
                return False
            self._left -= size
            return True
