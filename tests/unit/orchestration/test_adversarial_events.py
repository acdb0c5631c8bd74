"""Hostile events and messages are refused in a short error that repeats no content."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from daily_batch.domain.calendar import days_between
from daily_batch.errors import UsageError
from daily_batch.orchestration import plan_tasks, read_task
from daily_batch.orchestration.tasks import MAX_REASON
from daily_batch.settings import load_settings
from tests.support.adversarial_events import EVENTS, MESSAGES, SECRET

NOW = datetime(2025, 8, 13, 3, tzinfo=UTC)
MAX_LENGTH = 600


def plan(event: Any, **settings: object) -> Any:
    loaded = load_settings(flags={"tenants": "acme", **settings}, environ={})
    return plan_tasks(event, loaded, now=NOW, list_tenants=list)


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_hostile_event_is_refused_without_repeating_its_content(event: Any) -> None:
    with pytest.raises(UsageError) as refused:
        plan(event)
    message = str(refused.value)
    assert SECRET not in message
    assert len(message) < MAX_LENGTH
    assert message.isprintable()
    assert message.isascii()


@pytest.mark.parametrize("text", MESSAGES.values(), ids=MESSAGES)
def test_hostile_message_is_refused_without_repeating_its_content(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        read_task(text)
    assert SECRET not in str(refused.value)
    assert len(str(refused.value)) < MAX_LENGTH


@pytest.mark.parametrize("message", [None, 7, [], {"tenant": "acme", "date": "2025-08-12"}, b"\xff", float("nan")])
def test_message_that_is_not_text_is_refused(message: object) -> None:
    with pytest.raises(UsageError, match="a queue message is not a task"):
        read_task(message)


def test_long_field_name_is_truncated_in_the_error() -> None:
    with pytest.raises(UsageError) as refused:
        plan({"x" * 1_000: 1})
    assert "xxx" in refused.value.what
    assert len(refused.value.what) < 2 * MAX_REASON


def test_range_is_limited_to_max_range_days() -> None:
    event = {"from": "2025-08-01", "to": "2025-08-10"}
    assert len(plan(event, max_range_days="10").tasks) == 10
    with pytest.raises(UsageError, match=r"has 10 days, more than max_range_days 9 allows\. Next step: give a shorter"):
        plan(event, max_range_days="9")
    with pytest.raises(UsageError, match="max_range_days"):
        days_between(date(2024, 1, 1), date(2025, 1, 1), max_days=366)
    assert len(list(days_between(date(2024, 1, 1), date(2024, 12, 31), max_days=366))) == 366


@pytest.mark.parametrize("value", ["367", "99999999999999", "-1"])
def test_look_back_is_limited_to_a_year(value: str) -> None:
    with pytest.raises(UsageError, match="look_back"):
        load_settings(flags={}, environ={"MAKOTO_LOOK_BACK": value})


def test_look_back_is_independent_of_max_range_days() -> None:
    planned = plan({"time": "2025-08-12T17:00:00Z"}, look_back="30", max_range_days="1")
    assert len(planned.tasks) == 31
    assert planned.tasks[-1].date == (date(2025, 8, 12) - timedelta(days=30)).isoformat()
