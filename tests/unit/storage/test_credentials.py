"""Credentials from boto3's chain and from an Azure identity, and their renewal."""

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
from azure.core.exceptions import ClientAuthenticationError
from obstore.exceptions import BaseError

from daily_batch.domain.url import parse_url
from daily_batch.errors import BatchError, RetryableError, TerminalError, UsageError
from daily_batch.settings import load_settings
from daily_batch.storage import azure_identity
from daily_batch.storage.credentials import find_s3_credentials
from daily_batch.storage.failures import explain_failure, is_denied
from daily_batch.storage.stores import delta_location, open_store
from tests.support.day_runs import ROOT, child_environment

PROGRAM = """
from daily_batch.storage import credentials
from daily_batch.storage.credentials import find_s3_credentials
from daily_batch.domain.url import parse_url
from daily_batch.settings import load_settings
from daily_batch.storage.stores import delta_location, open_store
found = find_s3_credentials({})
print(found and (found.provide()["access_key_id"], found.as_options()["aws_session_token"]))
"""


@pytest.fixture
def container() -> Iterator[str]:
    """Serve temporary keys as an AWS container runtime does, to requests with the token."""

    class KeysHandler(BaseHTTPRequestHandler):
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

    with ThreadingHTTPServer(("127.0.0.1", 0), KeysHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/keys"
        server.shutdown()


def find_in_child_process(**more: str) -> str:
    inherited = {name: value for name, value in child_environment().items() if not name.startswith("AWS_")}
    environment = inherited | {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull, **more}
    environment["AWS_SHARED_CREDENTIALS_FILE"] = more.get("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
    )
    return process.stdout.strip()


def test_containers_credentials_are_found_with_their_session(container: str) -> None:
    environment = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": container, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "let-me-in"}
    assert find_in_child_process(**environment) == "('AKIAROLE', 'of-the-session')"


def test_credentials_of_the_environment_are_left_to_the_libraries(container: str) -> None:
    assert find_in_child_process(AWS_ACCESS_KEY_ID="AKIAENV", AWS_SECRET_ACCESS_KEY="s") == "None"


def test_credentials_in_the_options_suffice() -> None:
    assert find_s3_credentials({"aws_access_key_id": "AKIA"}) is None
    assert find_s3_credentials({"aws_skip_signature": "true"}) is None


@dataclass
class Identity:
    """A fake of azure-identity's credentials."""

    seconds: int = 3600
    requested_scopes: list[str] = field(default_factory=list)
    error: Exception | None = None

    def get_token(self, *scopes: str, **_: object) -> SimpleNamespace:
        self.requested_scopes += scopes
        if self.error is not None:
            raise self.error
        return SimpleNamespace(token=f"number {len(self.requested_scopes)}", expires_on=int(time.time()) + self.seconds)


@pytest.fixture
def identity(monkeypatch: pytest.MonkeyPatch) -> Identity:
    double = Identity()
    monkeypatch.setattr("azure.identity.DefaultAzureCredential", lambda: double)
    return double


@pytest.fixture
def blobs() -> Iterator[tuple[str, list[str]]]:
    """Serve an empty blob container; yield its URL and the Authorization headers of its requests."""
    authorizations: list[str] = []

    class EmptyContainer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            authorizations.append(self.headers["Authorization"])
            body = b'<?xml version="1.0"?><EnumerationResults><Blobs></Blobs><NextMarker/></EnumerationResults>'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), EmptyContainer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", authorizations
        server.shutdown()


LAKE = parse_url("abfss://data@lake.dfs.core.windows.net/x")


def test_abfss_without_a_key_uses_the_process_identity(identity: Identity, blobs: tuple[str, list[str]]) -> None:
    endpoint, authorizations = blobs
    options = {"azure_storage_endpoint": endpoint}
    open_store(LAKE, options).list_with_delimiter()
    _, table_options = delta_location(LAKE, options)
    # Both libraries share one token.
    assert (authorizations, table_options["azure_storage_token"]) == (["Bearer number 1"], "number 1")
    assert identity.requested_scopes == ["https://storage.azure.com/.default"]


def test_each_table_opening_and_each_store_request_uses_a_current_token(
    identity: Identity, blobs: tuple[str, list[str]]
) -> None:
    endpoint, authorizations = blobs
    identity.seconds = -1
    store = open_store(LAKE, {"azure_storage_endpoint": endpoint})
    _, table_options = delta_location(LAKE, {"azure_storage_endpoint": endpoint})
    first, second = dict(table_options)["azure_storage_token"], dict(table_options)["azure_storage_token"]
    assert first != second
    store.list_with_delimiter()
    store.list_with_delimiter()
    assert len(set(authorizations)) == 2


@pytest.mark.parametrize(
    "options",
    [
        {"azure_storage_account_key": "a2V5"},
        {"azure_storage_sas_token": "sig=x"},
        {"azure_storage_token": "x"},
        {"azure_client_secret": "x"},
        {"azure_skip_signature": "true"},
        {"azure_storage_use_emulator": "true"},
    ],
)
def test_azure_keys_in_the_options_suffice(identity: Identity, options: dict[str, str]) -> None:
    _, table_options = delta_location(LAKE, options)
    assert (identity.requested_scopes, set(options) <= set(table_options)) == ([], True)


@pytest.mark.parametrize("name", ["AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_TOKEN"])
def test_azure_key_of_the_environment_is_used_and_never_shown(identity: Identity, name: str) -> None:
    settings = load_settings(flags={}, environ={name: "c2VjcmV0"})
    _, table_options = delta_location(LAKE, settings.storage_options)
    assert (identity.requested_scopes, table_options[name.lower()]) == ([], "c2VjcmV0")
    assert "c2VjcmV0" not in str(settings.explain())
    assert settings.for_job(tenant="acme") == {}


def test_valid_token_is_used_while_the_token_endpoint_is_down(identity: Identity) -> None:
    identity.seconds = 60
    _, table_options = delta_location(LAKE, {})
    token = table_options["azure_storage_token"]
    identity.error = ClientAuthenticationError("Failed to establish a new connection: [Errno 111] Connection refused")
    assert table_options["azure_storage_token"] == token
    identity.seconds, identity.error = -1, None
    table_options["azure_storage_token"]
    identity.error = ClientAuthenticationError("Failed to establish a new connection: [Errno 111] Connection refused")
    with pytest.raises(RetryableError, match="does not answer"):
        table_options["azure_storage_token"]


# Messages of azure-identity 1.27.0, reduced to the parts that decide.
UNKNOWN_CLIENT_ID = (
    "DefaultAzureCredential failed to retrieve a token from the included credentials.\nAttempted credentials:\n\t"
    "ManagedIdentityCredential: App Service managed identity configuration not found in environment. Token request "
    "error: (invalid_scope) 400, No User Assigned or Delegated Managed Identity found for specified "
    "ClientId/ResourceId/PrincipalId.\nTo mitigate this issue, please refer to the troubleshooting guidelines here."
)
UNAVAILABLE = (
    "\tManagedIdentityCredential: ManagedIdentityCredential authentication unavailable.\n\tAzureCliCredential: none"
)
UNREACHABLE = (
    "\tManagedIdentityCredential: HTTPConnection(host='127.0.0.1', port=1): Failed to establish a new connection"
)
INVALID_RESPONSE = (
    "\tManagedIdentityCredential: JSON is invalid: Expecting value: line 1 column 1 (char 0)\nContent: hidden"
)
NO_IDENTITY_HEADER = (
    "\tManagedIdentityCredential: Token request error: (invalid_scope) None, No identity header\nhidden"
)
INVALID_SECRET = "Authentication failed: AADSTS7000215: Invalid client secret provided. hidden"
EXPIRED = "\tEnvironmentCredential: Authentication failed: AADSTS7000222: The client secret keys are expired. hidden"


@pytest.mark.parametrize(
    ("message", "kind", "what", "step"),
    [
        (
            UNKNOWN_CLIENT_ID,
            UsageError,
            "the managed identity of AZURE_CLIENT_ID is not one of this app",
            "set AZURE_CLIENT_ID to",
        ),
        (UNAVAILABLE, UsageError, "no Azure identity is found", "sign in with az login"),
        (UNREACHABLE, RetryableError, "the endpoint of Azure tokens does not answer", "run the day again"),
        (INVALID_RESPONSE, RetryableError, "the endpoint of Azure tokens does not answer", "run the day again"),
        (
            NO_IDENTITY_HEADER,
            TerminalError,
            "the endpoint of Azure tokens refuses: None, No identity header",
            "check the identity",
        ),
        (INVALID_SECRET, TerminalError, "Entra refuses this Azure identity (AADSTS7000215)", "check AZURE_TENANT_ID"),
        (EXPIRED, TerminalError, "the Azure sign-in or secret has expired (AADSTS7000222)", "renew the secret"),
    ],
)
def test_each_reason_for_a_missing_token_has_its_next_step(
    identity: Identity, message: str, kind: type[BatchError], what: str, step: str
) -> None:
    identity.error = ClientAuthenticationError(message)
    with pytest.raises(kind) as raised:
        open_store(LAKE, {})
    assert type(raised.value) is kind
    assert what in raised.value.what
    assert step in raised.value.next_step
    assert "hidden" not in str(raised.value)


def test_failed_token_renewal_in_a_store_keeps_its_error(identity: Identity, blobs: tuple[str, list[str]]) -> None:
    endpoint, _ = blobs
    identity.seconds = -1
    store = open_store(LAKE, {"azure_storage_endpoint": endpoint})
    identity.error = ClientAuthenticationError(UNREACHABLE)
    with pytest.raises(BaseError) as raised:
        store.list_with_delimiter()
    explained = explain_failure(raised.value, tenant="acme", day="2025-08-12")
    assert isinstance(explained, RetryableError)
    assert str(explained).startswith(
        "tenant=acme day=2025-08-12: the endpoint of Azure tokens does not answer. Next step: "
    )
    assert not is_denied(raised.value)


def test_azure_identity_without_its_package_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "azure.identity", None)
    with pytest.raises(UsageError, match=r"makoto-daily-batch\[azure\]"):
        azure_identity.AzureIdentity()
