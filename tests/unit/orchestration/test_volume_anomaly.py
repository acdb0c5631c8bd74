"""Unusual volumes: weekdays, small tenants, empty days, and invariance to order and scale."""

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daily_batch.orchestration.volume_anomaly import REMEMBERED, Volume, find_anomaly

DAY = date(2025, 8, 12)  # a Tuesday
BEFORE = [DAY - timedelta(days=back) for back in range(1, REMEMBERED.days + 1)]
HISTORIES = st.lists(st.tuples(st.sampled_from(BEFORE), st.integers(0, 10_000)), unique_by=lambda entry: entry[0])


def compare(messages: int, history: dict[date, int], *, floor: int = 100) -> Volume:
    compared = find_anomaly(messages, list(history.items()), DAY, floor=floor)
    assert compared is not None
    return compared


def office_volume(day: date) -> int:
    return 10 if day.weekday() >= 5 else 10_000


@pytest.mark.parametrize(
    ("messages", "unusual"), [(10_000, False), (3_334, False), (3_333, True), (30_000, False), (30_001, True)]
)
def test_day_is_unusual_beyond_the_factor_either_way(messages: int, unusual: bool) -> None:
    assert compare(messages, dict.fromkeys(BEFORE, 10_000)).is_unusual == unusual


def test_day_is_compared_with_its_own_weekday() -> None:
    saturday = DAY + timedelta(days=4)
    history = [(day, office_volume(day)) for day in (saturday - timedelta(days=back) for back in range(1, 29))]
    quiet, busy = find_anomaly(12, history, saturday), find_anomaly(10_000, history, saturday)
    assert quiet == Volume(
        actual=12, expected=10, is_unusual=False, sentence="12 messages, where the last 4 Saturdays had about 10"
    )
    assert busy is not None and busy.is_unusual


@pytest.mark.parametrize("weeks", [1, 2, 3, 4])
@pytest.mark.parametrize("outlier", [0, 300_000])
def test_one_outlier_does_not_change_later_expectations(weeks: int, outlier: int) -> None:
    history = dict.fromkeys(BEFORE[: 7 * weeks], 10_000) | {DAY - timedelta(weeks=1): outlier}
    assert not compare(10_000, history).is_unusual
    assert compare(60_000, history).is_unusual
    assert compare(0, dict.fromkeys(BEFORE[: 7 * weeks], 10_000)).is_unusual


def test_all_recent_days_are_compared_if_same_weekdays_are_too_few() -> None:
    sunday = date(2025, 8, 17)
    first_week = [(sunday - timedelta(days=back), office_volume(sunday - timedelta(days=back))) for back in range(1, 8)]
    assert first_week[-1][0].weekday() == sunday.weekday()
    second, loud = find_anomaly(12, first_week, sunday), find_anomaly(90_000, first_week, sunday)
    assert second is not None and not second.is_unusual and "last 7 days" in second.sentence
    assert loud is not None and loud.is_unusual


def test_small_tenant_is_unusual_only_without_any_messages() -> None:
    always, often = dict.fromkeys(BEFORE, 5), dict.fromkeys(BEFORE, 5) | {BEFORE[0]: 0}
    assert [compare(messages, always).is_unusual for messages in (60, 1, 0)] == [False, False, True]
    assert not compare(0, often).is_unusual


def test_too_little_history_gives_no_result() -> None:
    assert find_anomaly(10**9, [(day, 1) for day in BEFORE[:2]], DAY) is None
    long_ago = [(DAY - timedelta(days=back), 1) for back in range(29, 60)]
    later = [(DAY + timedelta(days=ahead), 1) for ahead in range(10)]
    assert find_anomaly(10**9, long_ago + later, DAY) is None


@settings(max_examples=50, deadline=None)
@given(messages=st.integers(0, 10**6), history=HISTORIES, data=st.data())
def test_order_of_the_history_changes_nothing(
    messages: int, history: list[tuple[date, int]], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(history))
    assert find_anomaly(messages, history, DAY) == find_anomaly(messages, shuffled, DAY)


@settings(max_examples=50, deadline=None)
@given(messages=st.integers(0, 10**6), history=HISTORIES, scale=st.integers(1, 1000))
def test_scaling_all_volumes_changes_nothing(messages: int, history: list[tuple[date, int]], scale: int) -> None:
    compared = find_anomaly(messages, history, DAY, floor=100)
    larger = find_anomaly(messages * scale, [(day, n * scale) for day, n in history], DAY, floor=100 * scale)
    assert (compared and compared.is_unusual) == (larger and larger.is_unusual)


@settings(max_examples=30, deadline=None)
@given(messages=st.integers(0, 10**9), days=st.sets(st.sampled_from(BEFORE)), floor=st.integers(0, 1000))
def test_constant_volume_is_never_unusual(messages: int, days: set[date], floor: int) -> None:
    compared = find_anomaly(messages, [(day, messages) for day in days], DAY, floor=floor)
    assert compared is None or not compared.is_unusual
