"""Measure the complete discovery of a day of one object per message, as its keys grow, over a listing on loopback.

The server makes pages from numbers (`s3_generated.py`) without latency, so the result is the project's and its client's
own cost. For each size, in a fresh process: users, rooms and day folders are walked and listed into a manifest; listed
again and compared (the look-back); read back for late objects; all of the tenant is listed for strays; with `--spark`,
the chunks become the tasks of a job that only counts their objects. Each count is checked.

    python -m bench.growth_discovery [--keys 100000 1000000 10000000] [--runs 3] [--spark]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from bench.measure import ROOT, machine, save_figures
from bench.processes import SessionSampler
from bench.s3_generated import LATE_EVERY, PER_FOLDER, PER_ROOM, STRAYS
from bench.s3_server import BUCKET, running_server
from daily_batch.domain.calendar import parse_day
from daily_batch.domain.request import Request
from daily_batch.domain.url import parse_url
from daily_batch.pipeline.discover.chunks import read_chunk
from daily_batch.pipeline.discover.discover import count_strays, discover, list_day
from daily_batch.pipeline.quality_measures import share_late
from daily_batch.pipeline.runners.base import ignore_progress
from daily_batch.settings import load_settings

KEYS = (100_000, 1_000_000, 10_000_000)
MINUTES = 60  # an object stored later than this after its time is late
Figures = dict[str, float]
Result = TypeVar("Result")


def main(arguments: list[str] | None = None) -> None:
    """Measure each size in turn, and print and save the medians."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.growth_discovery",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--keys", type=int, nargs="+", default=KEYS, help=f"sizes, multiples of {PER_ROOM}")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--spark", action="store_true", help="also distribute the chunks over a local Spark's tasks")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)  # the fresh process
    options = parser.parse_args(arguments)
    if options.one:
        print(json.dumps(measure_discovery(options.one, options.spark)))
        return
    print(f"discovery: {', '.join(f'{keys:,}' for keys in options.keys)} keys, {options.runs} runs each", flush=True)
    runs: dict[int, list[Figures]] = {keys: [] for keys in options.keys}
    for _, keys in product(range(options.runs), options.keys):
        with running_server("--keys", str(keys), "--latency-ms", "0") as env:
            runs[keys].append(measure_in_fresh_process(keys, env, options.spark))
        print(f"  {keys:>12,} keys  {describe(runs[keys][-1])}", flush=True)
    medians = {
        keys: {name: statistics.median(run[name] for run in done) for name in done[0]} for keys, done in runs.items()
    }
    for keys, figures in medians.items():
        print(f"  median {keys:>12,} keys  {describe(figures)}")
    save_figures("discovery", {"machine": machine(), "figures": medians, "runs": runs})


def describe(figures: Figures) -> str:
    """Return the figures in one line."""
    return "  ".join(f"{name} {value:,.1f}" for name, value in figures.items())


def measure_in_fresh_process(keys: int, env: dict[str, str], spark: bool) -> Figures:
    """Return the figures of one size; a session of its own keeps other processes out of the samples."""
    command = [sys.executable, "-m", "bench.growth_discovery", "--one", str(keys), *(["--spark"] if spark else [])]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | env, stdout=subprocess.PIPE, text=True, check=True, start_new_session=True
    )
    figures: Figures = json.loads(done.stdout)
    return figures


def measure_discovery(keys: int, spark: bool) -> Figures:
    """Discover a day of this many keys in this process, and return seconds, CPU per key and memory of each step."""
    day = parse_day("2025-08-12")
    figures: Figures = {"memory_before_mib": peak_mib()}
    messages = keys - keys // PER_FOLDER  # the last key of each folder is a marker
    with tempfile.TemporaryDirectory() as folder:
        request = Request(
            tenant="acme",
            day=day,
            input=parse_url(f"s3://{BUCKET}"),
            output=parse_url(f"{folder}/out"),
            layout="messages",
            table_format="delta",
        )
        settings = load_settings(flags={}, environ=os.environ)
        listing = partial(list_day, request, settings, progress=ignore_progress)
        discovering = partial(discover, request, settings, progress=ignore_progress, list_known_tenants=tuple)
        manifest = step(figures, "discover", keys, lambda: discovering(staging=Path(folder) / "one"))
        again = step(figures, "look_back", keys, lambda: listing(staging=Path(folder) / "two"))
        late = step(figures, "read_back", keys, lambda: share_late(manifest.files, minutes=MINUTES))
        strays = step(figures, "strays", keys, lambda: count_strays(request, settings, progress=ignore_progress))
        figures["chunks"] = manifest.chunks
        figures["file_bytes_per_key"] = sum(path.stat().st_size for path in manifest.files) / keys
        late_messages = len(range(0, PER_FOLDER - 1, LATE_EVERY)) * (keys // PER_ROOM)
        check("messages", manifest.objects, messages)
        check("markers", manifest.ignored, keys - messages)
        check("the fingerprint", again.fingerprint, manifest.fingerprint)
        check("late messages", round((late or 0) * messages), late_messages)
        check("strays", (strays.objects, strays.listed), (STRAYS, messages + STRAYS))
        if spark:
            distribute(figures, Path(folder) / "one", messages)
    return figures


def step(figures: Figures, name: str, keys: int, call: Callable[[], Result]) -> Result:
    """Call a step and add its figures."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    started, cpu_started = time.perf_counter(), time.process_time()
    result = call()
    figures[f"{name}_s"] = time.perf_counter() - started
    figures[f"{name}_cpu_us_per_key"] = (time.process_time() - cpu_started) / keys * 1e6
    figures[f"{name}_mib"] = peak_mib()
    return result


def distribute(figures: Figures, folder: Path, messages: int) -> None:
    """Read the chunks as the Spark runner does, one per task, in a local session; only count their objects."""
    from daily_batch.pipeline.runners.spark import CONF
    from tests.support.spark_session import start_session

    sampler = SessionSampler(os.getsid(0))
    session = start_session(warehouse=folder.parent / "warehouse", extra_conf=CONF)
    started = time.perf_counter()
    chunks = session.read.format("binaryFile").load(f"file://{folder}").select("content")
    counts = [row["objects"] for row in chunks.mapInArrow(count_objects, "objects long").collect()]
    figures["spark_s"] = time.perf_counter() - started
    session.stop()
    usage = sampler.stop()
    figures["spark_jvm_mib"] = usage.peak_mib_by_kind.get("jvm", 0.0)
    figures["spark_workers_mib"] = usage.peak_mib_by_kind.get("workers", 0.0)
    check("tasks", len(counts), figures["chunks"])
    check("distributed messages", sum(counts), messages)


def count_objects(batches: Iterable[Any]) -> Iterator[Any]:
    """Count the objects of each chunk."""
    for batch in batches:
        for content in batch.column("content").to_pylist():
            yield pa.RecordBatch.from_pydict({"objects": [len(read_chunk(content)[1])]})


def check(what: str, found: object, expected: object) -> None:
    """Raise if a step's result is wrong."""
    if found != expected:
        raise AssertionError(f"{what}: {found}, expected {expected}")


def peak_mib() -> float:
    """Return the highest resident memory of this process."""
    return int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0]) / 1024


if __name__ == "__main__":
    main()
