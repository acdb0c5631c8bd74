"""Credentials for S3 come from boto3's chain where nothing else gives them, and are renewed as boto3 does."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from daily_batch import credentials
from daily_batch.credentials import find_s3_credentials
from daily_batch.paths import parse_url
from daily_batch.settings import load_settings
from daily_batch.storage import delta_location, open_store
from day_runs import ROOT, child_environment

PROGRAM = """
from daily_batch import credentials
from daily_batch.credentials import find_s3_credentials
from daily_batch.paths import parse_url
from daily_batch.settings import load_settings
from daily_batch.storage import delta_location, open_store
found = find_s3_credentials({})
print(found and (found.provide()["access_key_id"], found.as_options()["aws_session_token"]))
"""


@pytest.fixture
def container() -> Iterator[str]:
    """What a runtime of AWS serves its containers: keys that last a while, for whoever holds the token."""

    class Keys(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.headers["Authorization"] == "let-me-in"
            until = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
            keys = {"AccessKeyId": "AKIAROLE", "SecretAccessKey": "s", "Token": "of-the-session", "Expiration": until}
            body = json.dumps(keys).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Keys) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/keys"
        server.shutdown()


def ask(**more: str) -> str:
    inherited = {name: value for name, value in child_environment().items() if not name.startswith("AWS_")}
    environment = inherited | {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull, **more}
    environment["AWS_SHARED_CREDENTIALS_FILE"] = more.get("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_containers_credentials_are_found_with_their_session(container: str) -> None:
    given = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": container, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "let-me-in"}
    assert ask(**given) == "('AKIAROLE', 'of-the-session')"


def test_those_of_the_environment_are_left_to_the_libraries(container: str) -> None:
    assert ask(AWS_ACCESS_KEY_ID="AKIAENV", AWS_SECRET_ACCESS_KEY="s") == "None"


def test_options_that_hold_some_are_enough() -> None:
    assert find_s3_credentials({"aws_access_key_id": "AKIA"}) is None
    assert find_s3_credentials({"aws_skip_signature": "true"}) is None


@dataclass
class Identity:
    """A signed-in identity, as azure-identity's credentials are."""

    asked: list[str] = field(default_factory=list)

    def get_token(self, *scopes: str, **_: object) -> SimpleNamespace:
        self.asked += scopes
        return SimpleNamespace(token="of-the-identity", expires_on=int(time.time()) + 3600)


@pytest.fixture
def identity(monkeypatch: pytest.MonkeyPatch) -> Iterator[Identity]:
    made = Identity()
    monkeypatch.setattr("azure.identity.DefaultAzureCredential", lambda: made)
    credentials._ask_azure.cache_clear()
    yield made
    credentials._ask_azure.cache_clear()


@pytest.fixture
def blobs() -> Iterator[tuple[str, list[str]]]:
    """A blob service that lists nothing, and how it was asked."""
    seen: list[str] = []

    class Nothing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers["Authorization"])
            body = b'<?xml version="1.0"?><EnumerationResults><Blobs></Blobs><NextMarker/></EnumerationResults>'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Nothing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", seen
        server.shutdown()


LAKE = parse_url("abfss://data@lake.dfs.core.windows.net/x")


def test_a_lake_is_read_by_the_processes_own_azure_identity_where_it_is_asked_for(
    identity: Identity, blobs: tuple[str, list[str]]
) -> None:
    endpoint, seen = blobs
    options = {"azure_identity": "true", "azure_storage_endpoint": endpoint}
    open_store(LAKE, options).list_with_delimiter()
    assert seen == ["Bearer of-the-identity"]
    assert identity.asked == ["https://storage.azure.com/.default"]
    _, given = delta_location(LAKE, options)
    assert given["azure_storage_token"] == "of-the-identity"
    assert "azure_identity" not in given


def test_an_identity_that_is_not_asked_for_is_not_used(identity: Identity) -> None:
    _, given = delta_location(LAKE, {"azure_storage_account_key": "a2V5"})
    assert "azure_storage_token" not in given
    _, emulated = delta_location(LAKE, {"azure_identity": "true", "azure_storage_use_emulator": "true"})
    assert (identity.asked, "azure_identity" in emulated) == ([], False)


def test_a_job_elsewhere_is_told_to_use_its_own_identity() -> None:
    settings = load_settings(flags={}, environ={"MAKOTO_AZURE_IDENTITY": "true"})
    assert settings.for_job(tenant="acme") == {"storage_options": {"azure_identity": "true"}}
