"""Register a tenant's tables in the Glue Data Catalog, so that Athena sees a new tenant without any statement.

Each tenant has its own database, because privileges are granted by database. A definition is created once and changed
only where it differs. Nothing is ever deleted, and a table of other files is left alone.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from daily_batch.catalog.glue_definition import Definition, define_table, is_same_table, merge_definitions
from daily_batch.catalog.target import Target
from daily_batch.domain.contract import Table
from daily_batch.errors import BatchError, RetryableError, TerminalError
from daily_batch.storage import boto_errors

# The day is published already, and a function may have a minute left. If the service hangs, the first call ends it.
CLIENT = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 4})
_BUSY = ("ThrottlingException", "ConcurrentModificationException", "OperationTimeoutException")
_DENIED = "grant this identity the glue actions listed in docs/project/permissions-aws.md"
_STEPS = {
    "ResourceNumberLimitExceededException": "raise the account's quota of databases or tables in the Data Catalog",
    "NoRegionError": "set AWS_DEFAULT_REGION",
}


@cache
def connect_glue(region: str | None) -> Any:
    """Return the process's client. boto3 finds the credentials, and what is not given."""
    return boto3.Session(region_name=region).client("glue", config=CLIENT)


def register_in_glue(target: Target, tables: Iterable[Table], *, region: str | None) -> list[str]:
    """Register the tables in the tenant's database; return what is registered under their names instead of them.

    Raises:
        UsageError: the tables are not in S3.
        BatchError: the service refuses, or does not answer. The tables do not change.
    """
    target.check("athena")
    foreign = []
    for table in tables:
        wanted = define_table(table, target)
        with _explained(f"{target.schema}.{table.name}"):
            client = connect_glue(region)
            found = _find(client, target, table)
            if found is None:
                _create(client, target, wanted)
            elif not is_same_table(found, wanted):
                foreign.append(f"{target.schema}.{table.name}")
            elif changed := merge_definitions(found, wanted):
                _update(client, target, found, changed)
    return foreign


def _find(client: Any, target: Target, table: Table) -> Definition | None:
    try:
        found: Definition = client.get_table(DatabaseName=target.schema, Name=table.name)["Table"]
    except client.exceptions.EntityNotFoundException:  # no such table, or no such database
        return None
    return found


def _create(client: Any, target: Target, wanted: Definition) -> None:
    """Create a table, and first its database if there is none. Another run may do the same at any time."""
    try:
        client.get_database(Name=target.schema)
    except client.exceptions.EntityNotFoundException:
        database = {"Name": target.schema, "Description": f"Tables of tenant {target.tenant}"}
        _unless_exists(client, client.create_database, DatabaseInput=database)
    _unless_exists(client, client.create_table, DatabaseName=target.schema, TableInput=wanted)


def _unless_exists(client: Any, create: Any, **arguments: Any) -> None:
    try:
        create(**arguments)
    except client.exceptions.AlreadyExistsException:
        return


def _update(client: Any, target: Target, found: Definition, changed: Definition) -> None:
    """Change a definition, unless another program has changed it since it was read."""
    version = {"VersionId": found["VersionId"]} if "VersionId" in found else {}
    client.update_table(DatabaseName=target.schema, TableInput=changed, **version)


@contextmanager
def _explained(name: str) -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise _explain(name, error) from error


def _explain(name: str, error: Exception) -> BatchError:
    """Return the error to raise; boto3's text is not quoted, because it may name accounts."""
    code = boto_errors.error_code(error)
    what = f"{name} cannot be registered in Glue ({code})"
    if boto_errors.is_temporary(error, _BUSY):
        return RetryableError(what, next_step="the next run tries again")
    if known := boto_errors.explain(error):
        return type(known)(f"{what}: {known.what}", next_step=known.next_step)
    return TerminalError(what, next_step=_STEPS.get(code, _DENIED))
