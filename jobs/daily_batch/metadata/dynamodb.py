"""The metadata store in a DynamoDB table with partition key PK and sort key SK, both text.

It needs dynamodb:GetItem, Query and PutItem only.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import boto3
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from daily_batch.errors import BatchError, RetryableError, TerminalError
from daily_batch.metadata.store import Item, VersionConflictError, VersionedItem, invalid_item
from daily_batch.storage import boto_errors

# With their pauses, the 8 attempts take at most 3 s if the service fails or refuses, 35 s if it hangs, and 71 s if it
# throttles.
CLIENT = Config(
    connect_timeout=2,
    read_timeout=4,
    retries={"mode": "standard", "total_max_attempts": 8},
    max_pool_connections=64,  # rooms are queried by as many threads as fetch objects
)
# The version attribute of the items written here. Items of other programs have none before the first such write.
VERSION = "version"
_UNVERSIONED = "0"
_RANGE = "PK = :pk AND SK BETWEEN :first AND :last"
_NAME = {"#version": VERSION}
# Codes of temporary failures that come with status 400.
_THROTTLED = ("ProvisionedThroughputExceededException", "ThrottlingException", "Throttling", "RequestLimitExceeded")
# The next step for other permanent failures; all remaining ones concern credentials and permissions.
_STEPS = {
    "ResourceNotFoundException": "check DYNAMODB_TABLE_NAME and the region, or create the table",
    "ValidationException": "check that the table has partition key PK and sort key SK, both text",
}
_DENIED = "check this identity's credentials, its region and its right to dynamodb:GetItem, Query and PutItem"


class DynamoDbStore:
    """See `MetadataStore`. Thread-safe. boto3 finds the credentials, and what is not given."""

    def __init__(self, table: str, *, region: str | None = None, endpoint_url: str | None = None) -> None:
        self._table = table
        with self._explained():
            session = boto3.Session(region_name=region)  # the default session is not thread-safe
            self._client = session.client("dynamodb", endpoint_url=endpoint_url, config=CLIENT)

    def get(self, pk: str, sk: str) -> VersionedItem | None:
        """See `MetadataStore.get`."""
        with self._explained():
            response = self._client.get_item(TableName=self._table, Key=_attributes(PK=pk, SK=sk), ConsistentRead=True)
        if "Item" not in response:
            return None
        return VersionedItem(_read(response["Item"]), _read_version(response["Item"], pk, sk))

    def query(self, pk: str, *, first: str, last: str) -> Iterator[Item]:
        """See `MetadataStore.query`."""
        if first > last:  # the service refuses such a range; both sides compare by code point
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
        """Return the error to raise; boto3's text is not quoted, because it may name accounts and keys."""
        code = boto_errors.error_code(error)
        what = f"the DynamoDB table {self._table} cannot be used ({code})"
        if boto_errors.is_temporary(error, _THROTTLED):
            return RetryableError(f"{what}; nothing was published", next_step="run the day again")
        if known := boto_errors.explain(error):
            return type(known)(f"{what}: {known.what}", next_step=known.next_step)
        return TerminalError(what, next_step=_STEPS.get(code, _DENIED))


def _condition(expected: str | None) -> dict[str, Any]:
    """Return the condition of a write as arguments of PutItem."""
    if expected is None:
        return {"ConditionExpression": "attribute_not_exists(PK)"}
    if expected == _UNVERSIONED:
        unversioned = "attribute_exists(PK) AND attribute_not_exists(#version)"
        return {"ConditionExpression": unversioned, "ExpressionAttributeNames": _NAME}
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
    """Return the item's version; a version of another type is an error, because no condition on it would ever hold."""
    if VERSION not in attributes:
        return _UNVERSIONED
    number = str(attributes[VERSION].get("N"))
    if not number.isdecimal():
        raise invalid_item(f"{sk} of {pk}", f"its attribute {VERSION} is not a whole number")
    return number


def _to_decimal(value: Any) -> Any:
    """Convert floats, which other programs' attributes may contain and boto3 refuses, to decimals."""
    if isinstance(value, dict):
        return {name: _to_decimal(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_to_decimal(each) for each in value]
    return Decimal(repr(value)) if isinstance(value, float) else value


def _from_decimal(value: Any) -> Any:
    """Convert decimals to JSON numbers; a number that no float represents exactly stays a decimal."""
    if isinstance(value, dict):
        return {name: _from_decimal(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_from_decimal(each) for each in value]
    if not isinstance(value, Decimal):
        return value
    if value == value.to_integral_value():
        return int(value)
    return float(value) if Decimal(repr(float(value))) == value else value
