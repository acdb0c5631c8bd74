"""The Lambda emulator: execution environments, timeouts, failures and dead letters."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local_cloud.aws.deployment import Function, Queue
from tests.local_cloud.aws.event_source_mapping import EventSourceMapping
from tests.local_cloud.aws.lambda_functions import LocalFunction
from tests.local_cloud.aws.local_aws import LocalAws, serve_aws

EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
GROUP = "/aws/lambda/function"
FAILING = ("raises", "exits", "sleeps", "reported")


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    with serve_aws(tmp_path_factory.mktemp("lambda"), dynamodb=False) as cloud:
        cloud.register_principal("ASIAFUNCTION", name="function", policies=[EVERYTHING])
        cloud.client("logs").create_log_group(logGroupName=GROUP)
        yield cloud


@pytest.fixture
def function(aws: LocalAws, tmp_path: Path) -> Iterator[LocalFunction]:
    definition = Function(
        name="function",
        arn="arn:aws:lambda:ap-northeast-1:123456789012:function:function",
        handler="tests.support.function_handlers.handler",
        environment={"FROM_THE_TEMPLATE": "1"},
        timeout=3,
        memory_mb=128,
        temp_mb=512,
        role="FunctionRole",
        source=None,
    )
    local = LocalFunction(aws=aws, function=definition, key="ASIAFUNCTION", folder=tmp_path, log_group=GROUP)
    yield local
    local.stop()


def test_function_sees_only_its_own_environment(function: LocalFunction, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAKOTO_OF_THE_TESTS", "leaks")
    names = function.invoke("environment").result
    assert {"FROM_THE_TEMPLATE", "AWS_LAMBDA_FUNCTION_NAME", "AWS_ACCESS_KEY_ID", "AWS_REGION"} <= set(names)
    others = [name for name in names if not name.startswith(("AWS_", "LC_", "LAMBDA_", "FROM_THE_TEMPLATE"))]
    assert others == ["LANG", "PATH", "PYTHONUNBUFFERED", "TMPDIR", "TZ"]


def test_execution_environment_is_reused_until_it_fails(function: LocalFunction) -> None:
    first = function.invoke("process").result
    assert function.invoke("process").result == first
    failed = function.invoke({"Records": [{"body": "exits"}]})
    assert failed.error == "Runtime.ExitError"
    assert function.invoke("process").result != first


def test_function_is_killed_after_its_timeout(function: LocalFunction) -> None:
    assert 0 < function.invoke("time").result <= 3000
    timed_out = function.invoke({"Records": [{"body": "sleeps"}]}, timeout=0.5)
    assert (timed_out.error, timed_out.message) == ("Sandbox.Timedout", "Task timed out after 0.50 seconds")


def test_handler_exception_is_returned_and_logged(aws: LocalAws, function: LocalFunction) -> None:
    failed = function.invoke({"Records": [{"body": "raises"}]})
    assert (failed.error, failed.message) == ("LookupError", "wrong")
    events = aws.client("logs").filter_log_events(logGroupName=GROUP)["events"]
    assert "LookupError: wrong" in [event["message"] for event in events]


def test_failed_messages_are_retried_then_dead_lettered(aws: LocalAws, function: LocalFunction) -> None:
    client = aws.client("sqs")
    dead = client.create_queue(QueueName="dead")["QueueUrl"]
    target = {"deadLetterTargetArn": "arn:aws:sqs:ap-northeast-1:123456789012:dead", "maxReceiveCount": 2}
    attributes = {"VisibilityTimeout": "4", "RedrivePolicy": json.dumps(target)}
    url = client.create_queue(QueueName="tasks", Attributes=attributes)["QueueUrl"]
    for body in ("fine", *FAILING):
        client.send_message(QueueUrl=url, MessageBody=body)
    queue = Queue(
        name="tasks",
        arn="arn:aws:sqs:ap-northeast-1:123456789012:tasks",
        url=url,
        visibility=4,
        retention=60,
        max_receives=2,
        dead_letters="dead",
    )
    delivered: list[str] = []
    with EventSourceMapping(
        aws=aws,
        queue=queue,
        function=function,
        concurrency=len(FAILING) + 1,
        batch_size=1,
        reports_failures=True,
        on_batch=lambda records, result: delivered.extend(record["body"] for record in records),
    ):
        letters = _wait_for_letters(aws, dead, len(FAILING))
    assert sorted(letters) == sorted(FAILING)
    assert sorted(delivered) == sorted(["fine", *FAILING, *FAILING])


def _wait_for_letters(aws: LocalAws, url: str, count: int) -> list[str]:
    client, letters = aws.client("sqs"), list[str]()
    deadline = time.monotonic() + 60
    while len(letters) < count:
        assert time.monotonic() < deadline, letters
        for message in client.receive_message(QueueUrl=url, WaitTimeSeconds=1).get("Messages", []):
            letters.append(message["Body"])
            client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return letters
