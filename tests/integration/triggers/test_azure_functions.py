"""The Azure Functions end to end in one process: timers, requests, queue messages, and the log."""

import json
import logging
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import azure.functions as func
import pytest
from azure.functions.timer import TimerRequest

from azure_trigger.dispatcher import find_nights
from azure_trigger.log import JsonLog
from daily_batch.domain.calendar import business_day
from daily_batch.domain.metrics import DAYS_LATE
from daily_batch.errors import RetryableError, TerminalError
from daily_batch.orchestration.worker import RESERVE_SECONDS, handle_message
from daily_batch.settings import Settings
from daily_batch.synthetic import generate
from tests.support.adversarial_events import EVENTS, MESSAGES, SECRET
from tests.support.day_runs import read_tables
from tests.support.functions_app import SENT, FunctionsApp
from tests.support.temporary_folders import leave_behind, other_run

YESTERDAY = business_day(datetime.now(UTC), offset=-1, zone="Asia/Tokyo")


def write_task(tenant: str = "acme", day: date = date(2025, 8, 12)) -> str:
    return json.dumps({"tenant": tenant, "date": day.isoformat(), "force": False})


# A night


def test_a_night_runs_from_the_timer_to_tables_and_a_summary(app: FunctionsApp) -> None:
    truth = generate(messages=60, layout="export", seed=1, out=app.folder / "in", files=1, day=YESTERDAY)
    (app.folder / "in/globex").mkdir()
    app.fire_timer("night")
    tasks = [json.loads(body) for body, _ in app.queue]
    assert tasks == [{"tenant": name, "date": str(YESTERDAY), "force": False} for name in ("acme", "globex")]
    app.drain_queue()

    tables = read_tables(app.folder / "out", day=YESTERDAY)
    assert len(tables["messages"]) == truth.records["written"]
    entry = app.entry("acme", YESTERDAY)
    assert (entry.is_complete, entry.runner, entry.owner) == (True, "local", "worker worker-1")
    (line,) = [line for line in app.log_lines("the day") if line["tenant"] == "acme"]
    assert (line["day"], line["run_id"], line["records"]["written"]) == (
        str(YESTERDAY),
        entry.run_id,
        truth.records["written"],
    )
    sums = app.metric_sums()
    assert sums["DaysCompleted"] == 2
    assert sums["MessagesWritten"] == truth.records["written"]
    assert sums.get("RecordsRejected", 0) == truth.records["rejected"]
    steps = [line["step"] for line in app.log_lines("step") if line["tenant"] == "acme"]
    assert steps == ["lease", "manifest", "intake", "clean", "publish", "receipt", "ledger"]

    app.fire_timer("watch")
    (line,) = app.log_lines("the night")
    summary = line["summary"]
    assert (summary["tenants"], summary["ended"], summary["attention"]) == (2, True, [])
    assert app.queue == []


def test_a_duplicate_message_publishes_once(app: FunctionsApp) -> None:
    generate(messages=20, layout="export", seed=1, out=app.folder / "in", files=1)
    for _ in range(2):
        assert app.deliver(write_task()).error is None
    messages = [line["message"] for line in app.log_lines()]
    outcomes = [message for message in messages if message not in ("metric", "step", "the day")]
    assert outcomes == [
        "published",
        "unchanged",
    ]


def test_missed_nights_are_queued_latest_first(app: FunctionsApp) -> None:
    missed = datetime.now(UTC) - timedelta(days=2, minutes=5)
    app.fire_timer("night", missed.isoformat())
    dates = [json.loads(body)["date"] for body, _ in app.queue]
    last = business_day(missed + timedelta(days=2), offset=-1, zone="Asia/Tokyo")
    assert dates == [str(last - timedelta(days=back)) for back in (0, 0, 1, 1, 2, 2)]


@pytest.mark.parametrize(
    ("next_", "events"),
    [
        ("2025-08-12T17:00:00+00:00", [{"time": "2025-08-12T17:00:00+00:00"}]),  # called on time
        ("2025-08-12T17:00:30Z", [{"time": "2025-08-12T17:00:30+00:00"}]),  # a little early
        ("2025-08-12T12:00:00+00:00", [{"time": "2025-08-12T12:00:00+00:00"}]),  # late
        ("2025-08-13T17:00:00+00:00", [{}]),  # called manually
        ("0001-01-01T00:00:00+00:00", [{}]),  # the first call
        ("2025-08-01T17:00:00+00:00", [{}]),  # too long ago
        ("2025-08-12T17:00:00", [{}]),  # without a time zone
        ("", [{}]),
    ],
)
def test_the_timer_s_schedule_determines_the_night(next_: str, events: list[dict[str, str]]) -> None:
    request: func.TimerRequest = TimerRequest(schedule_status={"Next": next_})
    assert find_nights(request, datetime(2025, 8, 12, 17, 0, 1, tzinfo=UTC)) == events


# Requests


def test_requested_days_are_queued(app: FunctionsApp) -> None:
    response = app.post_json({"tenants": ["acme", "../x"], "from": "2025-08-11", "to": "2025-08-12", "force": True})
    assert (response.status, json.loads(response.answer)) == (202, {"queued": 2, "refused": ["'../x'"]})
    assert [json.loads(body) for body, _ in app.queue] == [
        {"tenant": "acme", "date": day, "force": True} for day in ("2025-08-12", "2025-08-11")
    ]
    assert app.metric_sums() == {"DaysRefused": 1}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (["acme"], "the body is not a JSON object"),
        ({"tenant": "acme"}, "unknown field"),
        ({"tenants": ["acme"], "date": "2025-02-30"}, "Next step"),
        ({"tenants": ["acme"], "date": "2999-01-01"}, "the day has not begun"),
        ({"tenants": ["acme"], "date": "2025-08-12", "from": "2025-08-12"}, "a day and a range"),
        ({"time": "soon"}, "the event's time is invalid"),
    ],
)
def test_an_invalid_request_gets_400_with_advice_and_queues_nothing(
    app: FunctionsApp, body: object, expected: str
) -> None:
    response = app.post_json(body)
    assert response.status == 400
    assert expected in json.loads(response.answer)["error"]
    assert app.queue == []


@pytest.mark.parametrize(
    "body",
    [
        *(b"null", b"7", b'"x"', b"NaN", b"{", b"\xff\xfe{}", b"\0", b"[" * 100_000, b'{"x":' + b"[" * 100_000),
        *(json.dumps(event).encode() for event in EVENTS.values()),
    ],
    ids=[*"abcdefghi", *EVENTS],
)
def test_a_hostile_body_gets_400_and_queues_nothing(app: FunctionsApp, body: bytes) -> None:
    response = app.post(body)
    assert response.status == 400
    assert "Next step" in json.loads(response.answer)["error"]
    assert app.queue == []
    assert SECRET not in response.answer + json.dumps(app.log_lines())


@pytest.mark.parametrize("text", MESSAGES.values(), ids=MESSAGES)
def test_a_hostile_message_is_refused_and_logged_without_content(app: FunctionsApp, text: str) -> None:
    called = app.deliver(text)
    assert called.error
    assert called.error.startswith("UsageError")
    assert app.deliver(text, to="poison").error is None
    assert SECRET not in called.error + called.trace + json.dumps(app.log_lines())


@pytest.mark.parametrize("status", [None, [], "x", {}, {"Next": None}, {"Next": 7}, {"Next": {"a": 1}}])
def test_a_timer_without_a_schedule_means_the_current_night(status: Any) -> None:
    request = SimpleNamespace(schedule_status=status)
    assert find_nights(request, datetime(2025, 8, 12, 17, tzinfo=UTC)) == [{}]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RetryableError("the metadata store is down", next_step="try again"), 503),
        (TerminalError("the metadata store is denied", next_step="allow it"), 500),
        (ValueError("a secret"), 503),
    ],
)
def test_an_internal_error_gets_5xx_and_queues_nothing(
    app: FunctionsApp, error: Exception, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("azure_trigger.dispatcher.enqueue_tasks", fail)
    response = app.post_json({"tenants": ["acme"], "date": "2025-08-12"})
    assert response.status == status
    assert "secret" not in response.answer
    assert app.queue == []


# Failing messages


def test_an_invalid_message_is_given_up_after_three_deliveries(app: FunctionsApp) -> None:
    app.queue.append(("a secret", 0))
    app.drain_queue()
    assert app.metric_sums() == {"DaysFailed": 3, "TasksGivenUp": 1}
    assert "secret" not in json.dumps(app.log_lines())


def test_a_day_that_fails_every_delivery_is_logged_by_name(app: FunctionsApp, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RetryableError("the store is down", next_step="run the day again")

    monkeypatch.setattr("daily_batch.orchestration.worker.make_dispatch", fail)
    app.queue.append((write_task(), 0))
    app.drain_queue()
    lines = app.log_lines("the day failed as often as a message is delivered")
    assert [(line["tenant"], line["day"], line["force"]) for line in lines] == [("acme", "2025-08-12", False)]
    assert app.metric_sums() == {"TasksGivenUp": 1}


def test_a_message_fails_while_another_run_holds_its_day(app: FunctionsApp) -> None:
    app.ledger.acquire("acme", date(2025, 8, 12), owner="another-host:1:1", run_id="other")
    called = app.deliver(write_task())
    assert called.error is not None
    assert called.error.startswith("LeaseHeldError: ")
    assert app.metric_sums() == {}


def test_a_message_is_done_if_a_job_holds_its_day(app: FunctionsApp) -> None:
    ledger = app.ledger
    lease = ledger.acquire("acme", date(2025, 8, 12), owner="another-host:1:1", run_id="other")
    ledger.hand_over(lease, reason="too large", job_token="t", job_id="7", duration=timedelta(hours=1))
    assert app.deliver(write_task()).error is None
    assert [line["message"] for line in app.log_lines()] == ["elsewhere"]


def raise_value_error(*_: object, **__: object) -> None:
    raise ValueError("a secret")


def raise_from_value_error(*_: object, **__: object) -> None:
    try:
        raise_value_error()
    except ValueError as error:
        raise TerminalError("the day is broken", next_step="look at it") from error


@pytest.mark.parametrize("fail", [raise_value_error, raise_from_value_error])
def test_errors_in_the_host_s_log_quote_no_content(
    app: FunctionsApp, fail: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daily_batch.orchestration.worker.make_dispatch", fail)
    monkeypatch.setattr("azure_trigger.watcher.reconcile_night", fail)
    for called in (app.deliver(write_task()), app.fire_timer("watch")):
        assert called.error
        assert "secret" not in called.error + called.trace
    assert "secret" not in json.dumps(app.log_lines())


def test_a_worker_stops_before_the_host_s_timeout(app: FunctionsApp, monkeypatch: pytest.MonkeyPatch) -> None:
    observed: dict[str, Any] = {}

    def handle(*arguments: Any, **named: Any) -> None:
        observed.update(named)
        handle_message(*arguments, **named)

    def stop(settings: Settings, *_: object, **__: object) -> None:
        observed["limit"] = settings.time_limit_seconds
        raise RetryableError("the store is down", next_step="run the day again")

    monkeypatch.setattr("azure_trigger.worker.handle_message", handle)
    monkeypatch.setattr("daily_batch.orchestration.worker.make_dispatch", stop)
    app.deliver(write_task())
    assert (observed["limit"], observed["sent"]) == (1800 - RESERVE_SECONDS, datetime.fromisoformat(SENT))
    monkeypatch.setenv("MAKOTO_TIME_LIMIT_SECONDS", "60")
    app.deliver(write_task())
    assert observed["limit"] == 60


def test_a_worker_removes_temporary_files_of_killed_runs_only(
    app: FunctionsApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temp = tmp_path / "temp"
    leftover = leave_behind(temp)
    monkeypatch.setattr("tempfile.tempdir", str(temp))
    with other_run(temp) as running:
        app.deliver(write_task())
        assert not leftover.exists()
        assert (running.files / "messages").exists()


# The log


def test_each_log_line_is_one_json_object(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="makoto-daily-batch")
    telemetry = JsonLog()
    telemetry.bind(tenant="acme")
    telemetry.error("50% of it\nand 東京", day=date(2025, 8, 12))
    telemetry.debug("dropped")
    telemetry.measure(DAYS_LATE, 0)
    (record,) = caplog.records
    assert "\n" not in record.getMessage()
    assert json.loads(record.getMessage()) == {"message": "50% of it\nand 東京", "tenant": "acme", "day": "2025-08-12"}
    assert record.levelno == logging.ERROR
