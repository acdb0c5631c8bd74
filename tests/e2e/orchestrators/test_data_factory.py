"""docs/examples/data_factory.json by the classes of Microsoft's SDK, and its queries on the ledger in Cosmos DB."""

import copy
import json
import re
import typing
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from enum import Enum
from types import UnionType
from typing import Any, Union

import pytest
from azure.mgmt.datafactory import models

from daily_batch.ledger import Ledger
from daily_batch.metadata.cosmos import CosmosStore
from tests.local_cloud.azure.cosmos import CosmosAccount
from tests.support.day_runs import ROOT
from tests.support.job_service import Clock

PIPELINE: dict[str, Any] = json.loads((ROOT / "docs/examples/data_factory.json").read_text(encoding="utf-8"))
TENANT, DAY = "data-factory", date(2025, 8, 12)


def find_mistakes(model: Any, value: Any, path: str) -> Iterator[str]:
    """The members of a JSON value that the model's class does not know, requires or allows."""
    model = find_class(model, value)
    hints = typing.get_type_hints(model, localns={"_models": models})
    # A class reads its fields when its first instance is made.
    fields = {field._rest_name: hints[name] for name, field in model({})._attr_to_rest_field.items()}
    yield from (f"{path}.{name} is unknown" for name in value.keys() - fields)
    yield from (
        f"{path}.{name} is missing" for name, kind in fields.items() if not is_optional(kind) and name not in value
    )
    for name, kind in fields.items():
        if name in value:
            yield from find_wrong(kind, value[name], f"{path}.{name}")


def find_class(model: Any, value: Any) -> Any:
    """The class of a value by its discriminator `type`, at any depth below the model's class."""
    for each in (model, *model.__subclasses__()):
        if found := getattr(each, "__mapping__", {}).get(value.get("type")):
            return found
    return model


def find_wrong(kind: Any, value: Any, path: str) -> Iterator[str]:
    options = [each for each in typing.get_args(kind) if each is not type(None)]
    if typing.get_origin(kind) in (Union, UnionType):
        kind = options[-1] if len(options) > 1 else options[0]  # str or an enumeration: the enumeration
        options = list(typing.get_args(kind))
    if isinstance(kind, type) and issubclass(kind, models._models._Model):
        yield from find_mistakes(kind, value, path)
    elif isinstance(kind, type) and issubclass(kind, Enum):
        if value not in [each.value for each in kind]:
            yield f"{path} is {value!r}"
    elif typing.get_origin(kind) is list:
        for number, each in enumerate(value):
            yield from find_wrong(options[0], each, f"{path}[{number}]")
    elif typing.get_origin(kind) is dict:
        for name, each in value.items():
            yield from find_wrong(options[1], each, f"{path}.{name}")


def is_optional(kind: Any) -> bool:
    return type(None) in typing.get_args(kind)


def find_activities(value: Any) -> Iterator[dict[str, Any]]:
    """All activities, those in loops and conditions too."""
    if isinstance(value, dict):
        if "typeProperties" in value:
            yield value
        for each in value.values():
            yield from find_activities(each)
    elif isinstance(value, list):
        for each in value:
            yield from find_activities(each)


ACTIVITIES = {activity["name"]: activity for activity in find_activities(PIPELINE["properties"])}


def test_the_pipeline_is_one_of_microsofts_classes() -> None:
    assert list(find_mistakes(models.Pipeline, PIPELINE["properties"], "pipeline")) == []
    assert {find_class(models.Activity, each).__name__ for each in ACTIVITIES.values()} == {
        *("AzureFunctionActivity", "FailActivity", "IfConditionActivity"),
        *("LookupActivity", "UntilActivity", "WaitActivity"),
    }


@pytest.mark.parametrize(
    ("path", "value", "mistake"),
    [
        ("typeProperties.methods", "POST", "is unknown"),
        ("typeProperties.method", "post", "is 'post'"),
        ("typeProperties.functionName", None, "is missing"),
        ("linkedServiceName.referenceName", None, "is missing"),
    ],
)
def test_mistakes_in_a_pipeline_are_found(path: str, value: str | None, mistake: str) -> None:
    activity = copy.deepcopy(ACTIVITIES["Start"])
    *parents, name = path.split(".")
    place = activity
    for parent in parents:
        place = place[parent]
    if value is None:
        del place[name]
    else:
        place[name] = value
    assert [each.rpartition(f".{name} ")[2] for each in find_mistakes(models.Activity, activity, "start")] == [mistake]


def test_activities_depend_on_those_beside_them_and_expressions_name_activities() -> None:
    for level in (PIPELINE["properties"]["activities"], *find_levels()):
        names = {each["name"] for each in level}
        needed = {need["activity"] for each in level for need in each.get("dependsOn", [])}
        assert needed <= names
    text = json.dumps(PIPELINE)
    assert set(re.findall(r"activity\('(\w+)'\)", text)) <= set(ACTIVITIES)
    assert set(re.findall(r"pipeline\(\)\.parameters\.(\w+)", text)) == set(PIPELINE["properties"]["parameters"])


def find_levels() -> Iterator[list[dict[str, Any]]]:
    for activity in ACTIVITIES.values():
        for name in ("activities", "ifTrueActivities"):
            if name in activity["typeProperties"]:
                yield activity["typeProperties"][name]


def count(account: CosmosAccount, activity: str, *, triggered: datetime) -> int:
    """The number that a lookup's query gives, with its three kinds of expressions filled in as Data Factory does."""
    query = ACTIVITIES[activity]["typeProperties"]["source"]["query"]["value"]
    for expression, value in (
        ("pipeline().parameters.tenant", TENANT),
        ("pipeline().parameters.date", DAY.isoformat()),
        ("formatDateTime(pipeline().TriggerTime, 'yyyy-MM-ddTHH:mm:ss')", f"{triggered:%Y-%m-%dT%H:%M:%S}"),
    ):
        query = query.replace(f"@{{{expression}}}", value)
    assert "@" not in query
    (row,) = account.container().query_items(query, enable_cross_partition_query=True)
    (number,) = row.values()
    return int(number)


def test_the_queries_say_when_a_day_has_ended_and_how(cosmos_account: CosmosAccount) -> None:
    clock = Clock()
    ledger = Ledger(store=CosmosStore(cosmos_account.endpoint, cosmos_account.key), clock=clock)
    before = clock.now - timedelta(seconds=1)

    def counts(triggered: datetime = before) -> dict[str, int]:
        names = ("CountJobs", "CountEnded", "CountCompleted")
        return {name: count(cosmos_account, name, triggered=triggered) for name in names}

    nothing = {"CountJobs": 0, "CountEnded": 0, "CountCompleted": 0}
    assert counts() == nothing
    lease = ledger.acquire(TENANT, DAY, owner="worker", run_id="first")
    assert counts() == nothing
    ledger.hand_over(lease, reason="large", job_token="token", job_id="job", duration=timedelta(hours=1))
    assert counts() == {**nothing, "CountJobs": 1}
    ledger.fail(lease, "no capacity", retryable=True)
    assert counts() == nothing
    lease = ledger.acquire(TENANT, DAY, owner="worker", run_id="second")
    ledger.fail(lease, "denied", retryable=False)
    assert counts() == {**nothing, "CountEnded": 1}
    item = cosmos_account.container().query_items(
        f"SELECT * FROM c WHERE c.PK = 'TENANT#{TENANT}#BATCH'", enable_cross_partition_query=True
    )
    cosmos_account.container().upsert_item({**next(iter(item)), "status": "COMPLETED_WITH_REJECTS"})
    assert counts() == {**nothing, "CountEnded": 1, "CountCompleted": 1}
    # A run that began before the trigger is not the one that the pipeline waits for.
    assert counts(triggered=clock.now + timedelta(seconds=1)) == nothing
