"""The runner of small days: the kernel in this process, its runs in a temporary folder."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import duckdb

from daily_batch.domain.contract import MESSAGES, REJECTS
from daily_batch.domain.run import RunSpec, SourceObject
from daily_batch.pipeline.discover.chunks import cut_chunks, read_manifest
from daily_batch.pipeline.discover.manifest import Manifest
from daily_batch.pipeline.runners.base import Progress, RunResult
from daily_batch.pipeline.runners.deadline import REDUCE_SHARE, Deadline
from daily_batch.pipeline.runners.resource_limits import handing_over, on_temporary_disk
from daily_batch.pipeline.runners.resources import Resources, measure_resources
from daily_batch.pipeline.runners.size_workers import KeptText, LocalSizes, size_workers
from daily_batch.pipeline.transform.duckdb_session import connect, cursor, limit_memory
from daily_batch.pipeline.transform.map_chunk import BATCH_BYTES, MapResult, map_chunk
from daily_batch.pipeline.transform.original_bytes import group_by_object, read_locations, recover
from daily_batch.pipeline.transform.outcomes import add_counts
from daily_batch.pipeline.transform.reduce_bucket import ReduceResult, merge_aggregates, reduce_bucket, write_rejects
from daily_batch.pipeline.transform.row_buffer import RowSet
from daily_batch.storage.scratch import make_folder
from daily_batch.storage.stores import Storage

# Of an export: a batch of text, but small enough that every worker has this many chunks and all end at about one time.
CHUNKS_A_WORKER = 6
SMALLEST_CHUNK_BYTES = 2**20
EXPORT_CHUNK_OBJECTS = 1_000
# Rows stay in memory if their text is at most this part of what DuckDB may use: they take as much as their text, and
# the sort of the buckets in hand as much of it again.
KEPT_SHARE = 2

Piece = TypeVar("Piece")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class LocalRunner:
    """Runs chunks and buckets in a few threads; DuckDB, decompression and fetching all release the interpreter.

    It stays inside of `resources`. From `deadline` on (of `time.monotonic`; None: there is none), or once the rest is
    predicted to end later, it hands the day over.
    """

    resources: Resources = field(default_factory=lambda: measure_resources(os.environ))
    deadline: float | None = None
    name: str = "local"

    def run(
        self, manifest: Manifest, *, plan: RunSpec, storage: Storage, scratch: Path, progress: Progress
    ) -> RunResult:
        """See `outcome.Runner`.

        Raises:
            HandOver: time, memory or temporary disk do not suffice; nothing names the files that were written.
        """
        watch = Deadline(self.deadline)
        with handing_over(watch, plan):
            sizes = size_workers(self.resources, plan=plan, manifest=manifest)
            run = _LocalRun(manifest, sizes, storage, scratch, progress, watch)
            outcome = run.run()
            watch.check()
        return outcome


@dataclass(frozen=True)
class _LocalRun:
    """One run of a day."""

    manifest: Manifest
    sizes: LocalSizes
    storage: Storage
    scratch: Path
    progress: Progress
    watch: Deadline

    @property
    def plan(self) -> RunSpec:
        """The day's plan, with the limits of a task."""
        return self.sizes.plan

    @property
    def workers(self) -> int:
        """Tasks at once."""
        return self.sizes.workers

    def run(self) -> RunResult:
        started = time.perf_counter()
        with (
            connect(scratch=make_folder(self.scratch / "database"), spec=self.plan, tasks=self.workers) as database,
            ThreadPoolExecutor(self.workers) as pool,
        ):
            try:
                taken = self._take_all(pool, database)
                between = time.perf_counter()
                limit_memory(database, self.sizes.sorting_bytes * self.workers)
                cleaned = self._clean_all(pool, taken, database)
                evidence = self._recover_wanted(pool, cleaned)
            except BaseException:
                self.watch.stop()
                pool.shutdown(cancel_futures=True)
                raise
        output, place = self.storage.open_output(), self.scratch
        rejects = [*(path for chunk in taken for path in chunk.rejects), *evidence]
        files = merge_aggregates([bucket.partials for bucket in cleaned], spec=self.plan, output=output, scratch=place)
        files[MESSAGES.name] = tuple(file for bucket in cleaned for file in bucket.files)
        files[REJECTS.name] = write_rejects(rejects, name="all", spec=self.plan, output=output, scratch=place)
        counts = add_counts([*(chunk.counts for chunk in taken), *(bucket.counts for bucket in cleaned)])
        seconds = {"intake": between - started, "clean": time.perf_counter() - between}
        return RunResult(files=files, counts=counts, seconds=seconds)

    def _take_all(self, pool: ThreadPoolExecutor, database: duckdb.DuckDBPyConnection) -> list[MapResult]:
        source, check = self.storage.open_input(), self.watch.check
        kept = KeptText(self.plan.limits.memory_bytes * self.workers // KEPT_SHARE)

        def take(chunk: tuple[int, list[SourceObject]]) -> MapResult:
            folder = make_folder(self.scratch / f"chunk-{chunk[0]}")
            with on_temporary_disk(), cursor(database) as connection:
                return map_chunk(
                    chunk[1],
                    connection=connection,
                    store=source,
                    spec=self.plan,
                    scratch=folder,
                    check=check,
                    may_keep=kept.take,
                    name=f"rows_{chunk[0]}",
                )

        total, chunks = self._chunks()
        self.watch.begin("chunks", total, later=REDUCE_SHARE)
        return list(self._told("intake", total, "chunks", self._each(pool, take, chunks)))

    def _chunks(self) -> tuple[int, Iterable[tuple[int, list[SourceObject]]]]:
        """How many there are, and each with its number. The manifest's own are meant for clusters."""
        chunks = read_manifest(self.manifest.files)
        if self.manifest.layout == "messages":
            return self.manifest.chunks, chunks
        smaller = self._cut(chunk for _, chunk in chunks)
        return len(smaller), enumerate(smaller)

    def _cut(self, objects: Iterable[Sequence[SourceObject]]) -> list[list[SourceObject]]:
        """Objects of an export in chunks of the size that suits this day and its workers."""
        text = max(self.manifest.text_bytes, 1)
        wanted = min(text // (self.workers * CHUNKS_A_WORKER), BATCH_BYTES)
        stored = max(self.manifest.bytes * wanted // text, SMALLEST_CHUNK_BYTES)
        return list(cut_chunks(objects, chunk_bytes=stored, chunk_objects=EXPORT_CHUNK_OBJECTS))

    def _clean_all(
        self, pool: ThreadPoolExecutor, taken: Sequence[MapResult], database: duckdb.DuckDBPyConnection
    ) -> list[ReduceResult]:
        output = self.storage.open_output()
        tables = tuple(table for chunk in taken for table in chunk.tables)
        runs: dict[int, list[Path]] = {bucket: [] for bucket in range(self.plan.buckets if tables else 0)}
        for bucket, path in (run for chunk in taken for run in chunk.spilled):
            runs.setdefault(bucket, []).append(path)

        def clean(bucket: int) -> ReduceResult:
            self.watch.check()
            folder = make_folder(self.scratch / f"bucket-{bucket}")
            rows = RowSet(tables, tuple(runs[bucket]))
            with cursor(database) as connection:
                cleaned = reduce_bucket(
                    bucket, rows, connection=connection, spec=self.plan, output=output, scratch=folder
                )
            for path in runs[bucket]:  # the temporary disk of a function is small
                path.unlink()
            return cleaned

        self.watch.begin("buckets", len(runs))
        return list(self._told("clean", len(runs), "buckets", self._each(pool, clean, sorted(runs))))

    def _each(
        self, pool: ThreadPoolExecutor, work: Callable[[Piece], Answer], pieces: Iterable[Piece]
    ) -> Iterator[Answer]:
        """Answers in order, with no more pieces in memory than are soon worked on."""
        waiting: deque[Future[Answer]] = deque()
        for piece in pieces:
            if len(waiting) > self.workers:
                yield waiting.popleft().result()
            waiting.append(pool.submit(work, piece))
        while waiting:
            yield waiting.popleft().result()

    def _told(self, stage: str, total: int, unit: str, answers: Iterable[Answer]) -> Iterator[Answer]:
        for answer in answers:
            self.progress(stage, self.watch.step(), total, unit)
            yield answer

    def _recover_wanted(self, pool: ThreadPoolExecutor, cleaned: Sequence[ReduceResult]) -> list[Path]:
        wanted = group_by_object(read_locations([bucket.originals for bucket in cleaned]))
        if not wanted:
            return []
        concerned = ([item for item in chunk if item.key in wanted] for _, chunk in read_manifest(self.manifest.files))
        source = self.storage.open_input()

        def read(chunk: tuple[int, list[SourceObject]]) -> tuple[Path, ...]:
            folder = make_folder(self.scratch / f"wanted-{chunk[0]}")
            with on_temporary_disk():
                return recover(chunk[1], wanted, store=source, spec=self.plan, scratch=folder, check=self.watch.check)

        return [path for paths in self._each(pool, read, enumerate(self._cut(concerned))) for path in paths]
