"""The manifest of a tenant-day: what is there, in chunks, with a fingerprint."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import Literal

from daily_batch.domain.keys import promises_compression
from daily_batch.domain.run import Layout, SourceObject
from daily_batch.metadata import MetadataStore
from daily_batch.pipeline.discover.chunks import cut_chunks, remove_chunks, write_chunk
from daily_batch.pipeline.discover.listing import Batch, list_messages
from daily_batch.pipeline.discover.listing_errors import check_root, explain_failures
from daily_batch.pipeline.discover.metadata_rooms import MetadataRooms
from daily_batch.pipeline.discover.object_tree import Store, open_tree

# Text is some five times what gzip and zstd leave of it.
EXPANSION = 5


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The objects of a tenant-day.

    `files` holds one JSON file a chunk, of its number and each object's key, size, etag and microseconds of change, and
    is in order of chunks. The same objects give the same `fingerprint`; which of them share
    a chunk differs from one listing to the next, so nothing that is published may depend on it. `ignored` objects lie
    beside them and are no data by their names: they are in no file and no other number, and the fingerprint knows
    nothing of them. `seconds` is how long the listing took.
    """

    layout: Layout
    files: tuple[Path, ...]
    objects: int
    bytes: int
    fingerprint: str
    packed_bytes: int = 0
    ignored: int = 0
    seconds: float = field(default=0.0, compare=False)

    @property
    def text_bytes(self) -> int:
        """About what the objects hold once they are decompressed, by what their names promise."""
        return self.bytes + self.packed_bytes * (EXPANSION - 1)

    @property
    def chunks(self) -> int:
        """How many chunks there are, numbered from 0."""
        return len(self.files)


def build_manifest(
    store: Store,
    *,
    tenant: str,
    layout: Literal["auto", "messages", "export"],
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
    """List a tenant-day and lay it down in chunks in `staging`, one chunk in memory at a time.

    Args:
        store: An obstore store rooted at the input root; keys are relative to it.
        tenant: A checked tenant id.
        layout: `auto` takes the export folder if it holds an object that is not ignored, else the message objects.
        folders: `yyyy/mm/dd` of the UTC days that `window_us` touches.
        window_us: Sending times to keep, microseconds since 1970 UTC, end exclusive; widened by the slack.
            It holds for objects whose names are as specified. Any other object in these folders is kept as well.
        export_folder: The tenant-day's export folder, relative to the input root.
        staging: A local folder of this run. Chunks that it holds from an earlier attempt are removed.
        chunk_bytes: A chunk holds no more bytes than this, unless it is one single object.
        chunk_objects: A chunk holds no more objects than this.
        concurrency: Listing calls at once.
        metadata: Names the rooms to look into, by their `updated_at`; without it every room is looked into.
            It is asked for message objects alone, never for an export.
        day: The business day, for error messages.
        progress: Called with the number of objects so far, after each chunk.

    Raises:
        Terminal: denied, a missing root, or an object's name that cannot be read; metadata without any user of a
            tenant that has objects, or with an active room whose name no key can hold.
        Retryable: the listing failed midway; there is no manifest then, never a shorter one.
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
        found = list_messages(
            tree, tenant=tenant, folders=folders, window_us=window_us, concurrency=concurrency, rooms=rooms
        )
        return explain_failures(found, tenant=tenant, day=day)

    chosen: Layout = "messages" if layout == "messages" else "export"
    tally = _Tally()
    batches = tally.take(list_layout(chosen))
    if layout == "auto":
        # A link on the way to the folder is told of in either layout, and makes no export.
        outside, first = _split(batches, folder)
        if not first:
            chosen, tally = "messages", _Tally()
            batches = tally.take(list_layout(chosen))
        batches = chain([outside, first], batches)

    files: list[Path] = []
    objects = size = packed = total = 0
    for chunk in cut_chunks(batches, chunk_bytes=chunk_bytes, chunk_objects=chunk_objects):
        files.append(write_chunk(staging, len(files), chunk))
        total = add_objects(total, chunk)
        objects += len(chunk)
        size += sum(item.size for item in chunk)
        packed += sum(item.size for item in chunk if promises_compression(item.key))
        if progress:
            progress(objects)
    return Manifest(
        layout=chosen,
        files=tuple(files),
        objects=objects,
        bytes=size,
        packed_bytes=packed,
        ignored=tally.ignored,
        fingerprint=fingerprint(total, objects),
        seconds=time.perf_counter() - started,
    )


@dataclass
class _Tally:
    """Counts ignored objects and passes on the rest; yields a refused link once."""

    ignored: int = 0
    links: set[str] = field(default_factory=set)

    def take(self, batches: Iterable[Batch]) -> Iterator[list[SourceObject]]:
        """The objects of each batch that has some."""
        for objects, ignored in batches:
            self.ignored += ignored
            new = [item for item in objects if not (item.reason and item.key in self.links)]
            self.links.update(item.key for item in new if item.reason)
            if new:
                yield new


def _split(batches: Iterator[list[SourceObject]], folder: str) -> tuple[list[SourceObject], list[SourceObject]]:
    """What stands on the way to a folder, and the first objects in it."""
    outside: list[SourceObject] = []
    for objects in batches:
        outside += [item for item in objects if not item.key.startswith(f"{folder}/")]
        if inside := [item for item in objects if item.key.startswith(f"{folder}/")]:
            return outside, inside
    return outside, []


_MODULUS = 2**256


def add_objects(total: int, objects: Iterable[SourceObject]) -> int:
    """Add the digests of key, size and etag of each object to a running total, which begins at 0.

    A sum, because it needs neither an order nor memory. It tells apart sets that differ by accident (an object that
    came late, changed or went); it is no defence against someone who may choose millions of keys to make sums meet.
    The last-modified time is left out: a copy of the same bytes is the same object.
    """
    number, digest = int.from_bytes, blake2b
    # NUL parts the fields: a size is digits, an etag cannot hold NUL, and the key comes last.
    sums = [
        number(digest(f"{size}\0{etag}\0{key}".encode(), digest_size=32).digest(), "big")
        for key, size, etag, *_ in objects
    ]
    return (total + sum(sums)) % _MODULUS


def fingerprint(total: int, objects: int) -> str:
    """The text form of a total over this many objects."""
    return blake2b(f"{objects}:{total}".encode(), digest_size=32).hexdigest()
