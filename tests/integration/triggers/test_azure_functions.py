"""The functions on Azure, called through Microsoft's own worker library: bindings, messages, answers, and a night."""

import json
import logging
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import azure.functions as func
import pytest
from azure.functions.timer import TimerRequest

from azure_trigger.dispatcher import find_nights
from azure_trigger.environment import find_name, read_settings, read_timeout
from azure_trigger.log import JsonLog
from daily_batch.domain.calendar import business_day
from daily_batch.domain.metrics import DAYS_LATE
from daily_batch.domain.url import parse_url
from daily_batch.errors import RetryableError, TerminalError, UsageError
from daily_batch.ledger import Entry, Ledger
from daily_batch.ledger.factory import open_ledger
from daily_batch.orchestration.worker import RESERVE_SECONDS, handle_message
from daily_batch.settings import Settings
from daily_batch.synthetic import generate
from tests.local_cloud.azure.functions.worker import (
    CallResult,
    FunctionsWorker,
    http_request,
    queue_message,
    take_app,
    timer,
)
from tests.support.adversarial_events import EVENTS, MESSAGES, SECRET
from tests.support.day_runs import ROOT, child_environment, read_tables
from tests.support.temporary_folders import leave_behind, other_run

APP = ROOT / "azure_trigger"
HOST = json.loads((APP / "host.json").read_text())
QUEUES = HOST["extensions"]["queues"]
QUEUE = {"queueName": "makoto-tasks", "connection": "AzureWebJobsStorage"}
SENT = "2025-08-12T17:00:00+00:00"
YESTERDAY = business_day(datetime.now(UTC), offset=-1, zone="Asia/Tokyo")


@pytest.fixture(scope="module")
def worker() -> FunctionsWorker:
    return take_app(APP)


class App:
    """The app with folders for a storage account, and a queue as its host keeps one."""

    def __init__(self, worker: FunctionsWorker, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
        self.folder = folder
        self.queue: list[tuple[str, int]] = []
        self._worker = worker
        self._caplog = caplog

    def ask(self, body: object) -> CallResult:
        """What a person is answered."""
        return self.post(json.dumps(body).encode())

    def post(self, body: bytes) -> CallResult:
        """What is answered to a body, whatever it is."""
        return self._put(self._worker.call("start", data=http_request(body)))

    def tick(self, name: str, next_: str = "") -> CallResult:
        return self._put(self._worker.call(name, data=timer(next_=next_)))

    def deliver(self, body: str, *, to: str = "worker", dequeued: int = 1) -> CallResult:
        data, metadata = queue_message(body, inserted=SENT, dequeued=dequeued)
        return self._worker.call(to, data=data, metadata=metadata)

    def empty_the_queue(self) -> None:
        """Deliver each message, those that fail as often as host.json allows, and then to the poison queue."""
        while self.queue:
            body, count = self.queue.pop(0)
            if self.deliver(body, dequeued=count + 1).error is None:
                continue
            if count + 1 < QUEUES["maxDequeueCount"]:
                self.queue.append((body, count + 1))
            else:
                assert self.deliver(body, to="poison").error is None

    @property
    def ledger(self) -> Ledger:
        settings = read_settings()
        return open_ledger(settings, parse_url(settings.output))

    def entry(self, tenant: str, day: date) -> Entry:
        found = self.ledger.find(tenant, day)
        assert found is not None
        return found

    def lines(self, message: str | None = None) -> list[dict[str, Any]]:
        """What was logged so far, all or by message."""
        records = [record for record in self._caplog.records if record.name == "makoto-daily-batch"]
        lines = [json.loads(record.getMessage()) for record in records]
        return [line for line in lines if message in (None, line["message"])]

    def counts(self) -> dict[str, int]:
        """What was measured, added up."""
        counts: Counter[str] = Counter()
        for line in self.lines("metric"):
            counts[line["metric"]] += line["value"]
        return dict(counts)

    def _put(self, called: CallResult) -> CallResult:
        self.queue += [(body, 0) for body in called.outputs.get("tasks", [])]
        return called


@pytest.fixture
def app(
    worker: FunctionsWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> App:
    monkeypatch.setenv("MAKOTO_INPUT", str(tmp_path / "in"))
    monkeypatch.setenv("MAKOTO_OUTPUT", str(tmp_path / "out"))
    monkeypatch.setenv("TENANT_ID", "acme,globex")
    caplog.set_level(logging.INFO, logger="makoto-daily-batch")
    return App(worker, tmp_path, caplog)


def write_task(tenant: str = "acme", day: date = date(2025, 8, 12)) -> str:
    return json.dumps({"tenant": tenant, "date": day.isoformat(), "force": False})


# Bindings


def test_each_function_has_its_trigger_and_its_queue(worker: FunctionsWorker) -> None:
    told = {
        (name, each["type"], each["direction"]): {
            key: value for key, value in each.items() if key not in ("name", "type", "direction")
        }
        for name, bindings in worker.functions.items()
        for each in bindings
    }
    assert told == {
        ("night", "timerTrigger", "IN"): {"schedule": "0 0 17 * * *"},
        ("night", "queue", "OUT"): QUEUE,
        ("start", "httpTrigger", "IN"): {"methods": ["POST"], "authLevel": "FUNCTION", "route": "start"},
        ("start", "http", "OUT"): {},
        ("start", "queue", "OUT"): QUEUE,
        ("worker", "queueTrigger", "IN"): QUEUE,
        ("poison", "queueTrigger", "IN"): {**QUEUE, "queueName": "makoto-tasks-poison"},
        ("watch", "timerTrigger", "IN"): {"schedule": "0 */5 * * * *"},
        ("watch", "queue", "OUT"): QUEUE,
    }


def test_the_library_s_own_index_says_the_same(worker: FunctionsWorker) -> None:
    program = (
        "import function_app, json; print(json.dumps({each.get_function_name(): [json.loads(binding) for binding in"
        " each.get_raw_bindings()] for each in function_app.app.get_functions()}))"
    )
    environment = {**child_environment(), "PYTHONPATH": f"{APP}:{ROOT}"}
    told = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert json.loads(told.stdout) == worker.functions


@pytest.mark.parametrize(
    "line", ["def broken(messages: func.QueueMessage) -> None:", "def broken(message: func.TimerRequest) -> None:"]
)
def test_a_binding_that_does_not_fit_its_function_would_be_refused(line: str, tmp_path: Path) -> None:
    app = (
        "import azure.functions as func\napp = func.FunctionApp()\n"
        f"@app.queue_trigger(arg_name='message', queue_name='q', connection='C')\n{line}\n    pass\n"
    )
    (tmp_path / "function_app.py").write_text(app)
    program = (
        "import pathlib, sys; from tests.local_cloud.azure.functions.worker import take_app;"
        " take_app(pathlib.Path(sys.argv[1]))"
    )
    environment = {**child_environment(), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program, str(tmp_path)]
    taken = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert "ValueError: FunctionLoadError: cannot load the broken function" in taken.stderr


def test_queue_and_schedule_have_the_names_of_app_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (find_name("MAKOTO_TASK_QUEUE"), find_name("MAKOTO_SCHEDULE")) == ("makoto-tasks", "0 0 17 * * *")
    monkeypatch.setenv("MAKOTO_TASK_QUEUE", "others")
    assert find_name("MAKOTO_TASK_QUEUE") == "others"
    assert read_settings().tenants  # which knows nothing of that name


def test_a_functions_packages_are_enough() -> None:
    absent = ("pyspark", "pandas", "pyarrow", "numpy", "typer", "rich", "boto3", "botocore", "aws_lambda_powertools")
    program = f"import sys; sys.modules.update(dict.fromkeys({absent!r})); import function_app"
    environment = {**child_environment(), "PYTHONPATH": f"{APP}:{ROOT}"}
    started = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert started.returncode == 0, started.stderr


# host.json


def test_the_host_is_told_what_the_guide_says_and_today_s_extensions() -> None:
    assert HOST["version"] == "2.0"
    sampling = {"isEnabled": True, "excludedTypes": "Request"}
    assert HOST["logging"] == {"applicationInsights": {"samplingSettings": sampling}}
    bundle = {"id": "Microsoft.Azure.Functions.ExtensionBundle", "version": "[4.*, 5.0.0)"}
    assert HOST["extensionBundle"] == bundle


def test_an_instance_takes_one_message_at_a_time_and_each_three_times() -> None:
    assert (QUEUES["batchSize"], QUEUES["newBatchThreshold"], QUEUES["maxDequeueCount"]) == (1, 0, 3)


def test_a_message_outlasts_another_worker_of_its_day() -> None:
    hours, minutes, seconds = map(int, QUEUES["visibilityTimeout"].split(":"))
    waits = (QUEUES["maxDequeueCount"] - 1) * timedelta(hours=hours, minutes=minutes, seconds=seconds)
    assert waits > timedelta(seconds=read_timeout(APP / "host.json"))


def test_an_app_setting_wins_over_host_json(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_timeout(APP / "host.json") == 1800
    monkeypatch.setenv("AzureFunctionsJobHost__functionTimeout", "01:10:05")
    assert read_timeout(APP / "host.json") == 4205


@pytest.mark.parametrize("text", ["-1", "soon", "1.00:00:00"])
def test_a_host_without_a_limit_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AzureFunctionsJobHost__functionTimeout", text)
    with pytest.raises(UsageError, match="functionTimeout is not a duration"):
        read_timeout(APP / "host.json")


# A night


def test_a_night_goes_from_the_timer_to_tables_and_a_summary(app: App) -> None:
    truth = generate(messages=60, layout="export", seed=1, out=app.folder / "in", files=1, day=YESTERDAY)
    (app.folder / "in/globex").mkdir()
    app.tick("night")
    tasks = [json.loads(body) for body, _ in app.queue]
    assert tasks == [{"tenant": name, "date": str(YESTERDAY), "force": False} for name in ("acme", "globex")]
    app.empty_the_queue()

    tables = read_tables(app.folder / "out", day=YESTERDAY)
    assert len(tables["messages"]) == truth.records["written"]
    entry = app.entry("acme", YESTERDAY)
    assert (entry.is_complete, entry.runner, entry.owner) == (True, "local", "worker worker-1")
    (line,) = [line for line in app.lines("the day") if line["tenant"] == "acme"]
    assert (line["day"], line["run_id"], line["records"]["written"]) == (
        str(YESTERDAY),
        entry.run_id,
        truth.records["written"],
    )
    counts = app.counts()
    assert counts["DaysCompleted"] == 2
    assert counts["MessagesWritten"] == truth.records["written"]
    assert counts.get("RecordsRejected", 0) == truth.records["rejected"]
    steps = [line["step"] for line in app.lines("step") if line["tenant"] == "acme"]
    assert steps == ["lease", "manifest", "intake", "clean", "publish", "receipt", "ledger"]

    app.tick("watch")
    (told,) = app.lines("the night")
    assert (told["summary"]["tenants"], told["summary"]["ended"], told["summary"]["attention"]) == (2, True, [])
    assert app.queue == []


def test_a_message_that_comes_twice_publishes_once(app: App) -> None:
    generate(messages=20, layout="export", seed=1, out=app.folder / "in", files=1)
    for _ in range(2):
        assert app.deliver(write_task()).error is None
    told = [line["message"] for line in app.lines()]
    assert [message for message in told if message not in ("metric", "step", "the day")] == ["published", "unchanged"]


def test_nights_that_the_timer_missed_are_asked_for_the_last_one_first(app: App) -> None:
    missed = datetime.now(UTC) - timedelta(days=2, minutes=5)
    app.tick("night", missed.isoformat())
    asked = [json.loads(body)["date"] for body, _ in app.queue]
    last = business_day(missed + timedelta(days=2), offset=-1, zone="Asia/Tokyo")
    assert asked == [str(last - timedelta(days=back)) for back in (0, 0, 1, 1, 2, 2)]


@pytest.mark.parametrize(
    ("next_", "events"),
    [
        ("2025-08-12T17:00:00+00:00", [{"time": "2025-08-12T17:00:00+00:00"}]),  # called on time
        ("2025-08-12T17:00:30Z", [{"time": "2025-08-12T17:00:30+00:00"}]),  # a little early
        ("2025-08-12T12:00:00+00:00", [{"time": "2025-08-12T12:00:00+00:00"}]),  # late
        ("2025-08-13T17:00:00+00:00", [{}]),  # called by hand
        ("0001-01-01T00:00:00+00:00", [{}]),  # for the first time
        ("2025-08-01T17:00:00+00:00", [{}]),  # too long ago
        ("2025-08-12T17:00:00", [{}]),  # of no zone
        ("", [{}]),
    ],
)
def test_the_night_is_that_of_the_timer_s_moment(next_: str, events: list[dict[str, str]]) -> None:
    asked: func.TimerRequest = TimerRequest(schedule_status={"Next": next_})
    assert find_nights(asked, datetime(2025, 8, 12, 17, 0, 1, tzinfo=UTC)) == events


# People


def test_a_person_s_days_are_queued(app: App) -> None:
    called = app.ask({"tenants": ["acme", "../x"], "from": "2025-08-11", "to": "2025-08-12", "force": True})
    assert (called.status, json.loads(called.answer)) == (202, {"queued": 2, "refused": ["'../x'"]})
    assert [json.loads(body) for body, _ in app.queue] == [
        {"tenant": "acme", "date": day, "force": True} for day in ("2025-08-12", "2025-08-11")
    ]
    assert app.counts() == {"DaysRefused": 1}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (["acme"], "the body is not a JSON object"),
        ({"tenant": "acme"}, "unknown field"),
        ({"tenants": ["acme"], "date": "2025-02-30"}, "Next step"),
        ({"tenants": ["acme"], "date": "2999-01-01"}, "the day has not begun"),
        ({"tenants": ["acme"], "date": "2025-08-12", "from": "2025-08-12"}, "a day and a range"),
        ({"time": "soon"}, "the event's time is invalid"),
    ],
)
def test_what_is_not_understood_is_answered_with_advice_and_nothing_is_queued(app: App, body: object, why: str) -> None:
    called = app.ask(body)
    assert called.status == 400
    assert why in json.loads(called.answer)["error"]
    assert app.queue == []


@pytest.mark.parametrize(
    "body",
    [
        *(b"null", b"7", b'"x"', b"NaN", b"{", b"\xff\xfe{}", b"\0", b"[" * 100_000, b'{"x":' + b"[" * 100_000),
        *(json.dumps(event).encode() for event in EVENTS.values()),
    ],
    ids=[*"abcdefghi", *EVENTS],
)
def test_a_hostile_body_is_answered_with_400_and_nothing_is_queued(app: App, body: bytes) -> None:
    called = app.post(body)
    assert called.status == 400
    assert "Next step" in json.loads(called.answer)["error"]
    assert app.queue == []
    assert SECRET not in called.answer + json.dumps(app.lines())


@pytest.mark.parametrize("text", MESSAGES.values(), ids=MESSAGES)
def test_a_hostile_message_is_refused_and_told_without_its_content(app: App, text: str) -> None:
    called = app.deliver(text)
    assert called.error
    assert called.error.startswith("UsageError")
    assert app.deliver(text, to="poison").error is None
    assert SECRET not in called.error + called.trace + json.dumps(app.lines())


@pytest.mark.parametrize("status", [None, [], "x", {}, {"Next": None}, {"Next": 7}, {"Next": {"a": 1}}])
def test_a_timer_that_tells_nothing_is_of_now(status: Any) -> None:
    asked = SimpleNamespace(schedule_status=status)
    assert find_nights(asked, datetime(2025, 8, 12, 17, tzinfo=UTC)) == [{}]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RetryableError("the metadata store is down", next_step="try again"), 503),
        (TerminalError("the metadata store is denied", next_step="allow it"), 500),
        (ValueError("a secret"), 503),
    ],
)
def test_trouble_of_ours_is_no_fault_of_the_person(
    app: App, error: Exception, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("azure_trigger.dispatcher.enqueue_tasks", fail)
    called = app.ask({"tenants": ["acme"], "date": "2025-08-12"})
    assert called.status == status
    assert "secret" not in called.answer
    assert app.queue == []


# Messages that fail


def test_what_is_no_task_is_tried_three_times_then_told_and_counted(app: App) -> None:
    app.queue.append(("a secret", 0))
    app.empty_the_queue()
    assert app.counts() == {"DaysFailed": 3, "TasksGivenUp": 1}
    assert "secret" not in json.dumps(app.lines())


def test_a_day_that_fails_again_and_again_is_told_by_its_name(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RetryableError("the store is down", next_step="run the day again")

    monkeypatch.setattr("daily_batch.orchestration.worker.make_dispatch", fail)
    app.queue.append((write_task(), 0))
    app.empty_the_queue()
    told = app.lines("the day failed as often as a message is delivered")
    assert [(line["tenant"], line["day"], line["force"]) for line in told] == [("acme", "2025-08-12", False)]
    assert app.counts() == {"TasksGivenUp": 1}


def test_a_message_whose_day_is_with_another_run_fails_and_comes_again(app: App) -> None:
    app.ledger.acquire("acme", date(2025, 8, 12), owner="another-host:1:1", run_id="other")
    called = app.deliver(write_task())
    assert called.error is not None
    assert called.error.startswith("LeaseHeldError: ")
    assert app.counts() == {}


def test_a_message_whose_day_is_with_a_job_is_done(app: App) -> None:
    ledger = app.ledger
    lease = ledger.acquire("acme", date(2025, 8, 12), owner="another-host:1:1", run_id="other")
    ledger.hand_over(lease, reason="too large", job_token="t", job_id="7", duration=timedelta(hours=1))
    assert app.deliver(write_task()).error is None
    assert [line["message"] for line in app.lines()] == ["elsewhere"]


def raise_value_error(*_: object, **__: object) -> None:
    raise ValueError("a secret")


def raise_of_a_value_error(*_: object, **__: object) -> None:
    try:
        raise_value_error()
    except ValueError as error:
        raise TerminalError("the day is broken", next_step="look at it") from error


@pytest.mark.parametrize("fail", [raise_value_error, raise_of_a_value_error])
def test_what_the_host_writes_down_of_an_error_quotes_no_message(
    app: App, fail: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daily_batch.orchestration.worker.make_dispatch", fail)
    monkeypatch.setattr("azure_trigger.watcher.reconcile_night", fail)
    for called in (app.deliver(write_task()), app.tick("watch")):
        assert called.error
        assert "secret" not in called.error + called.trace
    assert "secret" not in json.dumps(app.lines())


def test_a_worker_knows_when_it_will_be_ended(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    def handle(*arguments: Any, **named: Any) -> None:
        given.update(named)
        handle_message(*arguments, **named)

    def stop(settings: Settings, *_: object, **__: object) -> None:
        given["limit"] = settings.time_limit_seconds
        raise RetryableError("the store is down", next_step="run the day again")

    monkeypatch.setattr("azure_trigger.worker.handle_message", handle)
    monkeypatch.setattr("daily_batch.orchestration.worker.make_dispatch", stop)
    app.deliver(write_task())
    assert (given["limit"], given["sent"]) == (1800 - RESERVE_SECONDS, datetime.fromisoformat(SENT))
    monkeypatch.setenv("MAKOTO_TIME_LIMIT_SECONDS", "60")
    app.deliver(write_task())
    assert given["limit"] == 60


def test_a_worker_removes_what_a_killed_run_left_and_nothing_of_the_others_on_its_disk(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temp = tmp_path / "temp"
    left = leave_behind(temp)
    monkeypatch.setattr("tempfile.tempdir", str(temp))
    with other_run(temp) as alive:
        app.deliver(write_task())
        assert not left.exists()
        assert (alive.files / "messages").exists()


# The log


def test_a_line_is_json_whatever_it_holds(caplog: pytest.LogCaptureFixture) -> None:
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
