"""The manifest in chunks: the unit of work, one JSON file each.

One file a chunk, because a file boundary is the one split that every reader keeps. Spark makes it one task without a
shuffle if `spark.sql.files.openCostInBytes` equals `spark.sql.files.maxPartitionBytes` and reads the folder, not a list
of files (each path of a list is listed by itself).
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from daily_batch.domain.run import SourceObject


class _Chunk(msgspec.Struct, frozen=True):
    """A chunk's file; an object in it is an array of its fields, the last two for one that cannot be read."""

    chunk: int
    objects: list[SourceObject]


_DECODER = msgspec.json.Decoder(_Chunk)


def cut_chunks(
    batches: Iterable[Sequence[SourceObject]], *, chunk_bytes: int, chunk_objects: int
) -> Iterator[list[SourceObject]]:
    """Group consecutive objects; no chunk exceeds `chunk_objects`, or `chunk_bytes` unless by one single object."""
    chunk: list[SourceObject] = []
    filled = 0
    for batch in batches:
        for item in batch:
            if chunk and (filled + item.size > chunk_bytes or len(chunk) >= chunk_objects):
                yield chunk
                chunk, filled = [], 0
            chunk.append(item)
            filled += item.size
    if chunk:
        yield chunk


def write_chunk(folder: Path, number: int, objects: Sequence[SourceObject]) -> Path:
    """Write one chunk; return its file."""
    path = chunk_path(folder, number)
    rows = [item if any(item[4:]) else item[:4] for item in objects]
    path.write_bytes(msgspec.json.encode({"chunk": number, "objects": rows}))
    return path


def chunk_path(folder: Path, number: int) -> Path:
    """Where a chunk lies; the name must not begin with `_` or `.`, which Spark skips."""
    return folder / f"chunk-{number:08d}.json"


def remove_chunks(folder: Path) -> None:
    """Remove what an earlier attempt left, for a reader of the folder would take it for the manifest."""
    for path in folder.glob("chunk-*.json"):
        path.unlink()


def read_manifest(paths: Iterable[Path]) -> Iterator[tuple[int, list[SourceObject]]]:
    """Yield each chunk's number and objects, one file in memory at a time."""
    return (read_chunk(path.read_bytes()) for path in paths)


def read_chunk(content: bytes) -> tuple[int, list[SourceObject]]:
    """Read the number and objects from what a chunk's file holds."""
    chunk = _DECODER.decode(content)
    return chunk.chunk, chunk.objects
