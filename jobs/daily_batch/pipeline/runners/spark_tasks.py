"""Run the kernel's functions in Spark's workers: each task reads and returns blobs, and has folders of its own."""

import json
import os
import shutil
import time
from collections import defaultdict
from collections.abc import Iterable
from functools import wraps
from pathlib import Path
from typing import Protocol

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
from daily_batch.pipeline.transform.duckdb_session import connect
from daily_batch.pipeline.transform.map_chunk import map_chunk
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
        parts: dict[int, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
        for batch in batches:
            for row in batch.to_pylist():
                kind, bucket = row["kind"], row["bucket"]
                if kind == "counts":
                    yield make_blob("counts", bucket, row["blob"])
                    continue
                paths = parts[bucket][kind]
                paths.append(make_folder(scratch / f"{kind}-{bucket}") / f"{len(paths)}")
                paths[-1].write_bytes(row["blob"])
        output = storage.open_output()
        for bucket, blobs in parts.items():
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
            for name, path in {**reduced.partials, "originals": reduced.originals}.items():
                yield make_blob(name, bucket, path.read_bytes())
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
