"""Refused access: each reason has its message, next step and exit status, with every client."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import obstore
import pytest
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError
from azure.identity import CredentialUnavailableError
from botocore import exceptions as boto
from deltalake.exceptions import DeltaError
from obstore.exceptions import BaseError

from daily_batch.domain.url import parse_url
from daily_batch.errors import BatchError, RetryableError, TerminalError, UsageError
from daily_batch.pipeline.publish.delta_log import open_table
from daily_batch.storage.failures import explain_access, explain_failure, is_denied, quote_cause
from daily_batch.storage.stores import delta_location, open_store
from tests.support.day_runs import ROOT, child_environment
from tests.support.refusing_server import KEY, SIGNED, RefusingHandler

KEYS = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "aws_region": "us-east-1"}
ACCOUNT_KEY = {"azure_storage_account_key": "a2V5"}
QUICK = {"max_retries": "0", "retry_timeout": "2s", "connect_timeout": "2s"}
LAKE = "abfss://box@lake.dfs.core.windows.net/x"


Serve = Callable[[int, str, str], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    started: list[subprocess.Popen[str]] = []

    def start(status: int, code: str, message: str = "") -> str:
        program = [sys.executable, "-m", "tests.support.refusing_server", str(status), code, message]
        process = subprocess.Popen(program, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        return f"http://127.0.0.1:{process.stdout.readline().strip()}"

    yield start
    for process in started:
        process.kill()
        process.communicate()


def collect_errors(url: str, options: dict[str, str]) -> Iterator[Exception]:
    """Yield the error of each operation: obstore's list, get and put, and opening a table with delta-rs."""
    location = parse_url(url)
    store = open_store(location, options | QUICK)
    table_location, table_options = delta_location(location, options | QUICK)
    operations: tuple[Callable[[], object], ...] = (
        lambda: list(store.list("a")),
        lambda: store.get("a"),
        lambda: obstore.put(store, "a", b"1"),
        lambda: open_table(table_location, table_options),
    )
    for operation in operations:
        with pytest.raises((BaseError, OSError, DeltaError)) as failed:
            operation()
        yield failed.value


def check_explained(error: BaseException, kind: type[BatchError], what: str, step: str) -> None:
    """Check that the error becomes one line that names the day and quotes neither keys nor signed text."""
    assert isinstance(error, Exception)
    explained = explain_failure(error, tenant="acme", day="2025-08-12")
    assert type(explained) is kind, explained
    assert str(explained).startswith("tenant=acme day=2025-08-12: ")
    assert what in explained.what
    assert step in explained.next_step
    assert KEY not in str(explained)
    assert SIGNED not in str(explained)
    assert "\n" not in str(explained)


@pytest.mark.parametrize(
    ("status", "code", "kind", "what", "step"),
    [
        (400, "ExpiredToken", TerminalError, "the AWS credentials have expired", "aws sso login"),
        (403, "RequestTimeTooSkewed", TerminalError, "this machine's clock is wrong", "sign in again"),
        (
            403,
            "InvalidAccessKeyId",
            UsageError,
            "the AWS credentials are wrong (InvalidAccessKeyId)",
            "correct the keys",
        ),
        (403, "SignatureDoesNotMatch", UsageError, "the AWS credentials are wrong", "AWS_PROFILE"),
        (400, "InvalidToken", UsageError, "the AWS credentials are wrong", "AWS_SESSION_TOKEN"),
        (400, "AuthorizationHeaderMalformed", UsageError, "the AWS region is not the bucket's", "set AWS_REGION"),
        (403, "AccessDenied", TerminalError, "access is denied", "allow this identity"),
    ],
)
def test_refusals_of_s3_are_distinguished_for_obstore_and_delta_rs(
    serve: Serve, status: int, code: str, kind: type[BatchError], what: str, step: str
) -> None:
    options = KEYS | {"aws_endpoint_url": serve(status, code, "")}
    for error in collect_errors("s3://box/x", options):
        check_explained(error, kind, what, step)


@pytest.mark.parametrize(
    ("status", "code", "message", "kind", "what", "step"),
    [
        (
            403,
            "AuthenticationFailed",
            "",
            UsageError,
            "the Azure credentials are wrong",
            "AZURE_STORAGE_CONNECTION_STRING",
        ),
        (
            *(403, "AuthenticationFailed", "Signature not valid in the specified time frame", TerminalError),
            *("the Azure credentials have expired", "shared access signature"),
        ),
        (
            *(401, "InvalidAuthenticationInfo", "Lifetime validation failed. The token is expired.", TerminalError),
            *("the Azure credentials have expired", "az login"),
        ),
        (401, "NoAuthenticationInformation", "", UsageError, "no Azure credentials are found", "az login"),
        (403, "KeyBasedAuthenticationNotPermitted", "", UsageError, "disabled", "use an identity"),
        (403, "AuthorizationPermissionMismatch", "", TerminalError, "access is denied", "allow this identity"),
    ],
)
def test_refusals_of_azure_are_distinguished_for_obstore_and_delta_rs(
    serve: Serve, status: int, code: str, message: str, kind: type[BatchError], what: str, step: str
) -> None:
    options = ACCOUNT_KEY | {"azure_storage_endpoint": serve(status, code, message)}
    for error in collect_errors(LAKE, options):
        check_explained(error, kind, what, step)


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("s3://box/x", KEYS | {"aws_endpoint_url": "http://127.0.0.1:1"}),
        ("s3://box/x", KEYS | {"aws_endpoint_url": "http://no.such.host.invalid"}),
        (LAKE, ACCOUNT_KEY | {"azure_storage_endpoint": "http://127.0.0.1:1"}),
    ],
)
def test_cloud_that_does_not_answer_is_unreachable_and_retryable(url: str, options: dict[str, str]) -> None:
    for error in collect_errors(url, options):
        check_explained(error, RetryableError, "cannot be reached (no answer)", "check the network")


@pytest.mark.parametrize(
    ("error", "kind", "what"),
    [
        (boto.ProfileNotFound(profile=KEY), UsageError, "the AWS credentials are wrong (ProfileNotFound)"),
        (boto.ConfigParseError(path="~/.aws/config"), UsageError, "the AWS credentials are wrong"),
        (boto.PartialCredentialsError(provider="env", cred_var="x"), UsageError, "the AWS credentials are wrong"),
        (boto.NoCredentialsError(), UsageError, "no AWS credentials are found"),
        (boto.UnauthorizedSSOTokenError(), TerminalError, "the AWS credentials have expired"),
        (boto.SSOTokenLoadError(profile_name="p", error_msg=KEY), TerminalError, "the AWS credentials have expired"),
        (boto.TokenRetrievalError(provider="sso", error_msg=KEY), TerminalError, "the AWS credentials have expired"),
        (boto.CredentialRetrievalError(provider="custom-process", error_msg=KEY), UsageError, "credentials are wrong"),
        (boto.EndpointConnectionError(endpoint_url="https://sts"), RetryableError, "AWS cannot be reached"),
        (boto.ConnectTimeoutError(endpoint_url="https://sts"), RetryableError, "AWS cannot be reached"),
        (
            RuntimeError("Credentials were refreshed, but the refreshed credentials are still expired."),
            TerminalError,
            "expired",
        ),
        (
            ClientAuthenticationError(f"AADSTS7000215: Invalid client secret {KEY}"),
            TerminalError,
            "Entra refuses this Azure identity (AADSTS7000215)",
        ),
        (
            ClientAuthenticationError("AADSTS7000222: The provided client secret keys are expired"),
            TerminalError,
            "expired",
        ),
        (
            CredentialUnavailableError(f"DefaultAzureCredential failed {KEY}"),
            UsageError,
            "no Azure identity is found",
        ),
        (ServiceRequestError("no route"), RetryableError, "the endpoint of Azure tokens does not answer"),
    ],
)
def test_errors_of_credential_libraries_are_translated(error: Exception, kind: type[BatchError], what: str) -> None:
    check_explained(error, kind, what, "")


@pytest.mark.parametrize(
    ("code", "operation", "kind", "what"),
    [
        ("ExpiredToken", "AssumeRole", TerminalError, "expired"),
        ("InvalidClientTokenId", "AssumeRole", UsageError, "wrong"),
        ("AccessDenied", "AssumeRole", TerminalError, "not allowed to assume the role"),
        ("AccessDenied", "AssumeRoleWithWebIdentity", TerminalError, "not allowed to assume the role"),
        ("UnrecognizedClientException", "GetItem", UsageError, "wrong"),
    ],
)
def test_aws_service_errors_are_translated_by_code(
    code: str, operation: str, kind: type[BatchError], what: str
) -> None:
    response: Any = {"Error": {"Code": code, "Message": KEY}}
    check_explained(boto.ClientError(response, operation), kind, what, "")


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("AccessDenied"), RuntimeError("x"), OSError("disk full")])
def test_other_errors_are_not_refusals(error: Exception) -> None:
    assert explain_access(error) is None


def test_cause_of_a_denial_quotes_only_the_response_code() -> None:
    text = (
        f'Server returned 403 Forbidden: <?xml version="1.0"?><Error><Code>AccessDenied</Code><Key>{KEY}</Key></Error>'
    )
    assert quote_cause(OSError(text)) == "Server returned 403 Forbidden: AccessDenied"
    assert is_denied(OSError(text))


def test_library_loggers_are_silent(tmp_path: Path) -> None:
    program = (
        "import logging, warnings\n"
        "from daily_batch.telemetry import quiet_libraries\n"
        "quiet_libraries()\n"
        "for name in ('botocore.credentials', 'urllib3.connectionpool', 'azure.identity._internal', 'boto3'):\n"
        "    logging.getLogger(name).error('a trace of %s', name)\n"
        "    warnings.warn_explicit('old', DeprecationWarning, 'x.py', 1, module=name)\n"
        "logging.getLogger('makoto-daily-batch').error('ours')\n"
    )
    process = subprocess.run(
        [sys.executable, "-W", "default", "-c", program], env=child_environment(), capture_output=True, text=True
    )
    assert process.stderr == "ours\n"


def test_errors_of_the_metrics_exporter_are_still_logged() -> None:
    program = (
        "import logging\nfrom daily_batch.telemetry import quiet_libraries\nquiet_libraries()\n"
        "logging.getLogger('azure.monitor.opentelemetry.exporter').error('not taken')\n"
    )
    process = subprocess.run([sys.executable, "-c", program], env=child_environment(), capture_output=True, text=True)
    assert process.stderr == "not taken\n"


def test_refusing_server_responds_like_the_service() -> None:
    """Check what the tests above rely on: the answer has the services' form."""
    with ThreadingHTTPServer(("127.0.0.1", 0), RefusingHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        store = open_store(parse_url("s3://box/x"), KEYS | QUICK | {"aws_endpoint_url": endpoint})
        with pytest.raises(BaseError, match="<Code>AccessDenied</Code>"):
            list(store.list("a"))
        server.shutdown()
