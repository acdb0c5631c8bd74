"""The Lambda handlers with hostile events and unexpected errors: a named error, and no content in any log."""

from typing import Any

import pytest

from daily_batch.errors import BatchError, RetryableError, TerminalError, UsageError
from tests.support.adversarial_events import EVENTS, MESSAGES, SECRET
from tests.support.lambda_handlers import Lambda

JOB_ENDED = {"detail-type": "EMR Serverless Job Run State Change"}
NOT_QUEUED = "the event is not from the queue"


def record(body: Any, **more: Any) -> dict[str, Any]:
    return {"Records": [{"messageId": "m1", "body": body, "attributes": {"SentTimestamp": "1755018000000"}, **more}]}


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_the_dispatcher_refuses_a_hostile_event_and_queues_nothing(aws: Lambda, event: Any) -> None:
    with pytest.raises(UsageError) as refused:
        aws.call("dispatcher", event)
    assert aws.queue == []
    assert refused.value.advice in [line.get("message") for line in aws.lines]


@pytest.mark.parametrize("body", MESSAGES.values(), ids=MESSAGES)
def test_the_worker_refuses_a_hostile_message(aws: Lambda, body: str) -> None:
    with pytest.raises(UsageError):
        aws.call("worker", record(body))


@pytest.mark.parametrize("body", [None, 7, [], {}, True])
def test_the_worker_refuses_a_body_that_is_not_text(aws: Lambda, body: Any) -> None:
    with pytest.raises(UsageError, match="a queue message is not a task"):
        aws.call("worker", record(body))


@pytest.mark.parametrize(
    "event",
    [
        *(None, [], "x", 7, {}, {"Records": None}, {"Records": []}, {"Records": {}}, {"Records": [None]}),
        *({"Records": [{}]}, {"Records": [{"messageId": 7, "body": SECRET}]}, {"Records": [[SECRET]]}),
        {"Records": [*record("{}")["Records"], {"body": SECRET}]},
    ],
)
def test_the_worker_refuses_an_event_from_outside_the_queue(aws: Lambda, event: Any) -> None:
    with pytest.raises(UsageError, match=NOT_QUEUED):
        aws.call("worker", event)


@pytest.mark.parametrize(
    "attributes", [None, [], {}, {"SentTimestamp": SECRET}, {"SentTimestamp": None}, {"SentTimestamp": str(10**30)}]
)
def test_a_message_without_a_valid_time_counts_as_sent_now(aws: Lambda, attributes: Any) -> None:
    with pytest.raises(BatchError, match="in does not exist") as failed:
        aws.call("worker", record('{"tenant": "acme", "date": "2025-08-12"}', attributes=attributes))
    assert (failed.value.tenant, failed.value.day) == ("acme", "2025-08-12")


@pytest.mark.parametrize("event", [None, [], "x", 7, True, float("nan")])
def test_the_watcher_refuses_an_event_that_is_not_an_object(aws: Lambda, event: Any) -> None:
    with pytest.raises(UsageError, match="the watcher's event is not a JSON object"):
        aws.call("watcher", event)


@pytest.mark.parametrize(
    "detail",
    [
        *(None, [], SECRET, {}, {"jobRunId": None}, {"jobRunId": 7}, {"jobRunId": ""}, {"jobRunId": [SECRET]}),
        *({"jobRunId": "../" + SECRET}, {"jobRunId": "a\0"}, {"jobRunId": "x" * 65}, {"jobRunId": "ｊｏｂ"}),
    ],
)
def test_the_watcher_refuses_a_job_event_without_a_job_id(aws: Lambda, detail: Any) -> None:
    with pytest.raises(UsageError, match="a job's event names no job run"):
        aws.call("watcher", {**JOB_ENDED, "detail": detail})
    with pytest.raises(UsageError, match="a job's event names no job run"):
        aws.call("watcher", JOB_ENDED)


def raise_value_error(*_: object, **__: object) -> None:
    raise ValueError(f"invalid literal: {SECRET!r}")


def raise_from_value_error(*_: object, **__: object) -> None:
    try:
        raise_value_error()
    except ValueError as error:
        raise TerminalError("the day is broken", next_step="look at it") from error


@pytest.mark.parametrize("target", ["dispatcher.enqueue_tasks", "watcher.reconcile", "worker.handle_message"])
@pytest.mark.parametrize(
    ("fail", "kind", "expected"),
    [
        (raise_value_error, RetryableError, "unexpected ValueError at test_lambda_handlers.py"),
        (raise_from_value_error, TerminalError, "the day is broken"),
    ],
)
def test_errors_in_lambda_s_log_quote_no_content(
    aws: Lambda, target: str, fail: Any, kind: type[BatchError], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, _, function = target.partition(".")
    monkeypatch.setattr(aws.load(name), function, fail)
    with pytest.raises(kind, match=expected):
        aws.call(name, record("{}") if name == "worker" else {"time": "2025-08-12T17:00:00Z"})
    assert expected in aws.log.getvalue()
