"""The metadata store in a Cosmos DB container with partition key /PK.

`id` is SK with every byte except ASCII letters, digits, `_`, `.`, `-` and `~` written as `=` and two hexadecimal
digits: `DAILY#2025-08-12` becomes `DAILY=232025-08-12`. It contains none of the characters that the service refuses
(slash, backslash, `#`, `?`, control characters), and SK can be derived from it. The limit is 1,023 characters; a day's
id has 18.

The account's default consistency, Session, suffices: a client sees its own writes, and the service decides a put by the
item's newest state. After a conflict the client reads that state, because the refusal brings its session token, which
the SDK keeps.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from azure.core import MatchConditions
from azure.core.exceptions import AzureError
from azure.cosmos import CosmosClient
from azure.cosmos.exceptions import (
    CosmosAccessConditionFailedError,
    CosmosResourceExistsError,
    CosmosResourceNotFoundError,
)

from daily_batch.errors import RetryableError, TerminalError
from daily_batch.metadata.store import Item, VersionConflictError, VersionedItem
from daily_batch.storage import azure_errors
from daily_batch.storage.azure_identity import AzureIdentity

DATABASE = "makoto-db"
CONTAINER = "metadata"
# The SDK's defaults for the rest: it repeats a throttled request 9 times within 30 s, after the pauses that the service
# asks for. All writes are conditional, so a write whose response was lost may be repeated, too.
CLIENT: dict[str, Any] = {"connection_timeout": 5, "read_timeout": 10, "retry_write": 3}
# With the service's default of 100, a tenant's 100,000 users would take a thousand requests.
PAGE_ITEMS = 1000
_ONE = "SELECT * FROM c WHERE c.PK = @pk AND c.SK = @sk"
_RANGE = "SELECT * FROM c WHERE c.PK = @pk AND c.SK BETWEEN @first AND @last ORDER BY c.SK"
_SYSTEM = ("id", "_rid", "_self", "_etag", "_attachments", "_ts")


class CosmosStore:
    """See `MetadataStore`. Thread-safe. Without a key, the process's Azure identity is used."""

    def __init__(
        self, endpoint: str, key: str | None = None, *, database: str = DATABASE, container: str = CONTAINER
    ) -> None:
        self._name = f"{database}/{container}"
        credential = key or AzureIdentity()
        with self._explained():
            client = CosmosClient(endpoint, credential, **CLIENT)  # requests the account's regions
        self._container = client.get_database_client(database).get_container_client(container)

    def get(self, pk: str, sk: str) -> VersionedItem | None:
        """See `MetadataStore.get`.

        This is a query, not a point read: the id of another program's item cannot be derived from its keys.
        """
        found = list(self._query(_ONE, pk=pk, sk=sk))
        if not found:
            return None
        row = max(found, key=lambda each: bool(each["id"] == item_id(sk)))
        return VersionedItem(_read(row), f"{row['_etag']} {row['id']}")

    def query(self, pk: str, *, first: str, last: str) -> Iterator[Item]:
        """See `MetadataStore.query`."""
        return map(_read, self._query(_RANGE, pk=pk, first=first, last=last))

    def put(self, item: Item, *, expected: str | None) -> str:
        """See `MetadataStore.put`.

        Of two programs with this scheme of ids only one creates an item. A program with another scheme could create its
        own between the read and the write here; only a unique key on /SK, set when the container is created, would
        prevent that. No other program writes days.
        """
        pk, sk = str(item["PK"]), str(item["SK"])
        if expected is None and self.get(pk, sk):
            raise VersionConflictError
        etag, _, id_ = (expected or f" {item_id(sk)}").rpartition(" ")
        body = {**item, "id": id_}
        with self._explained():
            try:
                if expected is None:
                    stored = self._container.create_item(body)
                else:
                    unchanged = MatchConditions.IfNotModified
                    stored = self._container.replace_item(id_, body, etag=etag, match_condition=unchanged)
            except (CosmosResourceExistsError, CosmosAccessConditionFailedError) as error:
                raise VersionConflictError from error
            except CosmosResourceNotFoundError as error:
                if expected is None:
                    raise  # the container is missing, not the item
                raise VersionConflictError from error
        return f"{stored['_etag']} {id_}"

    def _query(self, query: str, *, pk: str, **values: str) -> Iterator[dict[str, Any]]:
        parameters: list[dict[str, object]] = [
            {"name": f"@{name}", "value": value} for name, value in {"pk": pk, **values}.items()
        ]
        with self._explained():
            yield from self._container.query_items(
                query, parameters=parameters, partition_key=pk, max_item_count=PAGE_ITEMS
            )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (AzureError, ValueError) as error:  # ValueError: malformed endpoint or key
            raise self._explain(error) from error

    def _explain(self, error: Exception) -> RetryableError | TerminalError:
        """Return the error to raise; the SDK's text is not quoted, because it may contain the request."""
        what = f"the Cosmos DB container {self._name} cannot be used ({azure_errors.error_code(error)})"
        if azure_errors.is_denied(error) or isinstance(error, ValueError):
            step = "check COSMOS_ENDPOINT and COSMOS_KEY, or this identity's role on the account"
            return TerminalError(what, next_step=step)
        if azure_errors.is_temporary(error):
            return RetryableError(f"{what}; nothing was published", next_step="run the day again")
        return TerminalError(
            what, next_step=f"check that the account has a container {self._name} with partition key /PK"
        )


def item_id(sk: str) -> str:
    """Return the id of an item written here; `urllib.parse.unquote(id.replace("=", "%"))` returns SK."""
    return quote(sk, safe="").replace("%", "=")


def _read(row: dict[str, Any]) -> Item:
    return {name: value for name, value in row.items() if name not in _SYSTEM}
