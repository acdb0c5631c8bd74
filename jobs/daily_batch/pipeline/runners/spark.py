"""The runner of large days: the kernel's map and reduce under mapInArrow, with Spark's shuffle between them.

A row is a blob of megabytes, not a message: taking messages through Spark's rows costs more than parsing them. No RDD,
no SparkContext, no cache: Spark Connect and Databricks serverless take the same code.
"""

import json
import os
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daily_batch.domain.contract import MESSAGES, REJECTS
from daily_batch.domain.keys import analytics_folder
from daily_batch.domain.run import DataFile, RunSpec
from daily_batch.errors import BatchError, InputChangedError, RetryableError, TerminalError, UsageError
from daily_batch.pipeline.discover.chunks import chunk_path, cut_chunks, read_manifest
from daily_batch.pipeline.discover.manifest import Manifest
from daily_batch.pipeline.runners.base import Progress, RunResult
from daily_batch.pipeline.runners.size_workers import count_buckets
from daily_batch.pipeline.runners.spark_progress import watch_tasks
from daily_batch.pipeline.runners.spark_shuffle import BLOBS, load_files, partition_keys
from daily_batch.pipeline.runners.spark_tasks import map_chunks, recover_chunks, reduce_buckets
from daily_batch.pipeline.transform.original_bytes import RecordLocation, group_by_object, read_wanted
from daily_batch.pipeline.transform.outcomes import Counts, add_counts
from daily_batch.pipeline.transform.reduce_bucket import PARTIALS, merge_aggregates
from daily_batch.storage.scratch import make_folder
from daily_batch.storage.stores import Storage, spark_path

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# Reading objects again is quick, and a task of its own takes a quarter of a second: few large ones, of about one size.
RECOVERED_PARTS = 4
LEAST_RECOVERED_BYTES, RECOVERED_BYTES = 8 * 2**20, 128 * 2**20
RECOVERED_OBJECTS = 20_000
ELSE = "or keep the day in this process with --runner local"
QUIET = (Path(__file__).parents[2] / "log4j2.properties").as_uri()
CONF = {
    # One blob a batch: each may have megabytes, and a batch is in memory several times.
    "spark.sql.execution.arrow.maxRecordsPerBatch": "1",
    # One chunk a task: a file that costs as much to open as a task may read.
    "spark.sql.files.openCostInBytes": str(128 * 2**20),
    "spark.sql.files.maxPartitionBytes": str(128 * 2**20),
}


@dataclass(frozen=True)
class SparkRunner:
    """Runs on whatever cluster the session is of; workers need this package, and reach input and output themselves."""

    spark: "SparkSession" = field(repr=False)
    name: str = "spark"

    def run(
        self, manifest: Manifest, *, plan: RunSpec, storage: Storage, scratch: Path, progress: Progress
    ) -> RunResult:
        """See `outcome.Runner`."""
        started = time.time()
        # Half of what a task could sort, so that a day has more tasks than a small cluster has cores.
        buckets = count_buckets(plan, manifest.text_bytes, sorting_bytes=plan.limits.memory_bytes // 2)
        plan = replace(plan, buckets=buckets)
        storage = storage.anchored()  # Spark Connect's workers begin in a folder of their own
        with self._configured(), watch_tasks(self.spark, progress):
            rows = self._map_and_reduce(manifest, plan, storage) if manifest.chunks else []
            answers = _Answers(scratch, rows)
            wanted = read_wanted(answers.paths["wanted"])
            with ThreadPoolExecutor(1) as pool:  # the driver adds up while the workers read again
                combined = pool.submit(answers.combine, plan, storage)
                evidence = self._recover(manifest, wanted, plan, storage, scratch) if wanted else []
                files = combined.result()
        files[MESSAGES.name] = answers.files(MESSAGES.name)
        files[REJECTS.name] = answers.files(REJECTS.name) + _Answers(scratch, evidence).files(REJECTS.name)
        ended = max((moment for moment in answers.moments), default=started)
        seconds = {"intake": max(ended - started, 0.0), "clean": time.time() - max(ended, started)}
        return RunResult(files=files, counts=answers.counts, seconds=seconds)

    def _map_and_reduce(self, manifest: Manifest, plan: RunSpec, storage: Storage) -> list[Any]:
        from pyspark.sql.functions import col, element_at, lit

        with self._staged(manifest.files, plan, storage) as folder:
            chunks = self._read_files(folder)
            keys = partition_keys(plan.buckets + 1)
            mapped = chunks.mapInArrow(partial(map_chunks, plan=plan, storage=storage), BLOBS)
            numbered = mapped.withColumn("key", element_at(lit(keys), col("bucket") + 1))
            shuffled = numbered.repartition(len(keys), "key").drop("key")
            return _collect(shuffled.mapInArrow(partial(reduce_buckets, plan=plan, storage=storage), BLOBS), plan)

    def _recover(
        self, manifest: Manifest, wanted: Sequence[RecordLocation], plan: RunSpec, storage: Storage, scratch: Path
    ) -> list[Any]:
        # Files like the manifest's: rows of the driver's own cost a shuffle and a second of Spark's.
        with self._staged(_write_wanted(manifest, wanted, scratch / "places"), plan, storage) as folder:
            recovered = self._read_files(folder).mapInArrow(partial(recover_chunks, plan=plan, storage=storage), BLOBS)
            return _collect(recovered, plan)

    def _read_files(self, folder: str) -> "DataFrame":
        """A folder's files, a task each."""
        return self.spark.read.format("binaryFile").load(folder).select("content")

    @contextmanager
    def _configured(self) -> Iterator[None]:
        try:
            before = {name: self.spark.conf.get(name) or "" for name in CONF}
            for name, value in CONF.items():
                self.spark.conf.set(name, value)
        except Exception as error:
            if "CONFIG_NOT_AVAILABLE" not in str(error):
                raise
            # With batches of its own size, a worker would hold thousands of blobs at once.
            what = f"this Spark takes no settings of the job ({', '.join(CONF)})"
            raise TerminalError(what, next_step="run the job on a cluster (docs/databricks.md, Serverless)") from error
        try:
            yield
        finally:
            for name, value in before.items():
                self.spark.conf.set(name, value)

    @contextmanager
    def _staged(self, files: Sequence[Path], plan: RunSpec, storage: Storage) -> Iterator[str]:
        """A folder's files where every worker can read them: a local master reads them where they are."""
        if (self.spark.conf.get("spark.master", "") or "").startswith("local") or storage.output.kind == "file":
            yield f"file://{files[0].parent.absolute()}"
            return
        # Each attempt's own: a service may run a job's second attempt under the same run, and the first left its own.
        folder = f"{analytics_folder(plan.tenant)}/_staging/{plan.run_id}-{uuid.uuid4().hex[:8]}"
        output = storage.open_output()
        keys = [f"{folder}/{path.name}" for path in files]
        for key, path in zip(keys, files, strict=True):
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
        UsageError: pyspark or Java is not installed here.
    """
    try:
        from pyspark.errors import PySparkRuntimeError
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise UsageError("pyspark is not installed", next_step=f"install makoto-daily-batch[spark], {ELSE}") from error
    # Only spark-submit reads spark.pyspark.python: here the workers would be whatever python3 the PATH has.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName("makoto-daily-batch").master("local[*]")
    for name, value in {
        "spark.driver.host": "localhost",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        # Standard error is for our own progress.
        "spark.ui.showConsoleProgress": "false",
        # The JVM only moves blobs, and its second compiler took a third of a short job's time there.
        "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile={QUIET} -XX:TieredStopAtLevel=1",
    }.items():
        builder = builder.config(name, value)
    try:
        return SparkRunner(builder.getOrCreate())
    except PySparkRuntimeError as error:
        if error.getCondition() != "JAVA_GATEWAY_EXITED":
            raise
        step = f"install Java 17 and set JAVA_HOME (tools/find-java says where one is), {ELSE}"
        raise UsageError("Spark did not start: there is no Java that it can use", next_step=step) from error


class _Answers:
    """What the workers answered: files, counts, and blobs laid down in the driver's scratch."""

    def __init__(self, scratch: Path, rows: Iterable[Any]) -> None:
        self._scratch = scratch
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
                self._files[kind] += load_files(blob)
            else:
                path = make_folder(scratch / kind) / f"{row['bucket']}.parquet"
                path.write_bytes(blob)
                self.paths[kind].append(path)
        self.counts = add_counts(found)

    def combine(self, plan: RunSpec, storage: Storage) -> dict[str, tuple[DataFile, ...]]:
        """The day's aggregates, written."""
        partials = [
            dict(zip(PARTIALS, paths, strict=True)) for paths in zip(*(self.paths[n] for n in PARTIALS), strict=True)
        ]
        return merge_aggregates(partials, plan=plan, output=storage.open_output(), scratch=self._scratch)

    def files(self, table: str) -> tuple[DataFile, ...]:
        return tuple(self._files[table])


def _write_wanted(manifest: Manifest, wanted: Sequence[RecordLocation], folder: Path) -> list[Path]:
    """Chunks of the objects that hold wanted records, each with its places; a file each."""
    by_key = group_by_object(wanted)
    concerned = [item for _, chunk in read_manifest(manifest.files) for item in chunk if item.key in by_key]
    part = sum(item.size for item in concerned) // RECOVERED_PARTS + 1
    chunks = cut_chunks(
        [concerned],
        chunk_bytes=min(max(part, LEAST_RECOVERED_BYTES), RECOVERED_BYTES),
        chunk_objects=RECOVERED_OBJECTS,
    )
    make_folder(folder)
    files = []
    for number, chunk in enumerate(chunks):
        files.append(chunk_path(folder, number))
        files[-1].write_text(json.dumps([[list(item), by_key[item.key]] for item in chunk]))
    return files


def _collect(frame: "DataFrame", plan: RunSpec) -> list[Any]:
    try:
        return frame.collect()
    except Exception as error:
        raise _explain(error, plan) from error


def _explain(error: Exception, plan: RunSpec) -> BatchError:
    """A worker's error comes as text; its class says whether trying again can help."""
    text = str(error)
    for kind in (InputChangedError, RetryableError, TerminalError):
        marker = f"{kind.__name__}: "
        if marker in text:
            told = text.split(marker, 1)[1].splitlines()[0].partition(": ")[2] or "a task failed"
            what, _, step = told.partition(". Next step: ")
            step = step.removesuffix(".") or "run the day again"
            return kind(what, next_step=step, tenant=plan.tenant, day=plan.date)
    # What guarded() says of an unexpected error is safe to repeat.
    _, found, place = text.partition("RuntimeError: ")
    cause = place.splitlines()[0] if found else type(error).__name__
    return RetryableError(
        f"the Spark job failed ({cause})",
        next_step="read the job's log with --debug, then run the day again",
        tenant=plan.tenant,
        day=plan.date,
    )
