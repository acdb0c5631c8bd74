"""List a tenant's input in an object store, with the client that suits the kind of store."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

from arro3.core import DataType, RecordBatch
from obstore.exceptions import InvalidPathError
from obstore.store import LocalStore

from daily_batch.domain.codes import Reason
from daily_batch.domain.run import SourceObject
from daily_batch.pipeline.discover.listing import Batch, Folders, Tree, drop_markers, mark_unreadable
from daily_batch.pipeline.discover.local_tree import LocalTree, list_local_root
from daily_batch.pipeline.discover.s3_listing import S3Listing, open_s3_listing

PAGE_SIZE = 1000  # the most that S3 returns
# What obstore raises for a name that it cannot read: in a response, and as an argument.
UNREADABLE = (InvalidPathError, ValueError)
TRAILING_SLASH = (Reason.INVALID_NAME, "the name ends in /")


class Store(Protocol):
    """The methods of an obstore store that a listing needs."""

    def list(self, prefix: str, *, chunk_size: int, return_arrow: Literal[True]) -> Iterator[RecordBatch]:
        """Yield everything below a prefix, as Arrow batches."""

    def list_with_delimiter(self, prefix: str) -> Any:
        """Return the folders and objects directly below a prefix."""

    def head(self, path: str) -> Any:
        """Return the metadata of one object."""


def open_tree(store: Store, tenant: str) -> Tree:
    """Return a tenant's input as a tree."""
    return LocalTree.of(str(store.prefix), tenant) if isinstance(store, LocalStore) else StoredTree(store)


def list_root(store: Store) -> Sequence[str]:
    """Return the names of the folders directly below the input root."""
    return (
        list_local_root(str(store.prefix))
        if isinstance(store, LocalStore)
        else StoredTree(store).list_folders("").names
    )


@dataclass(frozen=True)
class StoredTree:
    """The objects that obstore lists. If obstore stops at a name that it cannot read, S3's own listing continues."""

    store: Store

    def list_objects(self, folder: str, *, nested: bool) -> Iterator[Batch]:
        """See `Tree.list_objects`."""
        last = None
        try:
            # The slash keeps `acme-2` out of `acme`; obstore matches whole parts anyway.
            for batch in self.store.list(f"{folder}/", chunk_size=PAGE_SIZE, return_arrow=True):
                items = _read_batch(batch)
                last = items[-1].key if items else last
                objects, ignored = drop_markers(items, folder=folder, nested=nested)
                data = [item for item in objects if item.size or not self._is_folder(folder, item.key)]
                data = [mark_unreadable(item, *TRAILING_SLASH) if item.key == folder else item for item in data]
                if data or ignored:
                    yield Batch(data, ignored)
        except UNREADABLE as error:
            # obstore returns no name at all of a response with such a name.
            if self._s3_listing is None:
                raise
            for page in self._s3_listing.list_objects(folder, after=last, cause=error):
                yield drop_markers(page, folder=folder, nested=nested)

    def list_folders(self, folder: str) -> Folders:
        """See `Tree.list_folders`."""
        try:
            prefixes = self.store.list_with_delimiter(folder and f"{folder}/")["common_prefixes"]
        except UNREADABLE as error:
            if self._s3_listing is None:
                raise
            return Folders(self._s3_listing.list_folders(folder, cause=error))
        return Folders([prefix.rpartition("/")[2] for prefix in prefixes])

    @cached_property
    def _s3_listing(self) -> S3Listing | None:
        return open_s3_listing(self.store)

    def _is_folder(self, folder: str, key: str) -> bool:
        """Return whether an empty object is a folder that a console made: object_store lists `x/` as `x`."""
        if key == folder:
            return True
        try:
            return bool(self.store.head(key)["size"])
        except FileNotFoundError:
            return True


def _read_batch(batch: RecordBatch) -> list[SourceObject]:
    keys, sizes, etags = (batch[name].to_pylist() for name in ("path", "size", "e_tag"))
    times = batch["last_modified"].cast(DataType.int64()).to_pylist()
    rows = zip(keys, sizes, etags, times, strict=True)
    return [SourceObject(key, size, etag or "", time) for key, size, etag, time in rows]
