"""What Spark's workers do: the kernel's functions over blobs, with folders of their own."""

import json
import shutil
import time
from collections import defaultdict
from functools import wraps
from pathlib import Path
from typing import Protocol

from daily_batch.domain.contract import MESSAGES, REJECTS
from daily_batch.domain.run import RunSpec, SourceObject
from daily_batch.errors import BatchError, describe_unexpected
from daily_batch.pipeline.discover.chunks import read_chunk
from daily_batch.pipeline.runners.size_workers import KeptText
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
from daily_batch.storage.scratch import make_folder, temporary_folder
from daily_batch.storage.stores import Storage

# A chunk's rows stay in memory while their text is at most this part of the task's; those of a huge object do not.
KEPT_SHARE = 4


class Task(Protocol):
    """What a worker does with its partition."""

    def __call__(self, batches: Blobs, *, plan: RunSpec, storage: Storage) -> Blobs:
        """Take blobs, give blobs."""


def guarded(task: Task) -> Task:
    """Keep the text of an unexpected error on the worker out of Spark's logs: it may quote a message."""

    @wraps(task)
    def wrapped(batches: Blobs, *, plan: RunSpec, storage: Storage) -> Blobs:
        try:
            yield from task(batches, plan=plan, storage=storage)
        except BatchError:
            raise
        except Exception as error:
            known = explain_failure(error, tenant=plan.tenant, day=plan.date)
            raise known or RuntimeError(describe_unexpected(error)) from None

    return wrapped


@guarded
def map_chunks(batches: Blobs, *, plan: RunSpec, storage: Storage) -> Blobs:
    """On a worker: the manifest's chunks (column `content`) to blobs of rows by bucket, rejects and counts."""
    store = storage.open_input()
    with temporary_folder() as scratch:
        for number, content in enumerate(read_column(batches, "content")):
            folder = make_folder(scratch / str(number))
            _, objects = read_chunk(content)
            kept = KeptText(plan.limits.memory_bytes // KEPT_SHARE)
            with connect(scratch=folder, spec=plan) as connection:
                taken = map_chunk(
                    objects, connection=connection, store=store, spec=plan, scratch=folder, may_keep=kept.take
                )
                for bucket, stream in dump_buckets(connection, taken.tables):
                    yield make_blob("rows", bucket, stream)
            for bucket, path in taken.spilled:
                yield make_blob("runs", bucket, path.read_bytes())
            for path in taken.rejects:
                yield make_blob("rejects", plan.buckets, path.read_bytes())
            counts = {"counts": taken.counts.to_dict(), "ended": time.time()}
            yield make_blob("counts", plan.buckets, json.dumps(counts).encode())
            shutil.rmtree(folder)


@guarded
def reduce_buckets(batches: Blobs, *, plan: RunSpec, storage: Storage) -> Blobs:
    """On a worker: the blobs of whole buckets to published-to-be files, partial aggregates and counts."""
    with temporary_folder() as scratch:
        parts: dict[int, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
        for batch in batches:
            for row in batch.to_pylist():
                kind, bucket = row["kind"], row["bucket"]
                if kind == "counts":
                    yield make_blob("counts", bucket, row["blob"])
                    continue
                known = parts[bucket][kind]
                known.append(make_folder(scratch / f"{kind}-{bucket}") / f"{len(known)}")
                known[-1].write_bytes(row["blob"])
        output = storage.open_output()
        for bucket, blobs in parts.items():
            folder = make_folder(scratch / f"bucket-{bucket}")
            if rejects := blobs.pop("rejects", []):
                files = write_rejects(rejects, name="map", spec=plan, output=output, scratch=folder)
                yield make_blob(REJECTS.name, bucket, dump_files(files))
            if not blobs:
                continue
            with connect(scratch=folder, spec=plan) as connection:
                load_rows(connection, blobs["rows"], table="loaded_rows")
                rows = RowSet(("loaded_rows",) if blobs["rows"] else (), tuple(blobs["runs"]))
                cleaned = reduce_bucket(bucket, rows, connection=connection, spec=plan, output=output, scratch=folder)
            yield make_blob(MESSAGES.name, bucket, dump_files(cleaned.files))
            yield make_blob("counts", bucket, json.dumps({"counts": cleaned.counts.to_dict()}).encode())
            for name, path in {**cleaned.partials, "wanted": cleaned.originals}.items():
                yield make_blob(name, bucket, path.read_bytes())
            shutil.rmtree(folder)


@guarded
def recover_chunks(batches: Blobs, *, plan: RunSpec, storage: Storage) -> Blobs:
    """On a worker: objects with the places wanted of them (JSON in column `content`) to a file of rejects."""
    with temporary_folder() as scratch:
        for number, content in enumerate(read_column(batches, "content")):
            pairs = json.loads(content)
            objects = [SourceObject(*item) for item, _ in pairs]
            wanted = group_by_object(RecordLocation(*place) for _, places in pairs for place in places)
            folder = make_folder(scratch / str(number))
            parts = recover(objects, wanted, store=storage.open_input(), spec=plan, scratch=folder)
            output = storage.open_output()
            files = write_rejects(parts, name="wanted", spec=plan, output=output, scratch=folder)
            yield make_blob(REJECTS.name, plan.buckets, dump_files(files))
