"""The interface of metadata stores: get an item, query a range of a partition, put with optimistic concurrency."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol

from daily_batch.errors import TerminalError

# JSON values; integers below 2^53, because Cosmos DB rounds larger ones; keys have at least one character.
# The item contains PK and SK, as the platform's other programs expect.
Item = Mapping[str, str | int | bool | None]


class VersionedItem(NamedTuple):
    """An item as it was read; `version` identifies this state of it and is opaque to callers."""

    item: Item
    version: str


class VersionConflictError(Exception):
    """The item's version is not the expected one: read it again."""


def invalid_item(place: str, why: str) -> TerminalError:
    """Return the error for an item that no program of the platform writes in this form."""
    return TerminalError(f"the item {place} is invalid: {why}", next_step="correct or delete it (docs/ledger.md)")


class MetadataStore(Protocol):
    """Items by partition key PK and sort key SK.

    Reads see every write that was acknowledged before; in Cosmos DB those of other clients a moment later. `put` is an
    exact compare-and-swap in every store. A store retries throttling and lost connections itself, with backoff and
    within a bounded time.

    Every method raises:
        RetryableError: The store is down or throttles for longer than that.
        TerminalError: Access is denied, or the table, container or file does not exist and cannot be created, or a
            stored item is invalid.
    """

    def get(self, pk: str, sk: str) -> VersionedItem | None:
        """Return an item, or None if it does not exist."""

    def query(self, pk: str, *, first: str, last: str) -> Iterator[Item]:
        """Yield the items of a partition with SK from `first` to `last`, both included, in order of SK."""

    def put(self, item: Item, *, expected: str | None) -> str:
        """Replace an item if its stored version is `expected` (None: if it does not exist); return the new version.

        If the response to a write is lost, its repetition may conflict with the write itself: read the item again;
        it may already contain what was to be written.

        Raises:
            VersionConflictError: Another writer was faster.
        """
