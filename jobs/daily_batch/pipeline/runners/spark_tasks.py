"""Run the kernel's functions in Spark's workers: each task reads and returns blobs, and has folders of its own."""

import json
import os
import shutil
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from daily_batch.domain.contract import REJECTS
from daily_batch.domain.run import RunSpec, SourceObject
from daily_batch.errors import BatchError, describe_unexpected
from daily_batch.pipeline.discover.chunks import read_chunk
from daily_batch.pipeline.runners.size_workers import ByteBudget
from daily_batch.pipeline.runners.spark_shuffle import (
    Blobs,
    dump_buckets,
    dump_files,
    load_rows,
    make_blob,
    read_column,
)
from daily_batch.pipeline.transform.aggregate import PARTIALS
from daily_batch.pipeline.transform.duckdb_session import connect
from daily_batch.pipeline.transform.map_chunk import map_chunk
from daily_batch.pipeline.transform.merge_parts import merge_part
from daily_batch.pipeline.transform.original_bytes import RecordLocation, group_by_object, recover
from daily_batch.pipeline.transform.reduce_bucket import reduce_bucket, write_rejects
from daily_batch.pipeline.transform.row_buffer import RowSet
from daily_batch.storage.failures import explain_failure
from daily_batch.storage.scratch import executor_folder, make_folder, temporary_folder
from daily_batch.storage.stores import Storage

# A chunk's rows stay in memory if their text is at most a quarter of the task's memory; rows of a huge object spill.
TASK_MEMORY_PER_KEPT_TEXT = 4


class Task(Protocol):
    """A function over the blobs of a partition."""

    def __call__(self, batches: Blobs, *, spec: RunSpec, storage: Storage) -> Blobs:
        """Process the blobs of a partition, and yield blobs."""


def sanitized(task: Task) -> Task:
    """Keep the text of a task's unexpected errors out of Spark's logs: it may quote message content."""

    @wraps(task)
    def wrapped(batches: Blobs, *, spec: RunSpec, storage: Storage) -> Blobs:
        try:
            yield from task(batches, spec=spec, storage=storage)
        except BatchError:
            raise
        except Exception as error:
            failure = explain_failure(error, tenant=spec.tenant, day=spec.date)
            raise failure or RuntimeError(describe_unexpected(error)) from None

    return wrapped


def start_worker(batches: Iterable[pa.RecordBatch]) -> Blobs:
    """Return nothing: a worker that loads this function has imported the kernel."""
    for _ in batches:
        yield from ()


@sanitized
def map_chunks(batches: Blobs, *, spec: RunSpec, storage: Storage) -> Blobs:
    """Map the manifest's chunks (column `content`) to blobs of rows by bucket, rejects and counts."""
    store = storage.open_input()
    with temporary_folder(executor_folder(os.environ)) as scratch:
        for number, content in enumerate(read_column(batches, "content")):
            folder = make_folder(scratch / str(number))
            _, objects = read_chunk(content)
            kept = ByteBudget(spec.limits.memory_bytes // TASK_MEMORY_PER_KEPT_TEXT)
            with connect(scratch=folder, spec=spec) as connection:
                mapped = map_chunk(
                    objects, connection=connection, store=store, spec=spec, scratch=folder, may_keep=kept.reserve
                )
                for bucket, stream in dump_buckets(connection, mapped.tables):
                    yield make_blob("rows", bucket, stream)
            for bucket, path in mapped.spilled:
                yield make_blob("spilled", bucket, path.read_bytes())
            for path in mapped.rejects:
                yield make_blob("rejects", spec.buckets, path.read_bytes())
            counts = {"counts": mapped.counts.to_dict(), "ended": time.time()}
            yield make_blob("counts", spec.buckets, json.dumps(counts).encode())
            shutil.rmtree(folder)


@sanitized
def reduce_buckets(batches: Blobs, *, spec: RunSpec, storage: Storage) -> Blobs:
    """Reduce the blobs of whole buckets to data files, partial aggregates and counts."""
    with temporary_folder(executor_folder(os.environ)) as scratch:
        parts = _BlobFiles(scratch)
        for row in _read_rows(batches):
            if row["kind"] == "counts":
                yield make_blob(**row)
            else:
                parts.add(**row)
        output = storage.open_output()
        for bucket, blobs in parts.files.items():
            folder = make_folder(scratch / f"bucket-{bucket}")
            if rejects := blobs.pop("rejects", []):
                files = write_rejects(rejects, name="map", spec=spec, output=output, scratch=folder)
                yield make_blob(REJECTS.name, bucket, dump_files(files))
            if not blobs:
                continue
            with connect(scratch=folder, spec=spec) as connection:
                load_rows(connection, blobs["rows"], table="loaded_rows")
                rows = RowSet(("loaded_rows",) if blobs["rows"] else (), tuple(blobs["spilled"]))
                reduced = reduce_bucket(bucket, rows, connection=connection, spec=spec, output=output, scratch=folder)
            for table, files in reduced.files.items():
                yield make_blob(table, bucket, dump_files(files))
            yield make_blob("counts", bucket, json.dumps({"counts": reduced.counts.to_dict()}).encode())
            yield make_blob("originals", bucket, reduced.originals.read_bytes())
            for part, partials in enumerate(reduced.partials):
                for name, path in partials.items():
                    yield make_blob(name, part, path.read_bytes())
            shutil.rmtree(folder)


@sanitized
def merge_parts(batches: Blobs, *, spec: RunSpec, storage: Storage) -> Blobs:
    """Merge the partial aggregates of whole parts to data files and sums; other blobs stay as they are."""
    with temporary_folder(executor_folder(os.environ)) as scratch:
        parts = _BlobFiles(scratch)
        for row in _read_rows(batches):
            if row["kind"] in PARTIALS:
                parts.add(**row)
            else:
                yield make_blob(**row)
        for part, partials in parts.files.items():
            folder = make_folder(scratch / f"part-{part}")
            merged = merge_part(partials, name=f"{part:05d}", spec=spec, output=storage.open_output(), scratch=folder)
            for table, files in merged.files.items():
                yield make_blob(table, part, dump_files(files))
            for name, path in merged.sums.items():
                yield make_blob(name, part, path.read_bytes())
            shutil.rmtree(folder)


@sanitized
def recover_chunks(batches: Blobs, *, spec: RunSpec, storage: Storage) -> Blobs:
    """Recover records from objects, given with the records' locations as JSON in column `content`, as rejects."""
    with temporary_folder(executor_folder(os.environ)) as scratch:
        for number, content in enumerate(read_column(batches, "content")):
            pairs = json.loads(content)
            objects = [SourceObject(*item) for item, _ in pairs]
            locations = group_by_object(RecordLocation(*location) for _, group in pairs for location in group)
            folder = make_folder(scratch / str(number))
            parts = recover(objects, locations, store=storage.open_input(), spec=spec, scratch=folder)
            output = storage.open_output()
            files = write_rejects(parts, name="wanted", spec=spec, output=output, scratch=folder)
            yield make_blob(REJECTS.name, spec.buckets, dump_files(files))


def _read_rows(batches: Blobs) -> Iterator[dict[str, Any]]:
    for batch in batches:
        yield from batch.to_pylist()


class _BlobFiles:
    """Blobs in files below a folder, by bucket and kind."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.files: dict[int, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))

    def add(self, kind: str, bucket: int, blob: bytes) -> None:
        """Write a blob to a file of its own."""
        paths = self.files[bucket][kind]
        paths.append(make_folder(self._folder / f"{kind}-{bucket}") / f"{len(paths)}")
        paths[-1].write_bytes(blob)
