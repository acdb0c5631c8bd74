"""Open the metadata store of the settings: DynamoDB, Cosmos DB, or an SQLite file near the tables."""

from functools import cache
from hashlib import sha256
from pathlib import Path

from daily_batch.domain.url import StorageUrl
from daily_batch.errors import UsageError
from daily_batch.metadata.sqlite import SqliteStore
from daily_batch.metadata.store import MetadataStore
from daily_batch.settings import Settings


def open_metadata(settings: Settings, output: StorageUrl) -> MetadataStore:
    """Open the store that the setting `ledger` names; if it is empty, the one that is configured, else a file.

    Raises:
        UsageError: A setting of the store is missing, two stores are configured, or a package is not installed.
        RetryableError: Cosmos DB does not answer.
        TerminalError: Cosmos DB refuses this identity.
    """
    chosen = settings.ledger or _configured(settings)
    if chosen == "dynamodb":
        return _open_dynamodb(settings)
    if chosen == "cosmos":
        return _open_cosmos(settings)
    if not chosen and output.kind == "file":
        return SqliteStore(Path(_local_file(output)), folder_name="the output folder")
    return SqliteStore(Path(chosen or _local_file(output)))


def _configured(settings: Settings) -> str:
    if settings.dynamodb_table and settings.cosmos_endpoint:
        raise UsageError(
            "both a DynamoDB table and a Cosmos DB account are set", next_step="set ledger to dynamodb or cosmos"
        )
    if settings.dynamodb_table:
        return "dynamodb"
    return "cosmos" if settings.cosmos_endpoint else ""


def _local_file(output: StorageUrl) -> str:
    if output.kind == "file":  # SQLite writes in the middle of a file, which /Volumes does not support
        return str(Path(output.path) / "makoto-ledger.sqlite")
    # One file for each output: the same tenant-day in another bucket is another unit of work.
    return f".makoto/{output.bucket or 'volume'}-{sha256(str(output).encode()).hexdigest()[:8]}.sqlite"


def _open_dynamodb(settings: Settings) -> MetadataStore:
    if not settings.dynamodb_table:
        raise UsageError("the ledger is DynamoDB and no table is set", next_step="set DYNAMODB_TABLE_NAME")
    return connect_dynamodb(settings.dynamodb_table, settings.storage_options.get("aws_region"))


def _open_cosmos(settings: Settings) -> MetadataStore:
    if not settings.cosmos_endpoint:
        raise UsageError("the ledger is Cosmos DB and no account is set", next_step="set COSMOS_ENDPOINT")
    return connect_cosmos(settings.cosmos_endpoint, settings.cosmos_key)


# A function's process handles many messages, and creating a client takes longer than a small day.
@cache
def connect_dynamodb(table: str, region: str | None) -> MetadataStore:
    """Return the process's store of a table."""
    try:
        from daily_batch.metadata.dynamodb import DynamoDbStore
    except ImportError as error:
        raise _not_installed("aws", error) from error
    # S3's endpoint does not apply to DynamoDB: boto3 reads AWS_ENDPOINT_URL_DYNAMODB itself.
    return DynamoDbStore(table, region=region)


@cache
def connect_cosmos(endpoint: str, key: str) -> MetadataStore:
    """Return the process's store of an account."""
    try:
        from daily_batch.metadata.cosmos import CosmosStore
    except ImportError as error:
        raise _not_installed("azure", error) from error
    return CosmosStore(endpoint, key or None)


def _not_installed(extra: str, error: ImportError) -> UsageError:
    return UsageError(
        f"the ledger needs the package {error.name}, which is not installed",
        next_step=f"pip install 'makoto-daily-batch[{extra}]'",
    )
