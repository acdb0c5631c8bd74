"""docs/examples/step_functions.asl.json and its template, on the local AWS by template.yaml."""

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from daily_batch.domain.calendar import business_day
from daily_batch.metadata.keys import day_key, days_of
from tests.local_cloud.aws.job_package import VERSION
from tests.local_cloud.aws.local_aws import serve_aws
from tests.local_cloud.aws.stack import Stack, deploy
from tests.local_cloud.aws.step_functions import StateMachine, create_state_machine
from tests.local_cloud.aws.tenant_data import upload_samples
from tests.local_cloud.common.sample_tenants import Sample
from tests.support.day_runs import ROOT
from tests.support.deployment import sam_cli

EXAMPLES = ROOT / "docs/examples"
BUCKET, ZONE = "data", "Asia/Tokyo"
DAY = business_day(datetime.now(UTC), offset=-2, zone=ZONE)
TENANTS = {"small": Sample(messages=150), "poisoned": Sample(messages=20, layout="export", files=1)}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("step-functions")
    parameters = {"DataBucketName": BUCKET, "PackageVersion": VERSION, "ScheduleState": "DISABLED"}
    with serve_aws(folder / "aws") as aws, deploy(aws, parameters=parameters) as made:
        table = made.deployment.table.name
        upload_samples(aws, bucket=BUCKET, table=table, day=DAY, zone=ZONE, folder=folder / "in", samples=TENANTS)
        with made.event_source_mapping("WorkerFunction", concurrency=2):
            yield made


@pytest.fixture(scope="module")
def machine(stack: Stack) -> Iterator[StateMachine]:
    """The example's state machine with the example's permissions; its waits are a second long."""
    names = {
        "DispatcherName": stack.functions["DispatcherFunction"].function.name,
        "MetadataTableName": stack.deployment.table.name,
    }
    definition = json.loads(substitute((EXAMPLES / "step_functions.asl.json").read_text(encoding="utf-8"), names))
    for state in definition["States"].values():
        if state["Type"] == "Wait":
            state["Seconds"] = 1
    place = {"AWS::Partition": "aws", "AWS::Region": stack.aws.region, "AWS::AccountId": stack.aws.account}
    policies = yaml.load(substitute(read_template(), {**names, **place}), Loader=TemplateLoader)
    with create_state_machine(
        stack, json.dumps(definition), policies=policies["Resources"]["RunDay"]["Properties"]["Policies"]
    ) as made:
        yield made


class TemplateLoader(yaml.SafeLoader):
    """Reads CloudFormation's short functions as their text."""


for function in ("!Ref", "!Sub"):
    TemplateLoader.add_constructor(function, lambda loader, node: node.value)


def read_template() -> str:
    return (EXAMPLES / "step_functions.yaml").read_text(encoding="utf-8")


def substitute(text: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(f"${{{name}}}", value)
    return text


def find_item(stack: Stack, tenant: str) -> dict[str, Any]:
    key = {"PK": {"S": days_of(tenant)}, "SK": {"S": day_key(DAY)}}
    found = stack.aws.client("dynamodb").get_item(TableName=stack.deployment.table.name, Key=key)
    item: dict[str, Any] = found.get("Item", {})
    return item


def count_calls(stack: Stack, action: str) -> int:
    return sum(call["principal"] == "StateMachineRole" and call["action"] == action for call in stack.aws.calls())


def test_an_execution_ends_when_its_day_is_completed(stack: Stack, machine: StateMachine) -> None:
    execution = machine.execute({"tenant": "small", "date": DAY.isoformat()})
    assert (execution.status, execution.error, execution.cause) == ("SUCCEEDED", "", "")
    assert execution.output == find_item(stack, "small")
    assert execution.output["status"] == {"S": "COMPLETED"}
    assert execution.output["message_count"] == {"N": "150"}


def test_a_day_that_is_completed_already_runs_again_before_the_execution_ends(
    stack: Stack, machine: StateMachine
) -> None:
    request = {"tenant": "small", "date": DAY.isoformat()}
    first = machine.execute(request).output
    again = machine.execute(request).output
    assert int(again["token"]["N"]) == int(first["token"]["N"]) + 1
    assert again["run_id"] != first["run_id"]


def test_a_day_that_fails_for_good_fails_the_execution_with_its_error(machine: StateMachine) -> None:
    execution = machine.execute({"tenant": "nobody", "date": DAY.isoformat()})
    assert (execution.status, execution.error) == ("FAILED", "TerminalError")
    assert "Next step" in execution.cause


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"tenant": "small", "date": "2025-8-12"}, "is not a day"),
        ({"tenant": "small", "date": (DAY + timedelta(days=30)).isoformat()}, "has not begun"),
        ({"tenant": "../small", "date": DAY.isoformat()}, "not allowed"),
    ],
)
def test_a_wrong_request_fails_the_execution_at_once(
    stack: Stack, machine: StateMachine, request_: dict[str, str], reason: str
) -> None:
    before = count_calls(stack, "lambda:InvokeFunction")
    execution = machine.execute(request_)
    assert (execution.status, execution.error) == ("FAILED", "UsageError")
    assert reason in execution.cause
    assert count_calls(stack, "lambda:InvokeFunction") == before + 1


def test_a_job_at_work_is_waited_for_before_the_day_is_started(stack: Stack, machine: StateMachine) -> None:
    machine.execute({"tenant": "poisoned", "date": DAY.isoformat()})
    table, item = stack.deployment.table.name, find_item(stack, "poisoned")
    client, before = stack.aws.client("dynamodb"), count_calls(stack, "dynamodb:GetItem")
    client.put_item(TableName=table, Item={**item, "status": {"S": "SUBMITTED"}})

    def end_job() -> None:
        while count_calls(stack, "dynamodb:GetItem") < before + 2:
            time.sleep(0.1)
        client.put_item(TableName=table, Item=item)

    ending = threading.Thread(target=end_job)
    ending.start()
    execution = machine.execute({"tenant": "poisoned", "date": DAY.isoformat()})
    ending.join()
    assert execution.status == "SUCCEEDED"
    assert int(execution.output["token"]["N"]) == int(item["token"]["N"]) + 1


def test_the_template_is_valid(tmp_path: Path) -> None:
    answer = sam_cli.run(
        "sam", ["validate", "--lint", "--template", str(EXAMPLES / "step_functions.yaml")], home=tmp_path
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
