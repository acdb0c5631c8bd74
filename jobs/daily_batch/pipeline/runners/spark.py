"""Run large days on Spark: the kernel's map and reduce in mapInArrow, with Spark's shuffle between them.

A row is a blob of megabytes and not a message: passing messages through Spark's rows costs more than parsing them. The
code uses no RDD, no SparkContext and no cache, so that it runs on Spark Connect and Databricks serverless, too.
"""

import json
import os
import re
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daily_batch.domain.contract import MESSAGES, REJECTS, ROOMS_DAILY, TURNS, USERS_DAILY
from daily_batch.domain.keys import analytics_folder
from daily_batch.domain.run import DataFile, RunSpec
from daily_batch.errors import UsageError, cleaned_up, error_context
from daily_batch.pipeline.discover.chunks import chunk_path, cut_chunks, read_manifest
from daily_batch.pipeline.discover.manifest import Manifest
from daily_batch.pipeline.partitioning import count_buckets, count_merges, share_memory
from daily_batch.pipeline.runners.base import Progress, RunResult
from daily_batch.pipeline.runners.spark_errors import explained_spark_errors
from daily_batch.pipeline.runners.spark_progress import is_connect, report_tasks
from daily_batch.pipeline.runners.spark_shuffle import BLOBS, load_files, partition_keys
from daily_batch.pipeline.runners.spark_tasks import (
    map_chunks,
    merge_parts,
    recover_chunks,
    reduce_buckets,
    start_worker,
)
from daily_batch.pipeline.transform.aggregate import PARTIALS
from daily_batch.pipeline.transform.merge_parts import merge_aggregates, summarize_day
from daily_batch.pipeline.transform.original_bytes import RecordLocation, group_by_object, read_locations
from daily_batch.pipeline.transform.outcomes import Counts, add_counts
from daily_batch.storage.scratch import make_folder
from daily_batch.storage.stores import Storage, spark_path

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

# Reading objects again is fast, and each task costs a quarter of a second: a few large tasks of about the same size.
RECOVERY_TASKS = 4
MIN_RECOVERY_BYTES, MAX_RECOVERY_BYTES = 8 * 2**20, 128 * 2**20
MAX_RECOVERY_OBJECTS = 20_000
# Enough for a worker on each core of a small machine.
WARM_UP_TASKS = 4
# The tables whose data files the tasks write.
_TABLES = {table.name for table in (MESSAGES, TURNS, REJECTS, ROOMS_DAILY, USERS_DAILY)}
STAGING_THREADS = 16
OR_LOCAL = "or run the day in this process with --runner local"
LOG_CONFIG = (Path(__file__).parents[2] / "log4j2.properties").as_uri()
CONF = {
    # One blob per batch: a blob may have megabytes, and several copies of a batch are in memory.
    "spark.sql.execution.arrow.maxRecordsPerBatch": "1",
    # One chunk per task: opening a file costs as much as a task may read.
    "spark.sql.files.openCostInBytes": str(128 * 2**20),
    "spark.sql.files.maxPartitionBytes": str(128 * 2**20),
}


@dataclass(frozen=True)
class SparkRunner:
    """Runs on the session's cluster, whose workers need this package and access to input and output."""

    spark: "SparkSession" = field(repr=False)
    name: str = "spark"

    def run(
        self, manifest: Manifest, *, spec: RunSpec, storage: Storage, scratch: Path, progress: Progress
    ) -> RunResult:
        """See `Runner.run`."""
        started = time.time()
        sort_bytes = share_memory(spec.limits.memory_bytes)
        buckets = count_buckets(spec.buckets, manifest.text_bytes, sort_bytes=sort_bytes)
        spec = replace(spec, buckets=buckets, merges=count_merges(manifest.text_bytes))
        storage = storage.anchored()  # Spark Connect's workers have a working directory of their own
        with error_context(spec.tenant, spec.date), self._configured(), report_tasks(self.spark, progress):
            rows = self._map_and_reduce(manifest, spec, storage) if manifest.chunks else []
            output = _TaskOutput(scratch, rows)
            locations = read_locations(output.paths["originals"])
            with ThreadPoolExecutor(1) as pool:  # the driver merges aggregates while the workers read objects again
                merging = pool.submit(output.merge, spec, storage)
                recovered = self._recover(manifest, locations, spec, storage, scratch) if locations else []
                files = merging.result()
        files |= {table.name: output.files(table.name) for table in (MESSAGES, TURNS)}
        files[REJECTS.name] = output.files(REJECTS.name) + _TaskOutput(scratch, recovered).files(REJECTS.name)
        map_ended = max(output.map_ends, default=started)
        seconds = {"intake": max(map_ended - started, 0.0), "clean": time.time() - max(map_ended, started)}
        return RunResult(files=files, counts=output.counts, seconds=seconds)

    def warm_up(self) -> None:
        """Start Python in the workers and import the kernel there, which takes as long as to list a small day."""
        with explained_spark_errors():
            few = self.spark.range(0, WARM_UP_TASKS, 1, WARM_UP_TASKS).selectExpr("binary('') AS content")
            few.mapInArrow(start_worker, BLOBS).collect()

    def _map_and_reduce(self, manifest: Manifest, spec: RunSpec, storage: Storage) -> list[Any]:
        from pyspark.sql.functions import col, lit, when

        with self._staged(manifest.files, spec, storage) as folder, explained_spark_errors():
            chunks = self._read_files(folder)
            mapped = chunks.mapInArrow(partial(map_chunks, spec=spec, storage=storage), BLOBS)
            shuffled = _shuffle(mapped, col("bucket"), spec.buckets + 1)
            reduced = shuffled.mapInArrow(partial(reduce_buckets, spec=spec, storage=storage), BLOBS)
            if spec.merges > 1:  # else the driver merges, while the workers read objects again
                part = when(col("kind").isin(*PARTIALS), col("bucket")).otherwise(lit(spec.merges))
                parts = _shuffle(reduced, part, spec.merges + 1)
                reduced = parts.mapInArrow(partial(merge_parts, spec=spec, storage=storage), BLOBS)
            return list(reduced.collect())

    def _recover(
        self, manifest: Manifest, locations: Sequence[RecordLocation], spec: RunSpec, storage: Storage, scratch: Path
    ) -> list[Any]:
        # In files like the manifest's: rows from the driver would cost a shuffle and a second.
        files = _write_locations(manifest, locations, scratch / "locations")
        with self._staged(files, spec, storage) as folder, explained_spark_errors():
            recovered = self._read_files(folder).mapInArrow(partial(recover_chunks, spec=spec, storage=storage), BLOBS)
            return list(recovered.collect())

    def _read_files(self, folder: str) -> "DataFrame":
        """Return a frame of a folder's files, with one task per file."""
        return self.spark.read.format("binaryFile").load(folder).select("content")

    @contextmanager
    def _configured(self) -> Iterator[None]:
        with explained_spark_errors():
            before = {name: self.spark.conf.get(name) or "" for name in CONF}
            self._set_conf(CONF)
        with cleaned_up(lambda: self._set_conf(before)):
            yield

    def _set_conf(self, conf: Mapping[str, str]) -> None:
        for name, value in conf.items():
            self.spark.conf.set(name, value)

    @contextmanager
    def _staged(self, files: Sequence[Path], spec: RunSpec, storage: Storage) -> Iterator[str]:
        """Yield the URL of a folder in which every worker can read the files.

        They are copied to the output, which all machines share, unless Spark runs in one JVM on this machine.
        """
        with explained_spark_errors():
            local = re.fullmatch(r"local(\[.*\])?", self.spark.conf.get("spark.master", "") or "")
        if local and not is_connect(self.spark):
            yield f"file://{files[0].parent.absolute()}"
            return
        # Unique for each attempt: a service may start a second attempt of the same run, and the first left its files.
        folder = f"{analytics_folder(spec.tenant)}/_staging/{spec.run_id}-{uuid.uuid4().hex[:8]}"
        url, output = storage.output.child(folder), storage.open_output()
        keys: list[str] = []

        def remove() -> None:
            output.delete(keys)
            if url.kind in ("file", "volume"):
                Path(url.path).rmdir()

        def put(path: Path) -> None:
            keys.append(f"{folder}/{path.name}")
            output.put(f"{folder}/{path.name}", path)

        with cleaned_up(remove):
            # A day of 100 million objects has 25,000 chunks: one after another they would take minutes.
            with ThreadPoolExecutor(STAGING_THREADS) as pool:
                list(pool.map(put, files))
            yield spark_path(url)


def _shuffle(frame: "DataFrame", number: "Column", partitions: int) -> "DataFrame":
    """Return the frame with the rows of each number, from 0, in a partition of its own."""
    from pyspark.sql.functions import element_at, lit

    keyed = frame.withColumn("key", element_at(lit(partition_keys(partitions)), number + 1))
    return keyed.repartition(partitions, "key").drop("key")


def current_session() -> SparkRunner:
    """Return a runner on the session that spark-submit, EMR or Databricks has prepared."""
    from pyspark.sql import SparkSession

    return SparkRunner(SparkSession.builder.appName("makoto-daily-batch").getOrCreate())


def warm_session() -> SparkRunner:
    """Return a runner on the current session, with its workers started."""
    runner = current_session()
    runner.warm_up()
    return runner


def start_local() -> SparkRunner:
    """Return a runner on a new local session, which uses all cores of this machine.

    Raises:
        UsageError: Pyspark or Java is not installed.
    """
    try:
        from pyspark.errors import PySparkRuntimeError
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise UsageError(
            "pyspark is not installed", next_step=f"install makoto-daily-batch[spark], {OR_LOCAL}"
        ) from error
    # Only spark-submit reads spark.pyspark.python; here the workers would use any python3 of the PATH.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName("makoto-daily-batch").master("local[*]")
    for name, value in {
        "spark.driver.host": "localhost",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        # Standard error shows our own progress.
        "spark.ui.showConsoleProgress": "false",
        # The JVM only moves blobs; its second compiler took a third of a short job's JVM time.
        "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile={LOG_CONFIG} -XX:TieredStopAtLevel=1",
    }.items():
        builder = builder.config(name, value)
    try:
        return SparkRunner(builder.getOrCreate())
    except PySparkRuntimeError as error:
        if error.getCondition() != "JAVA_GATEWAY_EXITED":
            raise
        step = f"install Java 17 and set JAVA_HOME (tools/find-java says where one is), {OR_LOCAL}"
        raise UsageError("Spark did not start: there is no Java that it can use", next_step=step) from error


class _TaskOutput:
    """The output of the tasks: files, counts, and blobs, which are written to the driver's scratch folder.

    `rows` is emptied: a day's blobs and counts may take hundreds of megabytes.
    """

    def __init__(self, scratch: Path, rows: list[Any]) -> None:
        self._scratch = scratch
        self.paths: dict[str, list[Path]] = defaultdict(list)
        self.map_ends: list[float] = []  # seconds since 1970 at which each map task's chunk ended
        self._files: dict[str, list[DataFile]] = defaultdict(list)
        self.counts = add_counts(self._take(rows))

    def _take(self, rows: list[Any]) -> Iterator[Counts]:
        """Keep or write what each row holds, and yield the counts."""
        rows.sort(key=lambda row: (row["bucket"], row["kind"]), reverse=True)
        while rows:
            row = rows.pop()
            kind, blob = row["kind"], bytes(row["blob"])
            if kind == "counts":
                content = json.loads(blob)
                self.map_ends += [content["ended"]] if "ended" in content else []
                yield Counts.from_dict(content["counts"])
            elif kind in _TABLES:
                self._files[kind] += load_files(blob)
            else:
                paths = self.paths[kind]
                paths.append(make_folder(self._scratch / kind) / f"{len(paths)}.parquet")
                paths[-1].write_bytes(blob)

    def merge(self, spec: RunSpec, storage: Storage) -> dict[str, tuple[DataFile, ...]]:
        """Write the day's aggregate tables, of which the tasks of a large day have written all but the summary."""
        output = storage.open_output()
        if spec.merges == 1:
            return merge_aggregates(self.paths, spec=spec, output=output, scratch=self._scratch)
        written = {table.name: self.files(table.name) for table in (ROOMS_DAILY, USERS_DAILY)}
        return written | summarize_day(self.paths, spec=spec, output=output, scratch=self._scratch)

    def files(self, table: str) -> tuple[DataFile, ...]:
        return tuple(self._files[table])


def _write_locations(manifest: Manifest, locations: Sequence[RecordLocation], folder: Path) -> list[Path]:
    """Write the objects that hold records to recover, with the records' locations, in one file per task."""
    by_key = group_by_object(locations)
    objects = [item for _, chunk in read_manifest(manifest.files) for item in chunk if item.key in by_key]
    task_bytes = sum(item.size for item in objects) // RECOVERY_TASKS + 1
    chunks = cut_chunks(
        [objects],
        chunk_bytes=min(max(task_bytes, MIN_RECOVERY_BYTES), MAX_RECOVERY_BYTES),
        chunk_objects=MAX_RECOVERY_OBJECTS,
    )
    make_folder(folder)
    files = []
    for number, chunk in enumerate(chunks):
        files.append(chunk_path(folder, number))
        files[-1].write_text(json.dumps([[list(item), by_key[item.key]] for item in chunk]))
    return files
