"""Run a third-party Cosmos DB emulator (docs/project/emulators.md), which ends with its parent process."""

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
    """An account with the platform's database and container; any key is accepted."""

    endpoint: str
    key: str = "dGVzdA=="

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables by which a process finds the account."""
        return {"COSMOS_ENDPOINT": self.endpoint, "COSMOS_KEY": self.key}

    def container(self) -> ContainerProxy:
        """Return Microsoft's client of the platform's container."""
        client = CosmosClient(self.endpoint, self.key)
        return client.get_database_client("makoto-db").get_container_client("metadata")

    def create(self) -> None:
        """Create the database and the container."""
        database = CosmosClient(self.endpoint, self.key).create_database("makoto-db")
        database.create_container("metadata", PartitionKey("/PK"))


def install() -> Path:
    """Download the Cosmos DB server once, and return its node_modules."""
    return install_packages(f"cosmosdb-server-{VERSION}", SOURCE)


@contextmanager
def serve_cosmos() -> Iterator[CosmosAccount]:
    """Run a Cosmos DB account with the platform's container on a free port."""
    packages = install()
    program = [NODE, str(SOURCE / "serve.js")]
    environment = os.environ | {"NODE_PATH": str(packages)}
    with subprocess.Popen(
        program, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout is not None, "stdout is a pipe"  # noqa: S101
        account = CosmosAccount(server.stdout.readline().strip())
        account.create()
        yield account
