"""How many parts the merge of a day has."""

from hypothesis import given
from hypothesis import strategies as st

from daily_batch.pipeline.partitioning import MERGE_TEXT_BYTES, count_merges


def test_a_day_of_up_to_ten_million_usual_messages_is_merged_as_a_whole() -> None:
    assert count_merges(0) == count_merges(1) == count_merges(MERGE_TEXT_BYTES) == 1
    assert count_merges(MERGE_TEXT_BYTES + 1) == 2


@given(st.integers(0, 2**50))
def test_no_part_of_the_merge_has_more_text_than_the_limit(text_bytes: int) -> None:
    parts = count_merges(text_bytes)
    assert text_bytes <= parts * MERGE_TEXT_BYTES
    assert parts == 1 or text_bytes > (parts - 1) * MERGE_TEXT_BYTES
