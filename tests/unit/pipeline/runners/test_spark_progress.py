"""Progress of Spark's stages."""

from hypothesis import given
from hypothesis import strategies as st

from daily_batch.pipeline.runners.spark_progress import report_stages

COUNTS = st.integers(min_value=0, max_value=6)


@given(st.lists(st.tuples(COUNTS, COUNTS), max_size=4))
def test_progress_never_passes_its_total(stages: list[tuple[int, int]]) -> None:
    """Spark counts each success of a task: 5 of 4 after a speculation or a lost executor."""
    reported = list[tuple[int, int]]()
    report_stages(stages, lambda activity, done, total, unit: reported.append((done, total)))
    assert all(0 < done <= total for done, total in reported)
    # Of the stages that are ours, only those with nothing done, or nothing to do, are left out.
    assert len(reported) == sum(1 for done, total in stages[:2] if done and total)
