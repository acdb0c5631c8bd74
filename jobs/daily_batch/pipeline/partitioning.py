"""Partition a day's work: how many chunks, buckets and files it has. Pure functions of its size, without any engine."""

from math import ceil

# gzip and zstd compress the text to about a fifth.
EXPANSION = 5
# A chunk is the work of one task: a few seconds, so that a failed task costs little.
CHUNK_BYTES = 16 * 2**20
CHUNK_OBJECTS = 4_000
# A bucket is sorted as a whole. Its text fits if it is at most a third of the sort's memory; a larger bucket spills.
SORT_MEMORY_PER_TEXT = 3
MAX_BUCKETS = 256
# The most text of a part of the merge: about ten million messages, each of which takes 70 bytes of memory to merge.
MERGE_TEXT_BYTES = 8 * 2**30


def count_chunks(objects: int, stored_bytes: int) -> int:
    """Return the number of chunks of a day, as if all its objects had the same size."""
    if not objects:
        return 0
    in_one = min(CHUNK_BYTES * objects // max(stored_bytes, 1), CHUNK_OBJECTS)
    return ceil(objects / max(in_one, 1))


def count_files(text_bytes: int, target_bytes: int) -> int:
    """Return the number of files of about the target size that hold a day's messages."""
    # Parquet is at most as large as gzip (measured: 0.12 of the text, gzip 0.24).
    return max(1, -(-text_bytes // (EXPANSION * target_bytes)))


def count_buckets(least: int, text_bytes: int, *, sort_bytes: int) -> int:
    """Return the number of buckets: at least `least`, and enough that each is sorted in `sort_bytes`."""
    return max(least, min(-(-text_bytes * SORT_MEMORY_PER_TEXT // sort_bytes), MAX_BUCKETS))


def count_merges(text_bytes: int) -> int:
    """Return the number of parts in which the aggregates of a day are merged."""
    return max(1, -(-text_bytes // MERGE_TEXT_BYTES))


def share_memory(memory_bytes: int) -> int:
    """Return the sort's memory by which Spark's buckets are sized, of the memory of a task.

    Half of what a task could sort, so that a day has more tasks than a small cluster has cores.
    """
    return memory_bytes // 2
