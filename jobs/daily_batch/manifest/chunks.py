"""The manifest in chunks: the unit of work, one Parquet file each.

One file a chunk, because a file boundary is the one split that every reader keeps. Spark makes it one task without a
shuffle if `spark.sql.files.openCostInBytes` equals `spark.sql.files.maxPartitionBytes` and reads the folder, not a list
of files (each path of a list is listed by itself).
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from arro3.core import Array, DataType, Field, RecordBatch, Schema
from arro3.io import read_parquet, write_parquet

from daily_batch.plan import SourceObject

_FIELDS = [
    Field("chunk", DataType.int64(), nullable=False),
    Field("key", DataType.string(), nullable=False),
    Field("size", DataType.int64(), nullable=False),
    Field("etag", DataType.string(), nullable=False),
    Field("modified_us", DataType.int64(), nullable=False),
]


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
    key, size, etag, modified_us = zip(*objects, strict=True)
    columns = ([number] * len(objects), key, size, etag, modified_us)
    arrays = [Array(list(column), field.type) for column, field in zip(columns, _FIELDS, strict=True)]
    # Snappy: PySpark from a wheel has no native zstd. No dictionary: keys and etags do not repeat.
    write_parquet(
        RecordBatch.from_arrays(arrays, schema=Schema(_FIELDS)), path, compression="snappy", dictionary_enabled=False
    )
    return path


def chunk_path(folder: Path, number: int) -> Path:
    """Where a chunk lies; the name must not begin with `_` or `.`, which Spark skips."""
    return folder / f"chunk-{number:08d}.parquet"


def remove_chunks(folder: Path) -> None:
    """Remove what an earlier attempt left, for a reader of the folder would take it for the manifest."""
    for path in folder.glob("chunk-*.parquet"):
        path.unlink()


def read_manifest(paths: Iterable[Path]) -> Iterator[tuple[int, list[SourceObject]]]:
    """Yield each chunk's number and objects, one file in memory at a time."""
    for path in paths:
        table = read_parquet(path, batch_size=2**16).read_all()
        numbers, *columns = (table[field.name].to_pylist() for field in _FIELDS)
        yield numbers[0], [SourceObject(*row) for row in zip(*columns, strict=True)]
