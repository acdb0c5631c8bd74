"""The runner of large days: the kernel's map and reduce under mapInArrow, with Spark's shuffle between them.

A row is a blob of megabytes, not a message: taking messages through Spark's rows costs more than parsing them. No RDD,
no SparkContext, no cache: Spark Connect and Databricks serverless take the same code.
"""

import json
import os
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa  # type: ignore[import-untyped]  # it ships no types

from daily_batch.contract import MESSAGES, REJECTS
from daily_batch.errors import BatchError, Changed, Misuse, Retryable, Terminal, describe_unexpected
from daily_batch.failures import explain_failure
from daily_batch.kernel.clean import PARTIALS, clean_bucket, combine, write_rejects
from daily_batch.kernel.counts import Counts, add_counts
from daily_batch.kernel.intake import take_in
from daily_batch.kernel.recover import Wanted, read_wanted, recover
from daily_batch.manifest import Manifest, read_manifest
from daily_batch.paths import analytics_folder
from daily_batch.plan import ColumnStatistics, DataFile, DayPlan, SourceObject
from daily_batch.runners.outcome import Outcome, Progress
from daily_batch.runners.spark_partitions import partition_keys
from daily_batch.runners.spark_progress import watch_tasks
from daily_batch.storage import Storage, spark_path

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

BLOBS = "kind string, bucket int, blob binary"
BLOB_SCHEMA = pa.schema([("kind", pa.string()), ("bucket", pa.int32()), ("blob", pa.binary())])
CONF = {
    # One blob a batch: each may have megabytes, and a batch is in memory several times.
    "spark.sql.execution.arrow.maxRecordsPerBatch": "1",
    # One chunk a task: a file that costs as much to open as a task may read.
    "spark.sql.files.openCostInBytes": str(128 * 2**20),
    "spark.sql.files.maxPartitionBytes": str(128 * 2**20),
}

Blobs = Iterator[pa.RecordBatch]


class Task(Protocol):
    """What a worker does with its partition."""

    def __call__(self, batches: Blobs, *, plan: DayPlan, storage: Storage) -> Blobs:
        """Take blobs, give blobs."""


@dataclass(frozen=True)
class SparkRunner:
    """Runs on whatever cluster the session is of; workers need this package, and reach input and output themselves."""

    spark: "SparkSession" = field(repr=False)
    name: str = "spark"

    def run(self, manifest: Manifest, *, plan: DayPlan, storage: Storage, scratch: Path, progress: Progress) -> Outcome:
        """See `outcome.Runner`."""
        started = time.time()
        storage = storage.anchored()  # Spark Connect's workers begin in a folder of their own
        with self._configured(), watch_tasks(self.spark, progress):
            rows = self._map_and_reduce(manifest, plan, storage) if manifest.chunks else []
            answers = _Answers(scratch, rows)
            wanted = read_wanted(answers.paths["wanted"])
            evidence = self._recover(manifest, wanted, plan, storage) if wanted else []
        output = storage.open_output()
        partials = [
            dict(zip(PARTIALS, paths, strict=True)) for paths in zip(*(answers.paths[n] for n in PARTIALS), strict=True)
        ]
        files = combine(partials, plan=plan, output=output, scratch=scratch)
        files[MESSAGES.name] = answers.files(MESSAGES.name)
        files[REJECTS.name] = answers.files(REJECTS.name) + _Answers(scratch, evidence).files(REJECTS.name)
        ended = max((moment for moment in answers.moments), default=started)
        seconds = {"intake": max(ended - started, 0.0), "clean": time.time() - max(ended, started)}
        return Outcome(files=files, counts=answers.counts, seconds=seconds)

    def _map_and_reduce(self, manifest: Manifest, plan: DayPlan, storage: Storage) -> list[Any]:
        from pyspark.sql.functions import col, element_at, lit

        with self._staged(manifest, plan, storage) as folder:
            chunks = self.spark.read.format("binaryFile").load(folder).select("content")
            keys = partition_keys(plan.buckets + 1)
            mapped = chunks.mapInArrow(partial(map_chunks, plan=plan, storage=storage), BLOBS)
            numbered = mapped.withColumn("key", element_at(lit(keys), col("bucket") + 1))
            shuffled = numbered.repartition(len(keys), "key").drop("key")
            return _collect(shuffled.mapInArrow(partial(reduce_buckets, plan=plan, storage=storage), BLOBS), plan)

    def _recover(self, manifest: Manifest, wanted: Sequence[Wanted], plan: DayPlan, storage: Storage) -> list[Any]:
        by_key = defaultdict(list)
        for place in wanted:
            by_key[place.source_key].append(place)
        parts = [
            (json.dumps([[list(item), by_key[item.key]] for item in chunk if item.key in by_key]).encode(),)
            for _, chunk in read_manifest(manifest.files)
            if any(item.key in by_key for item in chunk)
        ]
        frame = self.spark.createDataFrame(parts, "content binary").repartition(len(parts))
        return _collect(frame.mapInArrow(partial(recover_chunks, plan=plan, storage=storage), BLOBS), plan)

    @contextmanager
    def _configured(self) -> Iterator[None]:
        before = {name: self.spark.conf.get(name) or "" for name in CONF}
        for name, value in CONF.items():
            self.spark.conf.set(name, value)
        try:
            yield
        finally:
            for name, value in before.items():
                self.spark.conf.set(name, value)

    @contextmanager
    def _staged(self, manifest: Manifest, plan: DayPlan, storage: Storage) -> Iterator[str]:
        """The manifest where every worker can read it: a local master reads it where it is."""
        if (self.spark.conf.get("spark.master", "") or "").startswith("local") or storage.output.kind == "file":
            yield f"file://{manifest.files[0].parent.absolute()}"
            return
        folder = f"{analytics_folder(plan.tenant)}/_staging/{plan.run_id}"
        output = storage.open_output()
        keys = [f"{folder}/{path.name}" for path in manifest.files]
        for key, path in zip(keys, manifest.files, strict=True):
            output.put(key, path)
        try:
            yield spark_path(storage.output.child(folder))
        finally:
            output.delete(keys)


def current_session() -> SparkRunner:
    """A runner on the session that spark-submit, EMR or Databricks has prepared."""
    from pyspark.sql import SparkSession

    return SparkRunner(SparkSession.builder.appName("makoto-daily-batch").getOrCreate())


def start_local() -> SparkRunner:
    """A runner on a session of this process, on all of this machine's cores.

    Raises:
        Misuse: pyspark is not installed here.
    """
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise Misuse("pyspark is not installed", next_step="install makoto-daily-batch[spark]") from error
    # Only spark-submit reads spark.pyspark.python: here the workers would be whatever python3 the PATH has.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName("makoto-daily-batch").master("local[*]")
    for name, value in {
        "spark.driver.host": "localhost",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
    }.items():
        builder = builder.config(name, value)
    return SparkRunner(builder.getOrCreate())


def _guarded(task: Task) -> Task:
    """Keep the text of an unexpected error on the worker out of Spark's logs: it may quote a message."""

    @wraps(task)
    def guarded(batches: Blobs, *, plan: DayPlan, storage: Storage) -> Blobs:
        try:
            yield from task(batches, plan=plan, storage=storage)
        except BatchError:
            raise
        except Exception as error:
            known = explain_failure(error, tenant=plan.tenant, day=plan.date)
            raise known or RuntimeError(describe_unexpected(error)) from None

    return guarded


@_guarded
def map_chunks(batches: Blobs, *, plan: DayPlan, storage: Storage) -> Blobs:
    """On a worker: the manifest's chunks (column `content`) to blobs of rows by bucket, rejects and counts."""
    store = storage.open_input()
    with _scratch() as scratch:
        for number, content in enumerate(_column(batches, "content")):
            folder = _make(scratch / str(number))
            chunk = folder / "chunk.parquet"
            chunk.write_bytes(content)
            for _, objects in read_manifest([chunk]):
                taken = take_in(objects, store=store, plan=plan, scratch=folder)
                for bucket, path in taken.runs:
                    yield _blob("rows", bucket, path.read_bytes())
                for path in taken.rejects:
                    yield _blob("rejects", plan.buckets, path.read_bytes())
                counts = {"counts": taken.counts.to_dict(), "ended": time.time()}
                yield _blob("counts", plan.buckets, json.dumps(counts).encode())
            shutil.rmtree(folder)


@_guarded
def reduce_buckets(batches: Blobs, *, plan: DayPlan, storage: Storage) -> Blobs:
    """On a worker: the blobs of whole buckets to published-to-be files, partial aggregates and counts."""
    with _scratch() as scratch:
        parts: dict[tuple[str, int], list[Path]] = defaultdict(list)
        for batch in batches:
            for row in batch.to_pylist():
                if row["kind"] == "counts":
                    yield _blob("counts", row["bucket"], row["blob"])
                    continue
                known = parts[row["kind"], row["bucket"]]
                known.append(_make(scratch / f"{row['kind']}-{row['bucket']}") / f"{len(known)}.parquet")
                known[-1].write_bytes(row["blob"])
        output = storage.open_output()
        for (kind, bucket), paths in parts.items():
            folder = paths[0].parent
            if kind == "rejects":
                files = write_rejects(paths, name="map", plan=plan, output=output, scratch=folder)
                yield _blob(REJECTS.name, bucket, _dump_files(files))
                continue
            cleaned = clean_bucket(bucket, paths, plan=plan, output=output, scratch=folder)
            yield _blob(MESSAGES.name, bucket, _dump_files(cleaned.files))
            yield _blob("counts", bucket, json.dumps({"counts": cleaned.counts.to_dict()}).encode())
            for name, path in {**cleaned.partials, "wanted": cleaned.wanted}.items():
                yield _blob(name, bucket, path.read_bytes())
            shutil.rmtree(folder)


@_guarded
def recover_chunks(batches: Blobs, *, plan: DayPlan, storage: Storage) -> Blobs:
    """On a worker: objects with the places wanted of them (JSON in column `content`) to a file of rejects."""
    with _scratch() as scratch:
        for number, content in enumerate(_column(batches, "content")):
            pairs = json.loads(content)
            objects = [SourceObject(*item) for item, _ in pairs]
            wanted = [Wanted(*place) for _, places in pairs for place in places]
            folder = _make(scratch / str(number))
            parts = recover(objects, wanted, store=storage.open_input(), plan=plan, scratch=folder)
            output = storage.open_output()
            files = write_rejects(parts, name="wanted", plan=plan, output=output, scratch=folder)
            yield _blob(REJECTS.name, plan.buckets, _dump_files(files))


class _Answers:
    """What the workers answered: files, counts, and blobs laid down in the driver's scratch."""

    def __init__(self, scratch: Path, rows: Iterable[Any]) -> None:
        self.paths: dict[str, list[Path]] = defaultdict(list)
        self.moments: list[float] = []
        self._files: dict[str, list[DataFile]] = defaultdict(list)
        found: list[Counts] = []
        for row in sorted(rows, key=lambda row: (row["bucket"], row["kind"])):
            kind, blob = row["kind"], bytes(row["blob"])
            if kind == "counts":
                answer = json.loads(blob)
                found.append(Counts.from_dict(answer["counts"]))
                self.moments += [answer["ended"]] if "ended" in answer else []
            elif kind in (MESSAGES.name, REJECTS.name):
                self._files[kind] += _load_files(blob)
            else:
                path = _make(scratch / kind) / f"{row['bucket']}.parquet"
                path.write_bytes(blob)
                self.paths[kind].append(path)
        self.counts = add_counts(found)

    def files(self, table: str) -> tuple[DataFile, ...]:
        return tuple(self._files[table])


def _collect(frame: "DataFrame", plan: DayPlan) -> list[Any]:
    try:
        return frame.collect()
    except Exception as error:
        raise _explain(error, plan) from error


def _explain(error: Exception, plan: DayPlan) -> BatchError:
    """A worker's error comes as text; its class says whether trying again can help."""
    text = str(error)
    for kind in (Changed, Retryable, Terminal):
        marker = f"{kind.__name__}: "
        if marker in text:
            told = text.split(marker, 1)[1].splitlines()[0].partition(": ")[2] or "a task failed"
            what, _, step = told.partition(". Next step: ")
            step = step.removesuffix(".") or "run the day again"
            return kind(what, next_step=step, tenant=plan.tenant, day=plan.date)
    # What _guarded says of an unexpected error is safe to repeat.
    _, found, place = text.partition("RuntimeError: ")
    cause = place.splitlines()[0] if found else type(error).__name__
    return Retryable(
        f"the Spark job failed ({cause})",
        next_step="read the job's log with --debug, then run the day again",
        tenant=plan.tenant,
        day=plan.date,
    )


def _blob(kind: str, bucket: int, blob: bytes) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([{"kind": kind, "bucket": bucket, "blob": blob}], schema=BLOB_SCHEMA)


def _column(batches: Blobs, name: str) -> Iterator[bytes]:
    for batch in batches:
        yield from batch.column(name).to_pylist()


def _dump_files(files: Sequence[DataFile]) -> bytes:
    return json.dumps([asdict(file) for file in files]).encode()


def _load_files(blob: bytes) -> list[DataFile]:
    return [
        DataFile(**{**file, "statistics": {name: ColumnStatistics(**s) for name, s in file["statistics"].items()}})
        for file in json.loads(blob)
    ]


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="makoto-") as folder:
        yield Path(folder)


def _make(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
