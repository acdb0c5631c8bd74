"""Into how many buckets of rooms a day is cut, whichever runner sorts them. Pure."""

from daily_batch.domain.run import RunSpec

# A bucket is sorted as a whole. This part of what sorts it fits as text; a larger one spills.
BUCKET_SHARE = 3
MOST_BUCKETS = 256


def count_buckets(plan: RunSpec, text_bytes: int, *, sorting_bytes: int) -> int:
    """Return how many buckets the day's text needs: the plan's, or more, so that a task sorts each in its memory."""
    return max(plan.buckets, min(-(-text_bytes * BUCKET_SHARE // sorting_bytes), MOST_BUCKETS))
