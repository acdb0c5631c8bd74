"""Requests are built for all tenants or for none, before any I/O."""

import dataclasses
from datetime import UTC, date, datetime

import pytest

from daily_batch.domain.request import Request
from daily_batch.domain.url import parse_url
from daily_batch.errors import UsageError
from daily_batch.orchestration.requests import build_requests
from daily_batch.settings import load_settings

NOW = datetime(2026, 11, 22, 17, tzinfo=UTC)  # 02:00 JST on the 23rd
LOCATION = parse_url("data")


def build(environ: dict[str, str] | None = None, **flags: object) -> tuple[Request, ...]:
    options = {"tenants": "acme", "input": "in", "output": "out"} | flags
    return build_requests(load_settings(flags=options, environ=environ or {}), NOW)


def test_each_tenant_gets_a_request_for_yesterday_in_the_batchs_zone() -> None:
    requests = build(tenants="acme,globex")
    assert [request.tenant for request in requests] == ["acme", "globex"]
    assert {request.day for request in requests} == {date(2026, 11, 22)}
    assert (requests[0].input, requests[0].output) == (parse_url("in"), parse_url("out"))
    assert (requests[0].layout, requests[0].table_format) == ("auto", "delta")


def test_zone_and_the_offset_choose_the_day() -> None:
    assert build({"BATCH_TIMEZONE": "UTC"})[0].day == date(2026, 11, 21)
    assert build({"TARGET_DATE_OFFSET": "-3"})[0].day == date(2026, 11, 20)


def test_date_overrides_the_offset() -> None:
    assert build({"TARGET_DATE_OFFSET": "-3"}, date="2025-08-12")[0].day == date(2025, 8, 12)


def test_layout_and_format_are_passed_on() -> None:
    request = build(layout="export", table_format="parquet")[0]
    assert (request.layout, request.table_format) == ("export", "parquet")


@pytest.mark.parametrize(
    "text", ["2025-02-30", "20250812", "12.08.2025", "yesterday", "2026-11-24", "9999-12-31", "0001-01-01"]
)
def test_invalid_or_future_day_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        build(date=text)


def test_offset_into_the_future_is_a_usage_error() -> None:
    with pytest.raises(UsageError):
        build({"TARGET_DATE_OFFSET": "1"})


@pytest.mark.parametrize(
    "tenants", ["", "acme,", ",acme", "acme,..", "acme,a/b", "acme,*", "acme\n", "{a,b}", "acme,%2e%2e"]
)
def test_one_invalid_tenant_fails_all_requests(tenants: str) -> None:
    with pytest.raises(UsageError):
        build(tenants=tenants)
    with pytest.raises(UsageError):
        build({"TENANT_ID": tenants}, tenants=None)


@pytest.mark.parametrize("missing", ["input", "output"])
def test_missing_location_is_a_usage_error_that_names_the_flag(missing: str) -> None:
    with pytest.raises(UsageError, match=f"--{missing}"):
        build(**{missing: None})


def test_no_tenant_is_a_usage_error() -> None:
    settings = dataclasses.replace(load_settings(flags={"input": "a", "output": "b"}, environ={}), tenants=())
    with pytest.raises(UsageError):
        build_requests(settings, NOW)


@pytest.mark.parametrize(
    "invalid",
    [
        {"tenant": "../acme"},
        {"day": datetime(2025, 8, 12)},
        {"day": "2025-08-12"},
        {"day": date(1, 1, 1)},
        {"layout": "both"},
        {"table_format": "iceberg"},
    ],
)
def test_invalid_request_cannot_be_constructed(invalid: dict[str, object]) -> None:
    valid: dict[str, object] = {"tenant": "acme", "day": date(2025, 8, 12), "input": LOCATION, "output": LOCATION}
    with pytest.raises(UsageError):
        Request(**(valid | invalid))  # type: ignore[arg-type]
