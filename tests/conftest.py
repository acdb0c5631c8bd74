"""Shared fixtures: one Spark session for the whole run, an S3 server with buckets, and the metadata stores."""

import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

from daily_batch.catalog.glue import connect_glue
from daily_batch.metadata.factory import connect_cosmos, connect_dynamodb
from daily_batch.orchestration.spark_jobs import emr_serverless
from daily_batch.storage.azure_identity import storage_credentials
from tests.local_cloud.aws.dynamodb_local import serve_dynamodb
from tests.local_cloud.azure.cosmos import CosmosAccount, serve_cosmos
from tests.support.metadata_backends import Backend, cosmos_backend, dynamodb_backend, sqlite_backend
from tests.support.metadata_servers import DynamoDbTable
from tests.support.s3_bucket import Bucket
from tests.support.spark_session import ROOT, start_session
from tests.support.webhook_receiver import Receiver, receive_webhooks

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


# CI repeats the same examples, so a failure comes from the change; elsewhere new examples find more.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")


# A module's fixture that is expensive on each cloud.
FOR_EACH_CLOUD = re.compile(r'scope="module", params=CLOUDS\b')
# A test or a fixture that takes the session.
TAKES_SPARK = re.compile(r'\bspark: (?:Any|"SparkSession")|getfixturevalue\("spark"\)')


# All tests of this folder share a cluster, which is processes enough for two cores.
CLUSTER = "tests/integration/cluster/"


# Processes that start a Spark session; one would be busy when all other tests have ended.
SPARK_SESSIONS = 2


class SharedSparkSessions(LoadFileScheduling):
    """Runs each file in one process, and the files that use the Spark session in few: it starts SPARK_SESSIONS times.

    A file with a fixture for each cloud is split by cloud. The files on the cluster run in one process.

    Files keep their order (`--no-loadscope-reorder`): Spark's, which are long chains, then the slow ones of e2e and
    integration, and many short ones of unit fill the end.
    """

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        self._sessions: dict[str, int] = {}

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        if file.startswith(CLUSTER):
            return CLUSTER
        if _matches(FOR_EACH_CLOUD, file):
            return nodeid.partition("[")[2] + file
        if _matches(TAKES_SPARK, file):
            return f"spark-{self._sessions.setdefault(file, len(self._sessions) % SPARK_SESSIONS)}"
        return file


@cache
def _matches(pattern: re.Pattern[str], file: str) -> bool:
    return pattern.search((ROOT / file).read_text(encoding="utf-8")) is not None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def is_chain(file: str) -> bool:
        return file.startswith(CLUSTER) or _matches(TAKES_SPARK, file)

    items.sort(key=lambda item: not is_chain(item.nodeid.partition("::")[0]))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    return SharedSparkSessions(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.fixture(autouse=True)
def clear_azure_tokens() -> Iterator[None]:
    """Clear the token cache after each test, because tokens are cached for an hour and outlive a local Azure.

    It is cleared after a test, not before it, so that the fixtures of a module start without another module's tokens.
    """
    yield
    storage_credentials.cache_clear()


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator["SparkSession"]:
    """Start a session on local[2] with Delta when the first test needs it."""
    # The default of 200 is for clusters; the job itself sets its number of partitions.
    extra_conf = {"spark.sql.shuffle.partitions": "4"}
    session = start_session(warehouse=tmp_path_factory.mktemp("warehouse"), extra_conf=extra_conf)
    yield session
    session.stop()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Serve a webhook on a free loopback port."""
    with receive_webhooks() as running:
        yield running


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """Start an S3 server on a free loopback port; it ends with the tests even if they are killed."""
    program = [sys.executable, "-m", "tests.support.s3_server"]
    with subprocess.Popen(
        program, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.terminate()


@pytest.fixture
def bucket(s3_endpoint: str) -> Bucket:
    """Create an empty bucket."""
    new = Bucket(endpoint=s3_endpoint, name=f"bucket-{uuid.uuid4().hex[:12]}")
    new.client().create_bucket(Bucket=new.name)
    return new


@pytest.fixture(scope="session")
def dynamodb_endpoint() -> Iterator[str]:
    """Start DynamoDB Local; return its address."""
    with serve_dynamodb() as endpoint:
        yield endpoint


@pytest.fixture
def dynamodb_table(dynamodb_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> DynamoDbTable:
    """Create an empty table, and set the environment variables through which the product finds it."""
    table = DynamoDbTable(endpoint=dynamodb_endpoint, name=f"metadata-{uuid.uuid4().hex[:12]}")
    table.create()
    for name, value in table.environment.items():
        monkeypatch.setenv(name, value)
    return table


@pytest.fixture(scope="session")
def cosmos_account() -> Iterator[CosmosAccount]:
    """Start a Cosmos DB account with one container for all tests; each test must use its own keys."""
    with serve_cosmos() as account:
        yield account


@pytest.fixture(params=["sqlite", "dynamodb", "cosmos"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    """Return each metadata store in turn, for tests that all of them must pass."""
    if request.param == "sqlite":
        return sqlite_backend(tmp_path / "folder/ledger.sqlite")
    if request.param == "dynamodb":
        return dynamodb_backend(request.getfixturevalue("dynamodb_table"))
    return cosmos_backend(request.getfixturevalue("cosmos_account"))


@pytest.fixture(autouse=True)
def clear_cached_clients() -> Iterator[None]:
    """Drop the cached clients after each test, because each test has its own servers and credentials."""
    yield
    for cached in (connect_dynamodb, connect_cosmos, connect_glue, emr_serverless.cached_client):
        cached.cache_clear()
