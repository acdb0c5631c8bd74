"""Access to storage by managed identity, whose tokens come only from the endpoint of App Service."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from deltalake import DeltaTable

from tests.local_cloud.azure.identity.managed_identity import (
    IDENTITY,
    STORAGE,
    VERSION,
    IdentityEndpoint,
    serve_identity,
)
from tests.local_cloud.azure.local_azure import LAKE, lake_environment, lake_url
from tests.local_cloud.azure.storage.azurite import Azurite, serve_azurite
from tests.local_cloud.azure.storage.blob_gateway import drop_before, serve_blob_gateway
from tests.support.day_runs import ROOT, child_environment
from tests.support.metadata_guard import MetadataGuard, guard_metadata

CONTAINER = "data"
DAY = "2025-08-12"
ANOTHER = "33333333-3333-3333-3333-333333333333"


@dataclass(frozen=True)
class KeylessApp:
    """A Functions app without keys, on a machine without a metadata service."""

    storage: Azurite
    identity: IdentityEndpoint
    guard: MetadataGuard
    environment: dict[str, str]

    @property
    def url(self) -> str:
        return lake_url(CONTAINER)

    def run(self, program: str, **more: str) -> subprocess.CompletedProcess[str]:
        inherited = {name: each for name, each in child_environment().items() if not name.upper().startswith("AZURE_")}
        command = [sys.executable, "-c", program]
        environment = inherited | self.environment | more
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    def run_day(self, **more: str) -> subprocess.CompletedProcess[str]:
        arguments = ["run", "--tenant", "acme", "--date", DAY, "--input", self.url, "--output", self.url, "--json"]
        program = f"from daily_batch.__main__ import main; import sys; sys.argv[1:] = {arguments}; main()"
        return self.run(program, **more)


@pytest.fixture(scope="module")
def azurite() -> Iterator[Azurite]:
    with serve_azurite() as storage:
        storage.upload(ROOT / "samples/acme", container=CONTAINER, prefix="acme/")
        yield storage


@pytest.fixture
def app(azurite: Azurite) -> Iterator[KeylessApp]:
    identity = IdentityEndpoint()
    with serve_identity(identity) as known, serve_blob_gateway(azurite, identity) as gateway, guard_metadata() as guard:
        environment = {**known, **lake_environment(gateway), **guard.environment, "AZURE_CLIENT_ID": IDENTITY}
        yield KeylessApp(storage=azurite, identity=identity, guard=guard, environment=environment)


TOKENLESS = """
from deltalake import DeltaTable
options = {"azure_storage_endpoint": "http://127.0.0.1:9", "allow_http": "true", "max_retries": "0"}
DeltaTable("abfss://data@lake.dfs.core.windows.net/t", storage_options=options)
"""


def test_delta_rs_by_itself_calls_the_metadata_service(app: KeylessApp) -> None:
    # Why the product passes tokens itself. If this fails, delta-rs supports IDENTITY_ENDPOINT.
    assert app.run(TOKENLESS).returncode == 1
    assert {each.partition("/metadata")[0] for each in app.guard.requests} == {"http://169.254.169.254"}
    assert not app.identity.requests


def test_a_run_outlives_several_tokens(app: KeylessApp) -> None:
    # Much shorter than the run; an expired token is refused.
    app.identity.seconds = 2
    started = time.monotonic()
    process = app.run_day()
    elapsed = time.monotonic() - started
    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout)["receipts"][0]["status"].startswith("COMPLETED")
    assert elapsed > app.identity.seconds
    assert len(app.identity.requests) > elapsed / app.identity.seconds
    expected = {"resource": STORAGE, "api-version": VERSION, "client_id": IDENTITY}
    assert {json.dumps(each, sort_keys=True) for each in app.identity.requests} == {
        json.dumps(expected, sort_keys=True)
    }
    assert app.guard.requests == []


LONG_LIVED = """
import datetime, time
from daily_batch.domain.contract import MESSAGES
from daily_batch.domain.url import parse_url
from daily_batch.pipeline.publish import delta
from daily_batch.settings import load_settings
from daily_batch.storage.stores import delta_location, open_store
import os
settings = load_settings(flags={}, environ=os.environ)
root = parse_url(os.environ["ROOT_URL"])
store = open_store(root, settings.storage_options)
location, options = delta_location(root.child("late/messages"), settings.storage_options)
for token in (1, 2):
    day = datetime.date(2025, 8, 12)
    fenced = delta.fence_table(table=MESSAGES, location=location, storage_options=options, day=day, token=token)
    store.put(f"late/{token}", b"1")
    time.sleep(3 if token == 1 else 0)
print(fenced.snapshot.token)
"""


def test_an_open_store_and_table_continue_with_the_next_token(app: KeylessApp) -> None:
    app.identity.seconds = 2
    process = app.run(LONG_LIVED, ROOT_URL=app.url)
    assert (process.returncode, process.stdout.strip()) == (0, "2"), process.stderr
    assert app.guard.requests == []


def test_a_valid_token_is_requested_once_per_process(app: KeylessApp) -> None:
    process = app.run_day()
    assert process.returncode == 0, process.stderr
    # Each child process for reading and writing requests its own.
    assert 1 <= len(app.identity.requests) <= 6


def test_an_unknown_client_id_fails_at_once_without_a_fallback(app: KeylessApp) -> None:
    process = app.run_day(AZURE_CLIENT_ID=ANOTHER)
    assert process.returncode == 2
    assert "the managed identity of AZURE_CLIENT_ID is not one of this app or machine" in process.stderr
    assert "set AZURE_CLIENT_ID to the client id of an identity that the app or machine has" in process.stderr
    assert "Traceback" not in process.stderr
    assert "DefaultAzureCredential" not in process.stderr
    assert {each["client_id"] for each in app.identity.requests} == {ANOTHER}
    assert app.guard.requests == []


def test_a_missing_identity_is_a_one_line_error(app: KeylessApp) -> None:
    process = app.run_day(IDENTITY_ENDPOINT="", IDENTITY_HEADER="", AZURE_TOKEN_CREDENTIALS="EnvironmentCredential")
    assert process.returncode == 2
    assert '"no Azure identity is found"' in process.stderr
    assert '"next_step": "give the app or cluster one' in process.stderr
    assert "EnvironmentCredential" not in process.stderr


def test_a_token_endpoint_that_is_down_is_retryable(app: KeylessApp) -> None:
    process = app.run_day(IDENTITY_ENDPOINT="http://127.0.0.1:9/msi/token")
    assert process.returncode == 1
    assert "the endpoint of Azure tokens does not answer" in process.stderr


def test_an_account_without_keys_refuses_account_keys(app: KeylessApp, azurite: Azurite) -> None:
    endpoint = app.environment["AZURE_STORAGE_CONNECTION_STRING"].rpartition("=")[2]
    key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
    connection = f"AccountName={LAKE};AccountKey={key};BlobEndpoint={endpoint}"
    process = app.run_day(AZURE_STORAGE_CONNECTION_STRING=connection)
    assert process.returncode != 0
    assert "the Azure credentials are wrong (InvalidAuthenticationInfo)" in process.stderr
    assert not app.identity.requests


def test_the_gateway_drops_names_before_the_start() -> None:
    listing = b"<Blobs><Blob><Name>a&amp;b</Name><P/></Blob><Blob><Name>b</Name></Blob></Blobs>"
    assert drop_before(listing, "b") == b"<Blobs><Blob><Name>b</Name></Blob></Blobs>"


def test_tables_written_by_identity_are_readable_with_the_key(app: KeylessApp, monkeypatch: pytest.MonkeyPatch) -> None:
    assert app.run_day().returncode == 0
    monkeypatch.setenv("AZURITE_BLOB_STORAGE_URL", app.storage.blob)
    table = DeltaTable(
        f"{app.storage.url(CONTAINER)}/acme/analytics/messages", storage_options={"azure_storage_use_emulator": "true"}
    )
    assert table.version() >= 0
    assert table.file_uris()
