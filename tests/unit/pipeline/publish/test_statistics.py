"""Statistics of data files: bounds enclose every value and are valid JSON."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daily_batch.domain.run import ColumnStatistics, DataFile
from daily_batch.pipeline.transform.statistics import (
    bounded_maximum,
    bounded_statistics,
    statistics_json,
    timestamp_maximum,
    timestamp_minimum,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=80) | st.text(
    st.sampled_from(["a", "\x7f", "é", "\U0010ffff"]), min_size=30, max_size=40
)


@given(TEXTS)
def test_bounds_of_a_text_enclose_it_in_the_order_of_utf8_bytes(text: str):
    bounds = bounded_statistics({"c": ColumnStatistics(minimum=text, maximum=text, nulls=0)})["c"]
    assert isinstance(bounds.minimum, str)
    assert isinstance(bounds.maximum, str)
    assert bounds.minimum.encode() <= text.encode() <= bounds.maximum.encode()
    assert len(bounds.minimum) <= 32


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\U0010ffff"), min_size=33, max_size=600))
def test_long_maximum_is_cut_to_33_characters(text: str):
    assert len(bounded_maximum(text)) == 33


def test_text_of_32_characters_is_not_cut():
    text = "あ" * 32
    assert bounded_statistics({"c": ColumnStatistics(minimum=text, maximum=text, nulls=1)}) == {
        "c": ColumnStatistics(minimum=text, maximum=text, nulls=1)
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a" * 33, "a" * 32 + "\x7f"),
        ("a" * 32 + "é", "a" * 32 + "\U0010ffff"),
        ("a" * 32 + "\x7f", "a" * 32 + "\U0010ffff"),
        ("\U0010ffff" * 40, "\U0010ffff" * 40),
        ("a" * 32 + "\U0010ffff" + "b", "a" * 32 + "\U0010ffff" + "\x7f"),
    ],
)
def test_cut_maximum_ends_with_a_greater_character(text: str, expected: str):
    assert bounded_maximum(text) == expected


@given(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)))
def test_timestamps_are_rounded_outwards_to_a_millisecond(moment: datetime):
    exact = moment.replace(tzinfo=UTC)
    microseconds = (exact - datetime(1970, 1, 1, tzinfo=UTC)) // exact.resolution
    low, high = (datetime.fromisoformat(text(microseconds)) for text in (timestamp_minimum, timestamp_maximum))
    assert low <= exact <= high
    assert (high - low).microseconds in (0, 1000)


def test_timestamp_bounds_are_formatted_with_milliseconds():
    assert timestamp_minimum(1_754_966_165_123_456) == "2025-08-12T02:36:05.123Z"
    assert timestamp_maximum(1_754_966_165_123_456) == "2025-08-12T02:36:05.124Z"
    assert timestamp_maximum(1_754_966_165_123_000) == "2025-08-12T02:36:05.123Z"
    assert timestamp_minimum(-1) == "1969-12-31T23:59:59.999Z"


def test_column_of_nulls_has_only_its_null_count():
    file = DataFile(
        path="p",
        rows=2,
        bytes=1,
        statistics={
            "n": ColumnStatistics(minimum=None, maximum=None, nulls=2),
            "z": ColumnStatistics(minimum=0, maximum=7, nulls=0),
        },
    )
    assert json.loads(statistics_json(file)) == {
        "numRecords": 2,
        "minValues": {"z": 0},
        "maxValues": {"z": 7},
        "nullCount": {"n": 2, "z": 0},
    }


def test_bound_that_is_not_a_number_is_refused():
    file = DataFile(
        path="p", rows=1, bytes=1, statistics={"x": ColumnStatistics(minimum=float("nan"), maximum=1.0, nulls=0)}
    )
    with pytest.raises(ValueError, match="JSON"):
        statistics_json(file)
