"""Build the manifest of a tenant-day: the list of its objects, in chunks, with a fingerprint."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import chain
from pathlib import Path

from daily_batch.domain.codes import Reason
from daily_batch.domain.erased import ErasedIds
from daily_batch.domain.keys import has_compression_suffix
from daily_batch.domain.run import InputLayout, Layout, SourceObject
from daily_batch.metadata import MetadataStore
from daily_batch.pipeline.discover.chunks import cut_chunks, remove_chunks, write_chunk
from daily_batch.pipeline.discover.listing import Batch, list_messages
from daily_batch.pipeline.discover.listing_errors import check_root, explain_failures
from daily_batch.pipeline.discover.metadata_rooms import MetadataRooms
from daily_batch.pipeline.discover.object_tree import Store, open_tree
from daily_batch.pipeline.partitioning import EXPANSION


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The objects of a tenant-day.

    Attributes:
        layout: The layout in which the day is stored.
        files: One JSON file per chunk, in order of chunks: its number, and each object's key, size, etag and
            last-modified time. Which objects share a chunk differs between two listings, so nothing that is published
            may depend on it.
        objects: The number of objects.
        bytes: Their total size as stored.
        fingerprint: The same for the same objects (key, size and etag) and the same erased ids.
        compressed_bytes: The part of `bytes` in objects whose names promise compression.
        ignored: The number of objects beside these that are no data by their names. No other attribute includes them.
        seconds: How long the listing took.
        erased: The ids that the run must leave out, as they were listed.
    """

    layout: Layout
    files: tuple[Path, ...]
    objects: int
    bytes: int
    fingerprint: str
    compressed_bytes: int = 0
    ignored: int = 0
    seconds: float = field(default=0.0, compare=False)
    erased: ErasedIds = field(default_factory=ErasedIds)

    @property
    def text_bytes(self) -> int:
        """An estimate of the decompressed size, by the compression that the objects' names promise."""
        return self.bytes + self.compressed_bytes * (EXPANSION - 1)

    @property
    def chunks(self) -> int:
        """The number of chunks, which are numbered from 0."""
        return len(self.files)


def build_manifest(
    store: Store,
    *,
    tenant: str,
    layout: InputLayout,
    folders: Sequence[str],
    window_us: tuple[int, int],
    export_folder: str,
    staging: Path,
    chunk_bytes: int,
    chunk_objects: int,
    concurrency: int,
    metadata: MetadataStore | None = None,
    day: str = "-",
    progress: Callable[[int], None] | None = None,
) -> Manifest:
    """List a tenant-day and write its manifest to `staging`; one chunk is in memory at a time.

    Args:
        store: An obstore store at the input root; keys are relative to it.
        tenant: A validated tenant id.
        layout: `auto` takes the export folder if it holds an object that is not ignored, else the message objects.
        folders: `yyyy/mm/dd` of the UTC days that `window_us` touches.
        window_us: The sending times to include, with slack: microseconds since 1970 UTC, end exclusive. Objects whose
            names do not say when they were sent are always included.
        export_folder: The tenant-day's export folder, relative to the input root.
        staging: A local folder of this run. Chunks of an earlier attempt are removed.
        chunk_bytes: The maximum size of a chunk of more than one object.
        chunk_objects: The maximum number of objects in a chunk.
        concurrency: The number of concurrent listing calls.
        metadata: The store that names the rooms to list, by their `updated_at`; default: list every room. Not used for
            exports.
        day: The business day, for error messages.
        progress: Called with the number of objects so far, after each chunk.

    Raises:
        TerminalError: Access is denied, the root does not exist, or an object's name cannot be read; or the metadata
            store names no user although the tenant has objects, or an active room whose name no key can hold.
        RetryableError: The listing failed midway. No partial manifest is returned.
    """
    started = time.perf_counter()
    check_root(store, tenant=tenant, day=day)
    staging.mkdir(parents=True, exist_ok=True)
    remove_chunks(staging)

    tree = open_tree(store, tenant)
    folder = export_folder.rstrip("/")

    def list_layout(layout: Layout) -> Iterator[Batch]:
        if layout == "export":
            return explain_failures(tree.list_objects(folder, nested=True), tenant=tenant, day=day)
        rooms = None
        if metadata is not None:
            rooms = MetadataRooms(metadata=metadata, tenant=tenant, start_us=window_us[0])
        messages = list_messages(
            tree, tenant=tenant, folders=folders, window_us=window_us, concurrency=concurrency, rooms=rooms
        )
        return explain_failures(messages, tenant=tenant, day=day)

    chosen: Layout = "messages" if layout == "messages" else "export"
    counter = _IgnoredCounter()
    batches = counter.filter(list_layout(chosen))
    if layout == "auto":
        # An unreadable link on the path to the folder is reported in either layout, and is no export.
        outside, first = _find_first_inside(batches, folder)
        if not first:
            chosen, counter = "messages", _IgnoredCounter()
            batches = counter.filter(list_layout(chosen))
        batches = chain([outside, first], batches)

    files: list[Path] = []
    objects = size = compressed = total = 0
    for chunk in cut_chunks(batches, chunk_bytes=chunk_bytes, chunk_objects=chunk_objects):
        files.append(write_chunk(staging, len(files), chunk))
        total = add_objects(total, chunk)
        objects += len(chunk)
        size += sum(item.size for item in chunk)
        compressed += sum(item.size for item in chunk if has_compression_suffix(item.key))
        if progress:
            progress(objects)
    return Manifest(
        layout=chosen,
        files=tuple(files),
        objects=objects,
        bytes=size,
        compressed_bytes=compressed,
        ignored=counter.ignored,
        fingerprint=fingerprint(total, objects),
        seconds=time.perf_counter() - started,
    )


@dataclass
class _IgnoredCounter:
    """Counts the ignored objects of a listing, and removes repeated links.

    A link above two folders is found on the way to each; no other object is listed twice, so no other key is kept.
    """

    ignored: int = 0
    _links: set[str] = field(default_factory=set)

    def filter(self, batches: Iterable[Batch]) -> Iterator[list[SourceObject]]:
        """Yield the objects of each batch, unless it has none."""
        for objects, ignored in batches:
            self.ignored += ignored
            new = [item for item in objects if not (item.reason == Reason.INVALID_LINK and item.key in self._links)]
            self._links.update(item.key for item in new if item.reason == Reason.INVALID_LINK)
            if new:
                yield new


def _find_first_inside(
    batches: Iterator[list[SourceObject]], folder: str
) -> tuple[list[SourceObject], list[SourceObject]]:
    """Return the objects outside of a folder that are listed before it, and the first batch of objects in it."""
    outside: list[SourceObject] = []
    for objects in batches:
        outside += [item for item in objects if not item.key.startswith(f"{folder}/")]
        if inside := [item for item in objects if item.key.startswith(f"{folder}/")]:
            return outside, inside
    return outside, []


_MODULUS = 2**256


def add_objects(total: int, objects: Iterable[SourceObject]) -> int:
    """Add the digest of each object's key, size and etag to a running total, which starts at 0.

    A sum needs neither an order nor memory. It detects accidental differences (an object arrived late, changed or
    disappeared); it is no defence against an attacker who can choose millions of keys to construct a collision. The
    last-modified time is excluded: a copy of the same bytes is the same object.
    """
    number, digest = int.from_bytes, blake2b
    # NUL separates the fields: a size is digits, an etag cannot contain NUL, and the key comes last.
    digests = [
        number(digest(f"{size}\0{etag}\0{key}".encode(), digest_size=32).digest(), "big")
        for key, size, etag, *_ in objects
    ]
    return (total + sum(digests)) % _MODULUS


def fingerprint(total: int, objects: int) -> str:
    """Return the fingerprint of a total over this many objects."""
    return blake2b(f"{objects}:{total}".encode(), digest_size=32).hexdigest()
