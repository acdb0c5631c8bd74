"""What every metadata store gives: read one item, read a range of a partition, write if nobody else has."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol

from daily_batch.errors import TerminalError

# Flat values as JSON has them, integers below 2^53 (Cosmos DB rounds others) and keys of one character at least.
# PK and SK are in the item, as the platform's other programs find them there.
Item = Mapping[str, str | int | bool | None]


class VersionedItem(NamedTuple):
    """An item as it was read; `version` is the store's own word for this state of it, opaque to callers."""

    item: Item
    version: str


class VersionConflictError(Exception):
    """The item is no longer (or not yet) what the writer expects: read it again."""


def spoiled(place: str, why: str) -> TerminalError:
    """The error for an item that is not what any program of the platform writes."""
    return TerminalError(
        f"the item {place} is not understood: {why}", next_step="correct or delete it (docs/ledger.md)"
    )


class MetadataStore(Protocol):
    """Items by partition key PK and sort key SK; reads see every write that was answered before.

    In Cosmos DB they see every such write of their own client, and others' a moment later; puts are exact everywhere.
    A store retries throttling and lost connections itself, with backoff and within a bounded time.
    Every method raises:
        Retryable: the store is down or throttles for longer than that.
        Terminal: access is denied, or the table, container or file does not exist and cannot be made; or what is stored
            is no item.
    """

    def get(self, pk: str, sk: str) -> VersionedItem | None:
        """One item; None when there is none."""

    def query(self, pk: str, *, first: str, last: str) -> Iterator[Item]:
        """The items of a partition whose SK lies between `first` and `last`, both included, in order of SK."""

    def put(self, item: Item, *, expected: str | None) -> str:
        """Write an item whole if its stored version is still `expected` (None: if there is none); the new version.

        After an answer that was lost the store may refuse the repeated write of its own caller: who is overtaken reads
        again, and may find what it wrote.

        Raises:
            Overtaken: another writer was faster.
        """
