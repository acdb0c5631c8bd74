"""Read and write the manifest's chunks, the unit of work: one JSON file per chunk.

A file boundary is the only split that every reader preserves. Spark turns each file into one task, without a shuffle,
if `spark.sql.files.openCostInBytes` equals `spark.sql.files.maxPartitionBytes` and the path is the folder (Spark lists
each path of a list of files separately).
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from daily_batch.domain.run import SourceObject


class _Chunk(msgspec.Struct, frozen=True):
    """The content of a chunk file. Each object is an array of its fields; readable objects omit the last two."""

    chunk: int
    objects: list[SourceObject]


_DECODER = msgspec.json.Decoder(_Chunk)


def cut_chunks(
    batches: Iterable[Sequence[SourceObject]], *, chunk_bytes: int, chunk_objects: int
) -> Iterator[list[SourceObject]]:
    """Group consecutive objects into chunks.

    Args:
        batches: The objects, in the order in which they are grouped.
        chunk_bytes: The maximum size of a chunk; a single larger object gets a chunk of its own.
        chunk_objects: The maximum number of objects in a chunk.
    """
    chunk: list[SourceObject] = []
    chunk_size = 0
    for batch in batches:
        for item in batch:
            if chunk and (chunk_size + item.size > chunk_bytes or len(chunk) >= chunk_objects):
                yield chunk
                chunk, chunk_size = [], 0
            chunk.append(item)
            chunk_size += item.size
    if chunk:
        yield chunk


def write_chunk(folder: Path, number: int, objects: Sequence[SourceObject]) -> Path:
    """Write one chunk and return its path."""
    path = chunk_path(folder, number)
    rows = [item if any(item[4:]) else item[:4] for item in objects]
    path.write_bytes(msgspec.json.encode({"chunk": number, "objects": rows}))
    return path


def chunk_path(folder: Path, number: int) -> Path:
    """Return the path of a chunk file. The name must not start with `_` or `.`: Spark skips such files."""
    return folder / f"chunk-{number:08d}.json"


def remove_chunks(folder: Path) -> None:
    """Remove the chunks of an earlier attempt: a reader of the folder would take them for part of the manifest."""
    for path in folder.glob("chunk-*.json"):
        path.unlink()


def read_manifest(paths: Iterable[Path]) -> Iterator[tuple[int, list[SourceObject]]]:
    """Yield each chunk's number and objects; one file is in memory at a time."""
    return (read_chunk(path.read_bytes()) for path in paths)


def read_chunk(content: bytes) -> tuple[int, list[SourceObject]]:
    """Return the number and the objects of a chunk file's content."""
    chunk = _DECODER.decode(content)
    return chunk.chunk, chunk.objects
