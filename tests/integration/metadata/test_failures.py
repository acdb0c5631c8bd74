"""Stores that are down, throttle, deny or do not exist: whether a retry can help, and no secret in any message."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from daily_batch.errors import BatchError, RetryableError, TerminalError, UsageError
from daily_batch.metadata import MetadataStore, sqlite
from daily_batch.metadata.cosmos import CosmosStore
from daily_batch.metadata.dynamodb import DynamoDbStore
from daily_batch.metadata.sqlite import SqliteStore
from tests.local_cloud.aws.dynamodb_local import refusing_port
from tests.local_cloud.azure.cosmos import CosmosAccount, serve_cosmos
from tests.support.metadata_servers import KEY, REGION, DynamoDbTable
from tests.support.scripted_server import Answer, answering

ITEM = {"PK": "TENANT#acme#BATCH", "SK": "DAILY#2025-08-12", "title": "hush-content"}
CALLS: dict[str, Callable[[MetadataStore], object]] = {
    "get": lambda store: store.get(str(ITEM["PK"]), str(ITEM["SK"])),
    "query": lambda store: list(store.query(str(ITEM["PK"]), first="DAILY#", last="DAILY$")),
    "create": lambda store: store.put(ITEM, expected=None),
}
SECRET = "c2VjcmV0LWtleQ=="


@pytest.fixture(params=CALLS)
def call(request: pytest.FixtureRequest) -> Callable[[MetadataStore], object]:
    return CALLS[request.param]


@pytest.fixture
def aws_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry without pauses, whose length the libraries decide."""
    monkeypatch.setattr("time.sleep", lambda _: None)


def dynamodb_at(endpoint: str) -> DynamoDbStore:
    return DynamoDbStore("makoto-metadata", region=REGION, endpoint_url=endpoint)


def full_text(error: BaseException) -> str:
    assert isinstance(error, BatchError)
    return f"{error} {error.what} {error.next_step}"


@pytest.mark.usefixtures("aws_identity", "no_pauses")
def test_a_dynamodb_that_is_down_is_retryable(call: Callable[[MetadataStore], object]) -> None:
    with refusing_port() as port, pytest.raises(RetryableError, match="EndpointConnectionError"):
        call(dynamodb_at(f"http://127.0.0.1:{port}"))


@pytest.mark.usefixtures("no_pauses")
def test_a_cosmos_db_that_is_down_is_retryable(call: Callable[[MetadataStore], object]) -> None:
    with serve_cosmos() as account:
        store = CosmosStore(account.endpoint, account.key)
    with pytest.raises(RetryableError, match="nothing was published"):
        call(store)
    with pytest.raises(RetryableError, match="nothing was published"):
        CosmosStore(account.endpoint, account.key)


def test_a_file_that_another_process_locks_is_retryable(
    call: Callable[[MetadataStore], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteStore(tmp_path / "ledger.sqlite")
    store.put({**ITEM, "SK": "DAILY#2025-08-11"}, expected=None)
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.1)
    holder = sqlite3.connect(store.file, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(RetryableError, match="SQLITE_BUSY"):
        call(store)
    holder.close()


@pytest.mark.usefixtures("aws_identity", "no_pauses")
@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "ThrottlingException"),
        (400, "ProvisionedThroughputExceededException"),
        (500, "InternalServerError"),
        (503, "ServiceUnavailable"),
    ],
)
def test_a_dynamodb_that_throttles_or_fails_is_retried_and_retryable(
    status: int, code: str, call: Callable[[MetadataStore], object]
) -> None:
    requests: list[str] = []
    with answering(
        lambda path: requests.append(path) or Answer(status, {"__type": code, "message": SECRET})
    ) as endpoint:
        with pytest.raises(RetryableError, match=code) as raised:
            call(dynamodb_at(endpoint))
        assert len(requests) == 8
    assert SECRET not in full_text(raised.value)


@pytest.mark.usefixtures("aws_identity", "no_pauses")
def test_a_short_throttling_of_dynamodb_is_absorbed() -> None:
    answers = [
        Answer(400, {"__type": "ThrottlingException"}),
        Answer(503, {}),
        Answer(200, {"Item": {"x": {"N": "1"}}}),
    ]
    with answering(lambda _: answers.pop(0)) as endpoint:
        assert dynamodb_at(endpoint).get("TENANT#acme#BATCH", "DAILY#2025-08-12") == ({"x": 1}, "0")


@pytest.mark.usefixtures("aws_identity")
@pytest.mark.parametrize(
    ("code", "kind", "expected"),
    [
        ("AccessDeniedException", TerminalError, "credentials.*dynamodb:GetItem"),
        ("ExpiredTokenException", TerminalError, "the AWS credentials have expired.*aws sso login"),
        ("UnrecognizedClientException", UsageError, "the AWS credentials are wrong.*correct the keys"),
    ],
)
def test_a_dynamodb_that_denies_access_is_final(
    code: str, kind: type[BatchError], expected: str, call: Callable[[MetadataStore], object]
) -> None:
    requests: list[str] = []
    with answering(lambda path: requests.append(path) or Answer(400, {"__type": code, "message": SECRET})) as endpoint:
        with pytest.raises(kind, match=f"{code}.*{expected}") as raised:
            call(dynamodb_at(endpoint))
        assert len(requests) == 1
    assert SECRET not in full_text(raised.value)
    assert "hush" not in full_text(raised.value)


def test_missing_credentials_and_a_missing_region_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "absent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(TerminalError, match="NoRegionError"):
        DynamoDbStore("makoto-metadata")
    with pytest.raises(UsageError, match=r"NoCredentialsError.*no AWS credentials are found"):
        dynamodb_at("http://127.0.0.1:1").get("TENANT#acme#BATCH", "DAILY#2025-08-12")


def test_a_table_that_does_not_exist_is_final(
    dynamodb_table: DynamoDbTable, call: Callable[[MetadataStore], object]
) -> None:
    store = DynamoDbStore("no-such-table", region=REGION, endpoint_url=dynamodb_table.endpoint)
    with pytest.raises(TerminalError, match=r"no-such-table.*ResourceNotFoundException.*DYNAMODB_TABLE_NAME"):
        call(store)


def test_a_table_with_other_keys_is_final(dynamodb_table: DynamoDbTable) -> None:
    name = f"{dynamodb_table.name}-other"
    dynamodb_table.client().create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    with pytest.raises(TerminalError, match=r"ValidationException.*partition key PK and sort key SK"):
        CALLS["get"](DynamoDbStore(name, region=REGION, endpoint_url=dynamodb_table.endpoint))


@pytest.mark.parametrize("name", ["database", "container"])
def test_a_container_that_does_not_exist_is_final(
    cosmos_account: CosmosAccount, name: str, call: Callable[[MetadataStore], object]
) -> None:
    store = CosmosStore(cosmos_account.endpoint, cosmos_account.key, **{name: "absent"})
    with pytest.raises(TerminalError, match=r"absent.*partition key /PK"):
        call(store)


@pytest.mark.parametrize("status", [401, 403])
def test_a_cosmos_db_that_denies_access_is_final(status: int) -> None:
    denied = Answer(status, {"code": "Denied", "message": SECRET})
    with (
        answering(lambda _: denied) as endpoint,
        pytest.raises(TerminalError, match=f"{status}.*COSMOS_KEY") as raised,
    ):
        CosmosStore(endpoint, SECRET)
    assert SECRET not in full_text(raised.value)


def test_a_malformed_cosmos_key_is_final_and_not_quoted(cosmos_account: CosmosAccount) -> None:
    with pytest.raises(TerminalError, match="COSMOS_KEY") as raised:
        CosmosStore(cosmos_account.endpoint, "hush-key")
    assert "hush-key" not in full_text(raised.value)


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize("status", [408, 429, 449, 500, 503])
def test_a_cosmos_db_that_throttles_or_fails_is_retryable(status: int, call: Callable[[MetadataStore], object]) -> None:
    requests: list[str] = []

    def answer(path: str) -> Answer:
        if path.startswith("/dbs"):
            requests.append(path)
            return Answer(status, {"code": "Busy", "message": SECRET}, {"x-ms-retry-after-ms": "1"})
        return Answer(200, {"writableLocations": [], "readableLocations": []})

    with answering(answer) as endpoint:
        store = CosmosStore(endpoint, SECRET)
        with pytest.raises(RetryableError, match=str(status)) as raised:
            call(store)
    assert SECRET not in full_text(raised.value)
    assert len(requests) == 10 if status == 429 else requests


def test_a_path_unfit_for_a_ledger_is_final(tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.sqlite"
    garbage.write_bytes(b"no database" * 100)
    with pytest.raises(TerminalError, match="SQLITE_NOTADB"):
        CALLS["get"](SqliteStore(garbage))
    with pytest.raises(TerminalError, match="SQLITE_CANTOPEN"):
        CALLS["create"](SqliteStore(tmp_path))
    with pytest.raises(TerminalError, match="cannot be created"):
        CALLS["create"](SqliteStore(garbage / "below/ledger.sqlite"))
