"""The metadata stores for conformance tests and the processes that they start."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from boto3.dynamodb.types import TypeSerializer

from daily_batch.metadata import MetadataStore
from daily_batch.metadata.cosmos import CosmosStore
from daily_batch.metadata.dynamodb import DynamoDbStore
from daily_batch.metadata.sqlite import SqliteStore
from tests.local_cloud.azure.cosmos import CosmosAccount
from tests.support.metadata_servers import REGION, DynamoDbTable


class Backend(NamedTuple):
    """`connect` opens the store in any process; `plant` writes an item as another program would."""

    connect: Callable[[], MetadataStore]
    plant: Callable[[Mapping[str, Any]], object]


def sqlite_backend(file: Path) -> Backend:
    """Use a file, which no other program writes in another way."""
    connect = partial(SqliteStore, file)
    return Backend(connect, lambda item: connect().put(item, expected=None))


def dynamodb_backend(table: DynamoDbTable) -> Backend:
    """Use a table; another program's items have no `version`."""

    def plant(item: Mapping[str, Any]) -> None:
        attributes = {name: TypeSerializer().serialize(value) for name, value in item.items()}
        table.client().put_item(TableName=table.name, Item=attributes)

    return Backend(partial(DynamoDbStore, table.name, region=REGION, endpoint_url=table.endpoint), plant)


def cosmos_backend(account: CosmosAccount) -> Backend:
    """Use a container; another program's items have ids of another scheme."""

    def plant(item: Mapping[str, Any]) -> None:
        account.container().create_item({**item, "id": f"theirs-{item['SK'][-4:]}"})

    return Backend(partial(CosmosStore, account.endpoint, account.key), plant)
