"""P4: measure the cost of the manifest as a day grows, from a generated listing of 0.1, 1 and 10 million keys.

The listing is generated in memory, so the result is the project's own cost: traversal, filtering by name, chunks, their
files and the fingerprint; and, separately, reading the chunks back. The cost of generating the responses is measured
too; `own_us_per_key` is `us_per_key` without it.

    python bench/growth_manifest.py [--keys N ...] [--runs 3] [--json]
"""

import argparse
import json
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

from arro3.core import Array, DataType, Field, RecordBatch, Schema

from daily_batch.domain.calendar import EPOCH, to_us
from daily_batch.pipeline.discover.chunks import read_manifest
from daily_batch.pipeline.discover.manifest import build_manifest

KEYS = (100_000, 1_000_000, 10_000_000)
ROOM = 500  # messages per room and day, the platform's upper bound
USER_ROOMS = 10
FOLDERS = ("2025/08/11", "2025/08/12")
START = to_us(EPOCH.replace(year=2025, month=8, day=11, hour=15))
WINDOW = (START, START + 86_400_000_000)
SCHEMA = Schema(
    [
        Field("path", DataType.string()),
        Field("last_modified", DataType.timestamp("us", tz="UTC")),
        Field("size", DataType.uint64()),
        Field("e_tag", DataType.string()),
        Field("version", DataType.string()),
    ]
)


class GeneratedStore:
    """Implements the obstore interface without data; each of the two UTC folders holds half of a room's day."""

    def __init__(self, keys: int) -> None:
        self.rooms = keys // ROOM

    def list_with_delimiter(self, prefix: str) -> dict[str, Any]:
        folder = prefix.rstrip("/")
        if folder.count("/") == 1:
            return {"common_prefixes": [f"{folder}/user{n:07d}" for n in range(self.rooms // USER_ROOMS)]}
        return {"common_prefixes": [f"{folder}/room{n}" for n in range(USER_ROOMS)]}

    def list(self, prefix: str, *, chunk_size: int, return_arrow: bool) -> Iterator[RecordBatch]:
        hour = 15 if prefix.endswith("11/") else 0
        numbers = range(ROOM // 2)
        paths = [
            f"{prefix}{hour + n // 60:02d}-{n % 60:02d}-56.789Z-msg_{n * 2654435761 % 2**32:08x}.json" for n in numbers
        ]
        columns = [
            Array(paths, DataType.string()),
            Array([START + n for n in numbers], DataType.int64()).cast(DataType.timestamp("us", tz="UTC")),
            Array([900 + n for n in numbers], DataType.uint64()),
            Array([f'"{n * 2654435761:032x}"' for n in numbers], DataType.string()),
            Array([None] * len(numbers), DataType.string()),
        ]
        yield RecordBatch.from_arrays(columns, schema=SCHEMA)

    def head(self, path: str) -> dict[str, Any]:
        raise FileNotFoundError(path)


def measure(keys: int) -> dict[str, float]:
    """Build one manifest in this process, which must be a fresh one because its peak memory never falls."""
    store = GeneratedStore(keys)
    rooms = [
        room
        for n in store.list_with_delimiter("acme/chat/")["common_prefixes"][:40]
        for room in store.list_with_delimiter(n)["common_prefixes"]
    ]
    started = time.perf_counter()
    for room in rooms:
        for day in FOLDERS:
            list(store.list(f"{room}/messages/{day}/", chunk_size=1000, return_arrow=True))
    generated_us = (time.perf_counter() - started) / (len(rooms) * ROOM) * 1e6
    before = peak_mib()
    with tempfile.TemporaryDirectory() as folder:
        started, cpu_started = time.perf_counter(), time.process_time()
        manifest = build_manifest(
            store,
            tenant="acme",
            layout="messages",
            folders=FOLDERS,
            window_us=WINDOW,
            export_folder="acme/exports/messages/2025/08/12/",
            staging=Path(folder),
            chunk_bytes=64 * 2**20,
            chunk_objects=5_000,
            concurrency=64,
        )
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
        peak = peak_mib()
        started = time.perf_counter()
        read = sum(len(objects) for _, objects in read_manifest(manifest.files))
        read_seconds = time.perf_counter() - started
        disk = sum(path.stat().st_size for path in manifest.files)
    assert read == keys, read
    assert manifest.objects == keys, manifest.objects
    per_key = seconds / keys * 1e6
    return {
        "keys": keys,
        "seconds": seconds,
        "us_per_key": per_key,
        "cpu_us_per_key": cpu_seconds / keys * 1e6,
        "generated_us_per_key": generated_us,
        "own_us_per_key": per_key - generated_us,
        "read_us_per_key": read_seconds / keys * 1e6,
        "peak_rss_mib": peak,
        "peak_before_mib": before,
        "chunks": manifest.chunks,
        "file_bytes_per_key": disk / keys,
    }


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, nargs="+", default=KEYS, help="sizes, multiples of 5,000")
    parser.add_argument("--runs", type=int, default=3, help="runs of each size; medians are given")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    options = parser.parse_args()
    runs: dict[int, list[dict[str, float]]] = {keys: [] for keys in options.keys}
    # Alternate the sizes, so that load from neighbours affects all of them.
    for _, keys in product(range(options.runs), options.keys):
        with multiprocessing.get_context("spawn").Pool(1) as fresh:
            runs[keys].append(fresh.apply(measure, (keys,)))
        if not options.json:
            print(describe(runs[keys][-1]), flush=True)
    medians = [{name: statistics.median(run[name] for run in done) for name in done[0]} for done in runs.values()]
    if options.json:
        print(json.dumps({"benchmark": "P4 manifest", "runs": options.runs, "results": medians}, indent=1))
        return
    print(f"medians of {options.runs}:")
    for median in medians:
        print(describe(median))


def describe(figures: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:,.2f}" for name, value in figures.items())


if __name__ == "__main__":
    main()
