"""What Spark's workers do: the kernel's functions over blobs, with folders of their own."""

import json
import shutil
import time
from collections import defaultdict
from functools import wraps
from pathlib import Path
from typing import Protocol

from daily_batch.contract import MESSAGES, REJECTS
from daily_batch.errors import BatchError, describe_unexpected
from daily_batch.failures import explain_failure
from daily_batch.kernel.clean import clean_bucket, write_rejects
from daily_batch.kernel.intake import take_in
from daily_batch.kernel.recover import Wanted, recover
from daily_batch.kernel.rows import RowSet
from daily_batch.manifest.chunks import read_chunk
from daily_batch.plan import DayPlan, SourceObject
from daily_batch.runners.scratch import make_folder, temporary_folder
from daily_batch.runners.spark_blobs import Blobs, dump_files, make_blob, read_column
from daily_batch.storage import Storage


class Task(Protocol):
    """What a worker does with its partition."""

    def __call__(self, batches: Blobs, *, plan: DayPlan, storage: Storage) -> Blobs:
        """Take blobs, give blobs."""


def guarded(task: Task) -> Task:
    """Keep the text of an unexpected error on the worker out of Spark's logs: it may quote a message."""

    @wraps(task)
    def wrapped(batches: Blobs, *, plan: DayPlan, storage: Storage) -> Blobs:
        try:
            yield from task(batches, plan=plan, storage=storage)
        except BatchError:
            raise
        except Exception as error:
            known = explain_failure(error, tenant=plan.tenant, day=plan.date)
            raise known or RuntimeError(describe_unexpected(error)) from None

    return wrapped


@guarded
def map_chunks(batches: Blobs, *, plan: DayPlan, storage: Storage) -> Blobs:
    """On a worker: the manifest's chunks (column `content`) to blobs of rows by bucket, rejects and counts."""
    store = storage.open_input()
    with temporary_folder() as scratch:
        for number, content in enumerate(read_column(batches, "content")):
            folder = make_folder(scratch / str(number))
            _, objects = read_chunk(content)
            taken = take_in(objects, store=store, plan=plan, scratch=folder)
            for bucket, path in taken.runs:
                yield make_blob("rows", bucket, path.read_bytes())
            for path in taken.rejects:
                yield make_blob("rejects", plan.buckets, path.read_bytes())
            counts = {"counts": taken.counts.to_dict(), "ended": time.time()}
            yield make_blob("counts", plan.buckets, json.dumps(counts).encode())
            shutil.rmtree(folder)


@guarded
def reduce_buckets(batches: Blobs, *, plan: DayPlan, storage: Storage) -> Blobs:
    """On a worker: the blobs of whole buckets to published-to-be files, partial aggregates and counts."""
    with temporary_folder() as scratch:
        parts: dict[tuple[str, int], list[Path]] = defaultdict(list)
        for batch in batches:
            for row in batch.to_pylist():
                if row["kind"] == "counts":
                    yield make_blob("counts", row["bucket"], row["blob"])
                    continue
                known = parts[row["kind"], row["bucket"]]
                known.append(make_folder(scratch / f"{row['kind']}-{row['bucket']}") / f"{len(known)}.parquet")
                known[-1].write_bytes(row["blob"])
        output = storage.open_output()
        for (kind, bucket), paths in parts.items():
            folder = paths[0].parent
            if kind == "rejects":
                files = write_rejects(paths, name="map", plan=plan, output=output, scratch=folder)
                yield make_blob(REJECTS.name, bucket, dump_files(files))
                continue
            rows = RowSet(files=tuple(paths))
            cleaned = clean_bucket(bucket, rows, plan=plan, output=output, scratch=folder)
            yield make_blob(MESSAGES.name, bucket, dump_files(cleaned.files))
            yield make_blob("counts", bucket, json.dumps({"counts": cleaned.counts.to_dict()}).encode())
            for name, path in {**cleaned.partials, "wanted": cleaned.wanted}.items():
                yield make_blob(name, bucket, path.read_bytes())
            shutil.rmtree(folder)


@guarded
def recover_chunks(batches: Blobs, *, plan: DayPlan, storage: Storage) -> Blobs:
    """On a worker: objects with the places wanted of them (JSON in column `content`) to a file of rejects."""
    with temporary_folder() as scratch:
        for number, content in enumerate(read_column(batches, "content")):
            pairs = json.loads(content)
            objects = [SourceObject(*item) for item, _ in pairs]
            wanted = [Wanted(*place) for _, places in pairs for place in places]
            folder = make_folder(scratch / str(number))
            parts = recover(objects, wanted, store=storage.open_input(), plan=plan, scratch=folder)
            output = storage.open_output()
            files = write_rejects(parts, name="wanted", plan=plan, output=output, scratch=folder)
            yield make_blob(REJECTS.name, plan.buckets, dump_files(files))
