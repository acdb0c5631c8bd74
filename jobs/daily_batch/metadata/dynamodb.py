"""The metadata store in a DynamoDB table with partition key PK and sort key SK, both text.

Needs dynamodb:GetItem, Query and PutItem, and nothing else.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import boto3  # type: ignore[import-untyped]  # it carries no types, nor does botocore
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer  # type: ignore[import-untyped]
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

from daily_batch.errors import BatchError, RetryableError, TerminalError
from daily_batch.metadata.store import Item, VersionConflictError, VersionedItem, spoiled
from daily_batch.storage import boto_errors

# Pauses included, the 8 tries take 3 s at most with a service that fails or refuses, 35 s with one that hangs, and 71 s
# with one that throttles.
CLIENT = Config(
    connect_timeout=2,
    read_timeout=4,
    retries={"mode": "standard", "total_max_attempts": 8},
    max_pool_connections=64,  # rooms are asked for from as many threads as objects are fetched in
)
# Our own number in each item that we write. Items of other programs have none until we do.
VERSION = "version"
_UNVERSIONED = "0"
_RANGE = "PK = :pk AND SK BETWEEN :first AND :last"
_NAME = {"#version": VERSION}
# What the service answers with status 400 and means for a while only.
_THROTTLED = ("ProvisionedThroughputExceededException", "ThrottlingException", "Throttling", "RequestLimitExceeded")
# What else the service refuses for good, by what helps; everything else is a matter of credentials and rights.
_STEPS = {
    "ResourceNotFoundException": "check DYNAMODB_TABLE_NAME and the region, or make the table",
    "ValidationException": "check that the table has partition key PK and sort key SK, both text",
}
_DENIED = "check this identity's credentials, its region and its right to dynamodb:GetItem, Query and PutItem"


class DynamoDbStore:
    """See `MetadataStore`. Threads may share it. Credentials, and what is not given, come from boto3's own sources."""

    def __init__(self, table: str, *, region: str | None = None, endpoint_url: str | None = None) -> None:
        self._table = table
        with self._explained():
            session = boto3.Session(region_name=region)  # the default one is not safe to use from two threads
            self._client = session.client("dynamodb", endpoint_url=endpoint_url, config=CLIENT)

    def get(self, pk: str, sk: str) -> VersionedItem | None:
        """See `MetadataStore.get`."""
        with self._explained():
            answer = self._client.get_item(TableName=self._table, Key=_attributes(PK=pk, SK=sk), ConsistentRead=True)
        if "Item" not in answer:
            return None
        return VersionedItem(_read(answer["Item"]), _read_version(answer["Item"], pk, sk))

    def query(self, pk: str, *, first: str, last: str) -> Iterator[Item]:
        """See `MetadataStore.query`."""
        if first > last:  # the service refuses such a range; both compare by code point
            return
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            KeyConditionExpression=_RANGE,
            ExpressionAttributeValues=_attributes(**{":pk": pk, ":first": first, ":last": last}),
            ConsistentRead=True,
        )
        with self._explained():
            for page in pages:
                yield from map(_read, page["Items"])

    def put(self, item: Item, *, expected: str | None) -> str:
        """See `MetadataStore.put`."""
        version = int(expected or _UNVERSIONED) + 1
        with self._explained():
            try:
                self._client.put_item(
                    TableName=self._table, Item=_attributes(**{**item, VERSION: version}), **_condition(expected)
                )
            except self._client.exceptions.ConditionalCheckFailedException as error:
                raise VersionConflictError from error
        return str(version)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (BotoCoreError, ClientError) as error:
            raise self._explain(error) from error

    def _explain(self, error: Exception) -> BatchError:
        """What the error means; its own text may name accounts and keys, so its kind must do."""
        code = boto_errors.error_code(error)
        what = f"the DynamoDB table {self._table} cannot be used ({code})"
        if boto_errors.is_temporary(error, _THROTTLED):
            return RetryableError(f"{what}; nothing was published", next_step="run the day again")
        if known := boto_errors.explain(error):
            return type(known)(f"{what}: {known.what}", next_step=known.next_step)
        return TerminalError(what, next_step=_STEPS.get(code, _DENIED))


def _condition(expected: str | None) -> dict[str, Any]:
    """The condition under which an item is written, as arguments of PutItem."""
    if expected is None:
        return {"ConditionExpression": "attribute_not_exists(PK)"}
    if expected == _UNVERSIONED:
        there = "attribute_exists(PK) AND attribute_not_exists(#version)"
        return {"ConditionExpression": there, "ExpressionAttributeNames": _NAME}
    return {
        "ConditionExpression": "#version = :expected",
        "ExpressionAttributeNames": _NAME,
        "ExpressionAttributeValues": {":expected": {"N": expected}},
    }


def _attributes(**values: Any) -> dict[str, Any]:
    serializer = TypeSerializer()
    return {name: serializer.serialize(_to_decimal(value)) for name, value in values.items()}


def _read(attributes: dict[str, Any]) -> Item:
    deserializer = TypeDeserializer()
    values = {name: _from_decimal(deserializer.deserialize(value)) for name, value in attributes.items()}
    return {name: value for name, value in values.items() if name != VERSION}


def _read_version(attributes: dict[str, Any], pk: str, sk: str) -> str:
    """Our number in the item, or what stands for none. A condition on another type would never hold."""
    if VERSION not in attributes:
        return _UNVERSIONED
    number = str(attributes[VERSION].get("N"))
    if not number.isdecimal():
        raise spoiled(f"{sk} of {pk}", f"its attribute {VERSION} is no whole number")
    return number


def _to_decimal(value: Any) -> Any:
    """The value as boto3 takes it: it refuses floats, which other programs' fields may hold."""
    if isinstance(value, dict):
        return {name: _to_decimal(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_to_decimal(each) for each in value]
    return Decimal(repr(value)) if isinstance(value, float) else value


def _from_decimal(value: Any) -> Any:
    """The value as JSON has it; a number that no float holds exactly stays as it is."""
    if isinstance(value, dict):
        return {name: _from_decimal(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_from_decimal(each) for each in value]
    if not isinstance(value, Decimal):
        return value
    if value == value.to_integral_value():
        return int(value)
    return float(value) if Decimal(repr(float(value))) == value else value
