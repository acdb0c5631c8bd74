"""Events become tasks: a scheduled event is for the day of its time, and an invalid tenant delays no other."""

from datetime import UTC, datetime
from typing import Any

import pytest

from daily_batch.errors import UsageError
from daily_batch.orchestration import Task, plan_tasks, read_task, write_task
from daily_batch.settings import load_settings

NOW = datetime(2025, 8, 12, 17, 0, 30, tzinfo=UTC)  # 02:00 JST of the 13th
SCHEDULED = {"time": "2025-08-12T17:00:00Z"}


def plan(event: dict[str, Any], *, now: datetime = NOW, known: tuple[str, ...] = (), **settings: object) -> Any:
    loaded = load_settings(flags={"tenants": "acme,globex", **settings}, environ={})
    return plan_tasks(event, loaded, now=now, list_tenants=lambda: known)


def tenant_days(planned: Any) -> list[tuple[str, str]]:
    return [(task.tenant, task.date) for task in planned.tasks]


@pytest.mark.parametrize(
    "event", [SCHEDULED, {}, {**SCHEDULED, "source": "aws.events", "detail-type": "Scheduled Event"}]
)
def test_scheduled_event_is_for_the_previous_business_day(event: dict[str, Any]) -> None:
    planned = plan(event)
    assert tenant_days(planned) == [("acme", "2025-08-12"), ("globex", "2025-08-12")]
    assert not any(task.force for task in planned.tasks)


def test_late_scheduled_event_is_still_for_its_own_day() -> None:
    two_days_later = datetime(2025, 8, 14, 3, 0, tzinfo=UTC)
    assert tenant_days(plan(SCHEDULED, now=two_days_later))[0] == ("acme", "2025-08-12")


def test_look_back_days_come_after_the_scheduled_day() -> None:
    assert tenant_days(plan(SCHEDULED, look_back=2, tenants="acme")) == [
        ("acme", "2025-08-12"),
        ("acme", "2025-08-11"),
        ("acme", "2025-08-10"),
    ]


def test_operator_event_names_tenants_and_a_day_or_a_range() -> None:
    assert tenant_days(plan({"tenants": ["initech"], "date": "2025-08-01"}, look_back=3)) == [("initech", "2025-08-01")]
    planned = plan({"tenants": "acme, globex", "from": "2025-08-01", "to": "2025-08-02", "force": True})
    assert len(planned.tasks) == 4
    assert all(task.force for task in planned.tasks)


def test_event_may_allow_a_loss_with_a_name() -> None:
    (task,) = plan({"tenants": "acme", "date": "2025-08-01", "allow_shrink": "yamada"}).tasks
    assert read_task(write_task(task)).allow_shrink == "yamada"
    (task,) = plan({"tenants": "acme", "date": "2025-08-01"}).tasks
    assert not task.allow_shrink
    assert "allow_shrink" not in write_task(task)


def test_all_tenants_are_those_of_the_metadata_store() -> None:
    assert tenant_days(plan(SCHEDULED, tenants="*", known=("a1", "b2"))) == [("a1", "2025-08-12"), ("b2", "2025-08-12")]
    assert tenant_days(plan({"tenants": "*", "date": "2025-08-01"}, known=("a1",))) == [("a1", "2025-08-01")]
    with pytest.raises(UsageError, match="there is no tenant"):
        plan(SCHEDULED, tenants="*")


@pytest.mark.parametrize("name", ["..", "a/b", "%2e%2e", "a\\b", "a\0", "", "x" * 300, "{a,b}", "[a]", "аcme", "*"])
def test_42_invalid_tenant_is_refused_and_delays_no_other(name: str) -> None:
    planned = plan({"tenants": ["acme", name], "date": "2025-08-01"})
    assert tenant_days(planned) == [("acme", "2025-08-01")]
    assert planned.refused == (ascii(name[:80]),)
    with pytest.raises(UsageError):
        read_task(write_task(Task(tenant=name, date="2025-08-01")))


@pytest.mark.parametrize(
    ("event", "error"),
    [
        ({"tenant": "acme"}, "unknown field `tenant`"),
        ({"tenants": 7}, "Expected `str | array | null`"),
        ({"date": "2025-08-99"}, "is no day|not a day|date"),
        ({"date": "2025-08-01", "from": "2025-08-01"}, "names a day and a range"),
        ({"from": "2025-08-02", "to": "2025-08-01"}, "ends before it begins"),
        ({"from": "2025-08-02"}, "date|day"),
        ({"date": "2025-08-14"}, "the day has not begun"),
        ({"time": "tonight"}, "the event's time is invalid"),
        ({"time": "2025-08-12T17:00:00Z", "tenants": ["acme"]}, "unknown field `time`"),
        ({"date": ""}, "date|day"),
        ({"tenants": []}, "there is no tenant"),
    ],
)
def test_invalid_event_names_its_error(event: dict[str, Any], error: str) -> None:
    with pytest.raises(UsageError, match=error):
        plan(event)


def test_task_survives_its_message() -> None:
    task = Task(tenant="acme", date="2025-08-12", force=True)
    assert read_task(write_task(task)) == task


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"tenant":"acme"}', '{"tenant":"acme","date":"x"}', '{"tenant":"acme","date":"2025-08-12","x":1}'],
)
def test_invalid_message_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        read_task(text)
