"""Measure the kernel alone: CPU microseconds per message and step, in one process and one thread, without Spark."""

from __future__ import annotations

import argparse
import functools
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from obstore.store import LocalStore

from bench.job import export_day
from bench.measure import machine, save_figures
from daily_batch.domain.calendar import day_window
from daily_batch.domain.run import Limits, RunSpec, SourceObject
from daily_batch.pipeline.transform import map_chunk, reduce_bucket, row_buffer
from daily_batch.pipeline.transform.duckdb_session import connect, cursor
from daily_batch.pipeline.transform.general_path import GeneralPath
from daily_batch.pipeline.transform.split import TextBatch

DAY = date(2025, 8, 12)
TARGET = 15
MESSAGES, FILES = 100_000, 3

# Part, name of the step, and the callable whose time it is; nested steps are measured separately.
STEPS: tuple[tuple[str, str, object, str], ...] = (
    ("map", "read and decompress", map_chunk, "decode"),
    ("map", "split, check strictly, to Arrow", map_chunk, "TextBatch"),
    ("map", "to Arrow", TextBatch, "to_table"),
    ("map", "extract, verify, normalize (one statement)", row_buffer.RowBuffer, "add_batch"),
    ("map", "general path", GeneralPath, "read"),
    ("map", "rows of the general path", row_buffer.RowBuffer, "add_records"),
    ("map", "filter by verdict", row_buffer.RowBuffer, "filter_batch"),
    ("map", "spill by bucket", row_buffer.RowBuffer, "spill"),
    ("map", "rest of the map", map_chunk, "map_chunk"),
    ("reduce", "deduplicate", reduce_bucket, "_deduplicate"),
    ("reduce", "sort and write", reduce_bucket, "write_file"),
    ("reduce", "find turns", reduce_bucket, "create_turns"),
    ("reduce", "write turns", reduce_bucket, "write_rows"),
    ("reduce", "partial aggregates", reduce_bucket, "save_partials"),
    ("reduce", "rest of the reduce", reduce_bucket, "reduce_bucket"),
)


class Clock:
    """Measures the CPU time of each step, without its nested steps."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._running: list[str] = []
        self._since = time.process_time()

    def _charge_current_step(self) -> None:
        now = time.process_time()
        if self._running:
            self.spent[self._running[-1]] += now - self._since
        self._since = now

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function wrapped so that its time is added to the step `name`."""

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self._charge_current_step()
            self._running.append(name)
            try:
                return function(*args, **kwargs)
            finally:
                self._charge_current_step()
                self._running.pop()

        return wrapped


@contextmanager
def instrumented(clock: Clock) -> Iterator[None]:
    """Wrap every step with the clock for the duration of the context."""
    originals = [(owner, name, getattr(owner, name)) for _, _, owner, name in STEPS]
    for _, step, owner, name in STEPS:
        setattr(owner, name, clock.timed(step, getattr(owner, name)))
    try:
        yield
    finally:
        for owner, name, function in originals:
            setattr(owner, name, function)


def main(arguments: list[str] | None = None) -> None:
    """Map and reduce files of a generated export, and print the microseconds of each step."""
    parser = argparse.ArgumentParser(prog="python -m bench.kernel", description=__doc__)
    parser.add_argument("--messages", type=int, default=MESSAGES, help="messages of the generated day")
    parser.add_argument("--files", type=int, default=FILES, help="number of its 32 files to read")
    parser.add_argument("--buckets", type=int, default=1)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--tables", action="store_true", help="keep rows in memory, as the local runner does")
    options = parser.parse_args(arguments)
    folder = export_day(options.messages)
    results = [_measure(folder, options) for _ in range(options.runs)]
    records = results[0][1]
    print(f"kernel: {records:,} records, {options.runs} runs, medians, CPU microseconds per record")
    figures: dict[str, float] = {}
    for part in ("map", "reduce"):
        steps = [step for kind, step, *_ in STEPS if kind == part]
        total = _median(results, steps)
        print(f"  {part:<44} {total:7.2f}")
        for step in steps:
            figures[step] = _median(results, [step])
            print(f"    {step:<42} {figures[step]:7.2f}")
    figures["whole"] = _median(results, [step for _, step, *_ in STEPS])
    print(f"  {'map and reduce':<44} {figures['whole']:7.2f}   (target: at most {TARGET})")
    save_figures(
        "kernel", {"machine": machine(), "records": records, "tables": options.tables, "microseconds": figures}
    )


def _median(results: Sequence[tuple[dict[str, float], int]], steps: Sequence[str]) -> float:
    return statistics.median(sum(spent.get(step, 0.0) for step in steps) / records * 1e6 for spent, records in results)


def _measure(folder: Path, options: argparse.Namespace) -> tuple[dict[str, float], int]:
    store = LocalStore(folder)
    listed = [item for batch in store.list() for item in batch]
    chosen = sorted((item for item in listed if item["path"].endswith(".gz")), key=lambda item: item["path"])
    objects = [SourceObject(item["path"], item["size"], item["e_tag"] or "", 0) for item in chosen[: options.files]]
    start, end = day_window(DAY, "Asia/Tokyo")
    spec = RunSpec(
        tenant="acme",
        date=DAY.isoformat(),
        zone="Asia/Tokyo",
        naive_zone="UTC",
        start_us=start,
        end_us=end,
        slack_us=900_000_000,
        layout="export",
        table_format="delta",
        buckets=options.buckets,
        run_id="bench",
        processed_us=0,
        limits=replace(Limits(), fetch_concurrency=1),
    )
    clock = Clock()
    with tempfile.TemporaryDirectory() as name, connect(scratch=Path(name), spec=spec) as database, instrumented(clock):
        scratch = Path(name)
        result = map_chunk.map_chunk(
            objects,
            connection=database,
            store=store,
            spec=spec,
            scratch=scratch,
            may_keep=lambda size: options.tables,
        )
        for bucket in range(options.buckets):
            files = tuple(path for number, path in result.spilled if number == bucket)
            with cursor(database) as connection:
                reduce_bucket.reduce_bucket(
                    bucket,
                    row_buffer.RowSet(result.tables, files),
                    connection=connection,
                    spec=spec,
                    output=_DiscardingStore(),
                    scratch=scratch,
                )
    return dict(clock.spent), result.counts.seen


class _DiscardingStore:
    """An output store that discards every file."""

    def put(self, path: str, file: Path) -> None:
        """Discard a file."""


if __name__ == "__main__":
    main()
