"""Run small days in this process: map and reduce in a few threads, with spilled rows in a temporary folder."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import duckdb

from daily_batch.domain.contract import MESSAGES, REJECTS, TURNS
from daily_batch.domain.run import DataFile, RunSpec, SourceObject
from daily_batch.pipeline.discover.chunks import cut_chunks, read_manifest
from daily_batch.pipeline.discover.manifest import Manifest
from daily_batch.pipeline.runners.base import Progress, RunResult
from daily_batch.pipeline.runners.deadline import REDUCE_SHARE, Deadline
from daily_batch.pipeline.runners.resource_limits import hand_over_if_exhausted, writes_temporary_disk_only
from daily_batch.pipeline.runners.resources import Resources, measure_resources
from daily_batch.pipeline.runners.size_workers import ByteBudget, WorkerSizes, size_workers
from daily_batch.pipeline.transform.duckdb_session import cursor, limit_memory, shared_database
from daily_batch.pipeline.transform.map_chunk import BATCH_BYTES, MapResult, map_chunk
from daily_batch.pipeline.transform.merge_parts import group_by_name, merge_aggregates
from daily_batch.pipeline.transform.original_bytes import group_by_object, read_locations, recover
from daily_batch.pipeline.transform.outcomes import add_counts
from daily_batch.pipeline.transform.reduce_bucket import ReduceResult, reduce_bucket, write_rejects
from daily_batch.pipeline.transform.row_buffer import RowSet
from daily_batch.storage.scratch import make_folder
from daily_batch.storage.stores import Storage

# A chunk of an export is a batch of text, but small enough that every worker gets this many chunks and all end at about
# the same time.
CHUNKS_PER_WORKER = 6
MIN_CHUNK_BYTES = 2**20
EXPORT_CHUNK_OBJECTS = 1_000
# Rows stay in memory if their text is at most half of what DuckDB may use: rows take as much memory as their text, and
# sorting the current buckets takes as much again.
DUCKDB_MEMORY_PER_KEPT_TEXT = 2

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class LocalRunner:
    """Runs chunks and buckets in a few threads: DuckDB, decompression and fetching all release the interpreter lock.

    Attributes:
        resources: The limits within which the run stays.
        deadline: A time of `time.monotonic`. The day is handed over at this time, or as soon as the rest of the run is
            predicted to end later. None: no deadline.
        name: The runner's name in receipts.
    """

    resources: Resources = field(default_factory=lambda: measure_resources(os.environ))
    deadline: float | None = None
    name: str = "local"

    def run(
        self, manifest: Manifest, *, spec: RunSpec, storage: Storage, scratch: Path, progress: Progress
    ) -> RunResult:
        """See `Runner.run`.

        Raises:
            HandOverError: Time, memory or temporary disk do not suffice. No commit names the files that were written.
        """
        deadline = Deadline(self.deadline)
        with hand_over_if_exhausted(deadline, spec):
            started = time.perf_counter()
            sizes = size_workers(self.resources, spec=spec, manifest=manifest)
            run = _LocalRun(manifest, sizes, storage, scratch, progress, deadline)
            database_folder = make_folder(scratch / "database")
            with (
                shared_database(scratch=database_folder, spec=sizes.spec, tasks=sizes.workers) as database,
                ThreadPoolExecutor(sizes.workers) as pool,
            ):
                try:
                    mapped = run.map_chunks(pool, database)
                    map_ended = time.perf_counter()
                    limit_memory(database, sizes.sort_bytes * sizes.workers)
                    reduced = run.reduce_buckets(pool, mapped, database)
                    recovered = run.recover_originals(pool, reduced)
                except BaseException:
                    deadline.stop()
                    pool.shutdown(cancel_futures=True)
                    raise
            files = run.write_rest(mapped, reduced, recovered)
            counts = add_counts([*(chunk.counts for chunk in mapped), *(bucket.counts for bucket in reduced)])
            seconds = {"intake": map_ended - started, "clean": time.perf_counter() - map_ended}
            deadline.check()
        return RunResult(files=files, counts=counts, seconds=seconds)


@dataclass(frozen=True)
class _LocalRun:
    """One run of a day."""

    manifest: Manifest
    sizes: WorkerSizes
    storage: Storage
    scratch: Path
    progress: Progress
    deadline: Deadline

    @property
    def spec(self) -> RunSpec:
        """The day's specification, with the limits of each task."""
        return self.sizes.spec

    @property
    def workers(self) -> int:
        """The number of concurrent tasks."""
        return self.sizes.workers

    def map_chunks(self, pool: ThreadPoolExecutor, database: duckdb.DuckDBPyConnection) -> list[MapResult]:
        """Read and parse every chunk of the manifest."""
        source, check = self.storage.open_input(), self.deadline.check
        kept = ByteBudget(self.spec.limits.memory_bytes * self.workers // DUCKDB_MEMORY_PER_KEPT_TEXT)

        def map_one(chunk: tuple[int, list[SourceObject]]) -> MapResult:
            folder = make_folder(self.scratch / f"chunk-{chunk[0]}")
            with writes_temporary_disk_only(), cursor(database) as connection:
                return map_chunk(
                    chunk[1],
                    connection=connection,
                    store=source,
                    spec=self.spec,
                    scratch=folder,
                    check=check,
                    may_keep=kept.reserve,
                    name=f"rows_{chunk[0]}",
                )

        total, chunks = self._number_chunks()
        self.deadline.start_stage("chunks", total, next_share=REDUCE_SHARE)
        return list(self._run_tasks(pool, map_one, chunks, report=("intake", total, "chunks")))

    def _number_chunks(self) -> tuple[int, Iterable[tuple[int, list[SourceObject]]]]:
        """Return the number of chunks, and each with its number. An export is cut anew: its chunks suit clusters."""
        chunks = read_manifest(self.manifest.files)
        if self.manifest.layout == "messages":
            return self.manifest.chunks, chunks
        smaller = self._cut(chunk for _, chunk in chunks)
        return len(smaller), enumerate(smaller)

    def _cut(self, objects: Iterable[Sequence[SourceObject]]) -> list[list[SourceObject]]:
        """Cut the objects of an export into chunks of a size that suits the day and its workers."""
        text = max(self.manifest.text_bytes, 1)
        target_text = min(text // (self.workers * CHUNKS_PER_WORKER), BATCH_BYTES)
        chunk_bytes = max(self.manifest.bytes * target_text // text, MIN_CHUNK_BYTES)
        return list(cut_chunks(objects, chunk_bytes=chunk_bytes, chunk_objects=EXPORT_CHUNK_OBJECTS))

    def reduce_buckets(
        self, pool: ThreadPoolExecutor, mapped: Sequence[MapResult], database: duckdb.DuckDBPyConnection
    ) -> list[ReduceResult]:
        """Deduplicate, sort and write every bucket."""
        output = self.storage.open_output()
        tables = tuple(table for chunk in mapped for table in chunk.tables)
        spilled: dict[int, list[Path]] = {bucket: [] for bucket in range(self.spec.buckets if tables else 0)}
        for bucket, path in (file for chunk in mapped for file in chunk.spilled):
            spilled.setdefault(bucket, []).append(path)

        def reduce_one(bucket: int) -> ReduceResult:
            self.deadline.check()
            folder = make_folder(self.scratch / f"bucket-{bucket}")
            rows = RowSet(tables, tuple(spilled[bucket]))
            with cursor(database) as connection:
                reduced = reduce_bucket(
                    bucket, rows, connection=connection, spec=self.spec, output=output, scratch=folder
                )
            for path in spilled[bucket]:  # the temporary disk of a function is small
                path.unlink()
            return reduced

        self.deadline.start_stage("buckets", len(spilled))
        return list(self._run_tasks(pool, reduce_one, sorted(spilled), report=("clean", len(spilled), "buckets")))

    def _run_tasks(
        self,
        pool: ThreadPoolExecutor,
        function: Callable[[Task], Result],
        tasks: Iterable[Task],
        *,
        report: tuple[str, int, str] | None = None,
    ) -> Iterator[Result]:
        """Yield the results in order. Only a few tasks more than there are workers are in memory at a time.

        Args:
            report: Stage, number of tasks and unit by which finished tasks are reported; None: they are not.
        """
        if report:
            stage, total, unit = report
            self.progress(stage, 0, total, unit)
        remaining = iter(tasks)
        pending: deque[Future[Result]] = deque()
        while True:
            while len(pending) <= self.workers and (task := next(remaining, None)) is not None:
                pending.append(pool.submit(function, task))
            if not pending:
                return
            result = pending.popleft().result()
            if report:
                self.progress(stage, self.deadline.finish_task(), total, unit)
            yield result

    def write_rest(
        self, mapped: Sequence[MapResult], reduced: Sequence[ReduceResult], recovered: Sequence[Path]
    ) -> dict[str, tuple[DataFile, ...]]:
        """Write aggregates and rejects, and return the files of all tables."""
        self.progress("aggregates and rejects", 0, 0, "")
        output, scratch = self.storage.open_output(), self.scratch
        rejects = [*(path for chunk in mapped for path in chunk.rejects), *recovered]
        partials = group_by_name(part for bucket in reduced for part in bucket.partials)
        files = merge_aggregates(partials, spec=self.spec, output=output, scratch=scratch)
        for table in (MESSAGES, TURNS):
            files[table.name] = tuple(file for bucket in reduced for file in bucket.files[table.name])
        files[REJECTS.name] = write_rejects(rejects, name="all", spec=self.spec, output=output, scratch=scratch)
        return files

    def recover_originals(self, pool: ThreadPoolExecutor, reduced: Sequence[ReduceResult]) -> list[Path]:
        """Read the original bytes of superseded and repaired records again, into files of rejects."""
        locations = group_by_object(read_locations([bucket.originals for bucket in reduced]))
        if not locations:
            return []
        objects = ([item for item in chunk if item.key in locations] for _, chunk in read_manifest(self.manifest.files))
        source, check = self.storage.open_input(), self.deadline.check

        def recover_one(chunk: tuple[int, list[SourceObject]]) -> tuple[Path, ...]:
            folder = make_folder(self.scratch / f"originals-{chunk[0]}")
            with writes_temporary_disk_only():
                return recover(chunk[1], locations, store=source, spec=self.spec, scratch=folder, check=check)

        return [path for paths in self._run_tasks(pool, recover_one, enumerate(self._cut(objects))) for path in paths]
