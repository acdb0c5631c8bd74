"""A Cosmos DB by others (docs/standins.md), which ends with whoever started it."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from azure.cosmos import ContainerProxy, CosmosClient, PartitionKey

from tests.local_cloud.common.node import NODE, install_packages

VERSION = "1.0.1"
SOURCE = Path(__file__).with_name("cosmosdb_server")


class CosmosAccount(NamedTuple):
    """An account with the platform's database and container, and how a process finds it. Any key is accepted."""

    endpoint: str
    key: str = "dGVzdA=="

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to find it."""
        return {"COSMOS_ENDPOINT": self.endpoint, "COSMOS_KEY": self.key}

    def container(self) -> ContainerProxy:
        """The platform's container, by Microsoft's client."""
        client = CosmosClient(self.endpoint, self.key)
        return client.get_database_client("makoto-db").get_container_client("metadata")

    def create(self) -> None:
        """Make the database and the container."""
        database = CosmosClient(self.endpoint, self.key).create_database("makoto-db")
        database.create_container("metadata", PartitionKey("/PK"))


@contextmanager
def serve_cosmos() -> Iterator[CosmosAccount]:
    """A Cosmos DB account on a free port, with the platform's container."""
    packages = install_packages(f"cosmosdb-server-{VERSION}", SOURCE)
    program = [NODE, str(SOURCE / "serve.js")]
    environment = os.environ | {"NODE_PATH": str(packages)}
    with subprocess.Popen(
        program, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout is not None, "a pipe was asked for"  # noqa: S101
        account = CosmosAccount(server.stdout.readline().strip())
        account.create()
        yield account
