"""The choice of the metadata store, and what each requires."""

import subprocess
import sys
from pathlib import Path

import pytest

from daily_batch.domain.url import parse_url
from daily_batch.errors import UsageError
from daily_batch.metadata.cosmos import CosmosStore
from daily_batch.metadata.dynamodb import DynamoDbStore
from daily_batch.metadata.factory import open_metadata
from daily_batch.metadata.sqlite import SqliteStore
from daily_batch.settings import load_settings
from tests.local_cloud.azure.cosmos import CosmosAccount
from tests.support.metadata_servers import DynamoDbTable

BUCKET = parse_url("s3://makoto-data/out")


@pytest.mark.parametrize(
    ("ledger", "output", "file"),
    [
        ("", "out", "out/makoto-ledger.sqlite"),
        ("state/days.sqlite", "out", "state/days.sqlite"),
    ],
)
def test_without_a_cloud_store_the_ledger_is_a_file(ledger: str, output: str, file: str) -> None:
    settings = load_settings(flags={"ledger": ledger}, environ={})
    assert open_metadata(settings, parse_url(output)) == SqliteStore(Path(file))


def test_a_remote_output_has_its_own_file_in_the_working_directory() -> None:
    outputs = [
        "s3://data/out",
        "s3://data/other",
        "abfss://data@account.dfs.core.windows.net/out",
        "/Volumes/main/x/out",
    ]
    settings = load_settings(flags={}, environ={})
    stores = [open_metadata(settings, parse_url(output)) for output in outputs]
    files = [store.file for store in stores if isinstance(store, SqliteStore)]
    assert len(set(files)) == len(outputs)
    assert {file.parent for file in files} == {Path(".makoto")}
    assert [file.name.split("-")[0] for file in files] == ["data", "data", "data", "volume"]


def test_a_named_file_overrides_configured_stores() -> None:
    environ = {"DYNAMODB_TABLE_NAME": "makoto-metadata", "COSMOS_ENDPOINT": "https://localhost"}
    settings = load_settings(flags={"ledger": "days.sqlite"}, environ=environ)
    assert open_metadata(settings, BUCKET) == SqliteStore(Path("days.sqlite"))


@pytest.mark.parametrize("ledger", ["", "dynamodb"])
def test_the_configured_table_is_used(dynamodb_table: DynamoDbTable, ledger: str) -> None:
    settings = load_settings(flags={"ledger": ledger}, environ=dynamodb_table.environment)
    store = open_metadata(settings, BUCKET)
    assert isinstance(store, DynamoDbStore)
    version = store.put({"PK": "TENANT#acme#BATCH", "SK": "DAILY#2025-08-12"}, expected=None)
    stored = dynamodb_table.client().get_item(
        TableName=dynamodb_table.name, Key={"PK": {"S": "TENANT#acme#BATCH"}, "SK": {"S": "DAILY#2025-08-12"}}
    )
    assert stored["Item"]["version"] == {"N": version}


@pytest.mark.parametrize("ledger", ["", "cosmos"])
def test_the_configured_account_is_used(cosmos_account: CosmosAccount, ledger: str) -> None:
    settings = load_settings(flags={"ledger": ledger}, environ=cosmos_account.environment)
    store = open_metadata(settings, BUCKET)
    assert isinstance(store, CosmosStore)
    pk = f"TENANT#opening{ledger}#BATCH"
    store.put({"PK": pk, "SK": "DAILY#2025-08-12"}, expected=None)
    assert cosmos_account.container().read_item("DAILY=232025-08-12", pk)["SK"] == "DAILY#2025-08-12"


def test_the_endpoint_of_s3_does_not_apply_to_dynamodb(dynamodb_table: DynamoDbTable) -> None:
    environ = {**dynamodb_table.environment, "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1"}
    assert open_metadata(load_settings(flags={}, environ=environ), BUCKET).get("TENANT#acme", "USER#u") is None


def test_two_stores_at_once_are_refused() -> None:
    environ = {"DYNAMODB_TABLE_NAME": "makoto-metadata", "COSMOS_ENDPOINT": "https://localhost"}
    with pytest.raises(UsageError, match="set ledger to dynamodb or cosmos"):
        open_metadata(load_settings(flags={}, environ=environ), BUCKET)


@pytest.mark.parametrize(("ledger", "variable"), [("dynamodb", "DYNAMODB_TABLE_NAME"), ("cosmos", "COSMOS_ENDPOINT")])
def test_a_chosen_store_must_be_configured(ledger: str, variable: str) -> None:
    with pytest.raises(UsageError, match=variable):
        open_metadata(load_settings(flags={"ledger": ledger}, environ={}), BUCKET)


@pytest.mark.parametrize(
    ("variable", "package", "extra"),
    [("DYNAMODB_TABLE_NAME", "boto3", "aws"), ("COSMOS_ENDPOINT", "azure.cosmos", "azure")],
)
def test_a_missing_package_is_named_with_its_extra(
    variable: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("dynamodb", "cosmos"):
        monkeypatch.delitem(sys.modules, f"daily_batch.metadata.{module}", raising=False)
    monkeypatch.setitem(sys.modules, package, None)  # makes the import fail
    with pytest.raises(UsageError, match=rf"{package}.*makoto-daily-batch\[{extra}\]"):
        open_metadata(load_settings(flags={}, environ={variable: "x"}), BUCKET)


def test_a_ledger_in_a_file_loads_no_cloud_library() -> None:
    program = "import sys, daily_batch.metadata.factory; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    assert "daily_batch.metadata.factory" in loaded
    assert not {"boto3", "botocore", "azure"} & set(loaded)


def test_a_process_reuses_its_client(dynamodb_table: DynamoDbTable) -> None:
    def open_store() -> object:
        return open_metadata(load_settings(flags={}, environ=dynamodb_table.environment), BUCKET)

    assert open_store() is open_store()
