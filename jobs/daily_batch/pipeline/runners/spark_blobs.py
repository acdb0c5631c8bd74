"""Rows of the shuffle: a blob of megabytes with its kind and bucket, and what the blobs hold."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import pyarrow as pa  # type: ignore[import-untyped]  # it ships no types

from daily_batch.domain.run import ColumnStatistics, DataFile

BLOBS = "kind string, bucket int, blob binary"
BLOB_SCHEMA = pa.schema([("kind", pa.string()), ("bucket", pa.int32()), ("blob", pa.binary())])
Blobs = Iterator[pa.RecordBatch]


def make_blob(kind: str, bucket: int, blob: bytes) -> pa.RecordBatch:
    """One row of the shuffle."""
    return pa.RecordBatch.from_pylist([{"kind": kind, "bucket": bucket, "blob": blob}], schema=BLOB_SCHEMA)


def read_column(batches: Blobs, name: str) -> Iterator[bytes]:
    """The values of one column, row by row."""
    for batch in batches:
        yield from batch.column(name).to_pylist()


def dump_files(files: Sequence[DataFile]) -> bytes:
    """Written files as a blob."""
    return json.dumps([asdict(file) for file in files]).encode()


def load_files(blob: bytes) -> list[DataFile]:
    """What `dump_files` wrote."""
    return [
        DataFile(**{**file, "statistics": {name: ColumnStatistics(**s) for name, s in file["statistics"].items()}})
        for file in json.loads(blob)
    ]
