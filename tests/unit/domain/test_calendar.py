"""Business days against known calendars, and against a brute-force walk through the hours."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daily_batch.domain.calendar import business_day, day_window, offset_spans, parse_day, utc_folders
from daily_batch.errors import UsageError

ZONES = ("Asia/Tokyo", "America/New_York", "Australia/Lord_Howe", "UTC", "Asia/Kathmandu", "America/Sao_Paulo")
HOUR_US = 3_600_000_000


def to_utc_us(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("now", "zone", "expected"),
    [
        ("2026-11-22T17:00", "Asia/Tokyo", "2026-11-22"),  # the schedule: 02:00 JST on the 23rd
        ("2026-11-22T14:59:59", "Asia/Tokyo", "2026-11-21"),
        ("2026-11-22T15:00", "Asia/Tokyo", "2026-11-22"),
        ("2026-11-22T17:00", "UTC", "2026-11-21"),
        ("2026-03-09T03:30", "America/New_York", "2026-03-07"),  # still the 8th there, a day of 23 hours
        ("2026-01-01T00:00", "Asia/Kathmandu", "2025-12-31"),
    ],
)
def test_yesterday_is_computed_in_the_zone(now: str, zone: str, expected: str) -> None:
    clock = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert business_day(clock, offset=-1, zone=zone) == date.fromisoformat(expected)


def test_zone_of_the_clock_does_not_matter() -> None:
    clock = datetime(2026, 11, 23, 2, tzinfo=ZoneInfo("Asia/Tokyo"))
    assert business_day(clock, offset=-1, zone="Asia/Tokyo") == date(2026, 11, 22)
    assert business_day(clock.astimezone(ZoneInfo("America/New_York")), offset=-1, zone="Asia/Tokyo") == date(
        2026, 11, 22
    )


def test_clock_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        business_day(datetime(2026, 11, 23, 2), offset=-1, zone="Asia/Tokyo")


def test_offset_beyond_the_calendar_is_a_usage_error() -> None:
    with pytest.raises(UsageError):
        business_day(datetime(2026, 11, 23, tzinfo=UTC), offset=-10_000_000, zone="UTC")


@pytest.mark.parametrize(
    ("day", "zone", "start", "end"),
    [
        ("2026-11-22", "Asia/Tokyo", "2026-11-21T15:00", "2026-11-22T15:00"),
        ("2026-11-22", "UTC", "2026-11-22T00:00", "2026-11-23T00:00"),
        ("2026-11-22", "Asia/Kathmandu", "2026-11-21T18:15", "2026-11-22T18:15"),
        ("2026-03-08", "America/New_York", "2026-03-08T05:00", "2026-03-09T04:00"),  # 23 hours
        ("2026-11-01", "America/New_York", "2026-11-01T04:00", "2026-11-02T05:00"),  # 25 hours
        ("2025-10-05", "Australia/Lord_Howe", "2025-10-04T13:30", "2025-10-05T13:00"),  # 23.5 hours
        ("2026-04-05", "Australia/Lord_Howe", "2026-04-04T13:00", "2026-04-05T13:30"),  # 24.5 hours
        ("2018-11-04", "America/Sao_Paulo", "2018-11-04T03:00", "2018-11-05T02:00"),  # there was no midnight
    ],
)
def test_day_has_the_length_given_by_its_zone(day: str, zone: str, start: str, end: str) -> None:
    assert day_window(date.fromisoformat(day), zone) == (to_utc_us(start), to_utc_us(end))


@given(st.dates(date(1970, 1, 2), date(2037, 1, 1)), st.sampled_from(ZONES))
def test_window_holds_exactly_its_date_and_windows_are_adjacent(day: date, zone: str) -> None:
    start, end = day_window(day, zone)
    assert day_window(day + timedelta(days=1), zone)[0] == end
    for moment, local in ((start, day), (end - 1, day), (end, day + timedelta(days=1))):
        clock = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=moment)
        assert clock.astimezone(ZoneInfo(zone)).date() == local


def test_day_in_tokyo_lies_in_two_utc_folders() -> None:
    assert utc_folders(*day_window(date(2026, 11, 22), "Asia/Tokyo")) == ("2026/11/21", "2026/11/22")


def test_folders_exclude_the_end_of_the_window() -> None:
    start, end = day_window(date(2026, 11, 22), "UTC")
    assert utc_folders(start, end) == ("2026/11/22",)
    assert utc_folders(start - 1, end + 1) == ("2026/11/21", "2026/11/22", "2026/11/23")
    assert utc_folders(start, start) == ()


def test_folders_cross_a_year_and_a_leap_day() -> None:
    assert utc_folders(to_utc_us("2023-12-31T23:00"), to_utc_us("2024-01-01T01:00")) == ("2023/12/31", "2024/01/01")
    assert utc_folders(to_utc_us("2024-02-28T23:00"), to_utc_us("2024-03-01T01:00")) == (
        "2024/02/28",
        "2024/02/29",
        "2024/03/01",
    )


def test_zone_without_changes_has_one_offset() -> None:
    start, end = day_window(date(2026, 11, 22), "Asia/Tokyo")
    assert offset_spans("Asia/Tokyo", start, end) == ((start, 9 * 3600),)
    assert offset_spans("Asia/Kathmandu", start, end) == ((start, 5 * 3600 + 45 * 60),)


def test_offset_changes_are_found_to_the_microsecond() -> None:
    start, end = day_window(date(2026, 3, 8), "America/New_York")
    assert offset_spans("America/New_York", start, end) == (
        (start, -5 * 3600),
        (to_utc_us("2026-03-08T07:00"), -4 * 3600),
    )
    start, end = day_window(date(2026, 4, 5), "Australia/Lord_Howe")
    assert offset_spans("Australia/Lord_Howe", start, end) == ((start, 39600), (to_utc_us("2026-04-04T15:00"), 37800))


def test_spans_agree_with_the_zone_at_every_half_hour_of_two_years() -> None:
    zone = "Australia/Lord_Howe"
    start, end = to_utc_us("2025-01-01T00:00"), to_utc_us("2027-01-01T00:00")
    spans = offset_spans(zone, start, end)
    assert len(spans) == 5
    for moment in range(start, end, HOUR_US // 2):
        found = [offset for begins, offset in spans if begins <= moment][-1]
        clock = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=moment)
        assert clock.astimezone(ZoneInfo(zone)).utcoffset() == timedelta(seconds=found)


@pytest.mark.parametrize("name", ["Asia/Tokio", "", "../etc/passwd", "/etc/passwd", "Asia", "a\x00b", "+09:00", "Ä"])
def test_unknown_zone_is_a_usage_error(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        day_window(date(2026, 11, 22), name)
    assert caught.value.exit_code == 2


def test_parse_day_accepts_one_notation() -> None:
    assert parse_day("2025-08-12") == date(2025, 8, 12)
    for text in (
        "20250812",
        "2025-W33-2",
        "2025-8-12",
        "2025-02-30",
        " 2025-08-12",
        "2025-08-12\n",
        "yesterday",
        "",
        "1969-12-31",
    ):
        with pytest.raises(UsageError):
            parse_day(text)
