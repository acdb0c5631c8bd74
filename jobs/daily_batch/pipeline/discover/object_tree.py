"""A tenant's input in an object store."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

from arro3.core import DataType, RecordBatch
from obstore.exceptions import InvalidPathError
from obstore.store import LocalStore

from daily_batch.domain.contract import Reason
from daily_batch.domain.run import SourceObject
from daily_batch.pipeline.discover.listing import Batch, Folders, Tree, refuse, sort_out
from daily_batch.pipeline.discover.local_tree import LocalTree, list_local_root
from daily_batch.pipeline.discover.s3_listing import RawS3, open_raw

PAGE = 1000  # what S3 answers at most
# What obstore says to a name in an answer, and to one that it is given.
UNREADABLE = (InvalidPathError, ValueError)
SLASH = (Reason.INVALID_NAME, "the name ends in /")


class Store(Protocol):
    """What a listing needs of an obstore store."""

    def list(self, prefix: str, *, chunk_size: int, return_arrow: Literal[True]) -> Iterator[RecordBatch]:
        """Everything below a prefix, as a stream of Arrow batches."""

    def list_with_delimiter(self, prefix: str) -> Any:
        """The folders and objects right below a prefix."""

    def head(self, path: str) -> Any:
        """The metadata of one object."""


def open_tree(store: Store, tenant: str) -> Tree:
    """A tenant's input, as its kind of store is listed."""
    return LocalTree.of(str(store.prefix), tenant) if isinstance(store, LocalStore) else StoredTree(store)


def list_root(store: Store) -> Sequence[str]:
    """The names of the folders right below the input root."""
    return (
        list_local_root(str(store.prefix))
        if isinstance(store, LocalStore)
        else StoredTree(store).list_folders("").names
    )


@dataclass(frozen=True)
class StoredTree:
    """Objects as obstore lists them; where it stops at a name that it cannot read, as S3 itself does."""

    store: Store

    def list_objects(self, folder: str, *, nested: bool) -> Iterator[Batch]:
        """See `Tree.list_objects`."""
        last = None
        try:
            # The slash keeps `acme` out of `acme-2`; obstore means that anyway.
            for found in self.store.list(f"{folder}/", chunk_size=PAGE, return_arrow=True):
                items = _read(found)
                last = items[-1].key if items else last
                objects, ignored = sort_out(items, folder=folder, nested=nested)
                real = [item for item in objects if item.size or not self._is_folder(folder, item.key)]
                real = [refuse(item, *SLASH) if item.key == folder else item for item in real]
                if real or ignored:
                    yield Batch(real, ignored)
        except UNREADABLE as error:
            # An answer that holds one such name gives none of its names.
            if self._raw is None:
                raise
            for page in self._raw.list_objects(folder, after=last, cause=error):
                yield sort_out(page, folder=folder, nested=nested)

    def list_folders(self, folder: str) -> Folders:
        """See `Tree.list_folders`."""
        try:
            prefixes = self.store.list_with_delimiter(folder and f"{folder}/")["common_prefixes"]
        except UNREADABLE as error:
            if self._raw is None:
                raise
            return Folders(self._raw.list_folders(folder, cause=error))
        return Folders([prefix.rpartition("/")[2] for prefix in prefixes])

    @cached_property
    def _raw(self) -> RawS3 | None:
        return open_raw(self.store)

    def _is_folder(self, folder: str, key: str) -> bool:
        """Whether an empty object is a console's folder: object_store lists `x/` as `x`, where nothing else may be."""
        if key == folder:
            return True
        try:
            return bool(self.store.head(key)["size"])
        except FileNotFoundError:
            return True


def _read(found: RecordBatch) -> list[SourceObject]:
    keys, sizes, etags = (found[name].to_pylist() for name in ("path", "size", "e_tag"))
    times = found["last_modified"].cast(DataType.int64()).to_pylist()
    rows = zip(keys, sizes, etags, times, strict=True)
    return [SourceObject(key, size, etag or "", time) for key, size, etag, time in rows]
