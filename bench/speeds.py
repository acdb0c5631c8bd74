"""Measure the constants of routing: run small days on both runners, fit them, and write conf/predictions.toml."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from bench.job import DAY, export_day, spark_job
from bench.measure import CACHE, ROOT, Contender, Run, alternate, machine, median
from bench.s3_server import BUCKET, generate_objects, running_server
from bench.speeds_fit import Measured, fit_local, fit_spark, fit_stored, render
from daily_batch.domain.run import SourceObject
from daily_batch.pipeline.discover.chunks import write_chunk

# Seconds are measured in the guide's function size; the smallest size shows the least memory that a day needs.
FUNCTION_MB, SMALLEST_MB = "3008", "256"
LATENCY_MS = 20
SAMPLE_SECONDS = 0.1


def main(arguments: list[str] | None = None) -> None:
    """Measure, fit, and write the file; an implausible fit leaves the old file in place."""
    parser = argparse.ArgumentParser(prog="python -m bench.speeds", description=__doc__)
    parser.add_argument(
        "--exports",
        type=int,
        nargs="+",
        default=[1_000, 50_000, 200_000],
        help="messages of each export on the local runner",
    )
    parser.add_argument(
        "--objects", type=int, nargs="+", default=[5_000, 20_000], help="objects of each day on the local runner"
    )
    parser.add_argument(
        "--spark", type=int, nargs="+", default=[50_000, 200_000, 500_000], help="messages of each export on Spark"
    )
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args(arguments)
    if len(options.exports) < 2 or len(options.spark) < 2:
        parser.error("--exports and --spark need at least two sizes")
    exports = [measure_local("export", size, runs=options.runs) for size in options.exports]
    objects = [measure_local("messages", size, runs=options.runs) for size in options.objects]
    # Fit now: an implausible fit ends the program before the minutes that Spark takes.
    local = fit_local(exports + objects)
    largest = max(options.objects)
    stored = fit_stored(
        exports,
        objects,
        objects_per_list=count_objects_per_list(largest),
        manifest_object_bytes=measure_manifest(largest),
    )
    spark = fit_spark([measure_spark(size, runs=options.runs) for size in options.spark])
    text = render(
        stored=stored,
        local=local,
        spark=spark,
        latency_ms=LATENCY_MS,
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        machine="{cores} cores, {cpu}, {memory_gib} GiB, Python {python}".format_map(machine()),
        command=shlex.join(["python", "-m", "bench.speeds", *(sys.argv[1:] if arguments is None else arguments)]),
    )
    (ROOT / "conf" / "predictions.toml").write_text(text, encoding="utf-8")
    print("  -> conf/predictions.toml")


def measure_local(layout: str, size: int, *, runs: int) -> Measured:
    """Run a day through `makoto-batch run`, from the local S3 server and back to it."""
    name = f"local-{layout}-{size}"
    served = ("--folder", str(export_day(size))) if layout == "export" else ("--messages", str(size))
    command = (
        *(str(ROOT / ".venv" / "bin" / "makoto-batch"), "run", "--runner", "local", "--tenant", "acme", "--date", DAY),
        *("--layout", layout, "--input", f"s3://{BUCKET}", "--output", f"s3://{BUCKET}/lake", "--json"),
    )
    with empty_folder(name) as folder, running_server(*served, "--latency-ms", str(LATENCY_MS)) as server:
        temp = folder / "temp"
        temp.mkdir()
        env = {**server, **ledger_settings(folder), "TMPDIR": str(temp), "MAKOTO_FUNCTION_MEMORY_MB": FUNCTION_MB}
        with sample_bytes(temp) as samples:
            results = alternate([Contender(name, command)], runs=runs, env=env, logs="speeds")[name]
        env["MAKOTO_FUNCTION_MEMORY_MB"] = SMALLEST_MB
        (small,) = alternate([Contender(f"{name}-small", command)], runs=1, env=env, logs="speeds")[f"{name}-small"]
    return read_measured(replace(median(results), peak_mib=small.peak_mib), temp_bytes=max(samples))


def measure_spark(size: int, *, runs: int) -> Measured:
    """Run a day of exports through spark-submit, from a folder to a folder."""
    name = f"spark-export-{size}"
    with empty_folder(name) as folder:
        job = spark_job(source=str(export_day(size)), output=str(folder / "lake"), layout="export", name=name)
        # Spark's launcher prints more than the receipt to standard output.
        job = replace(job, command=(*job.command, "--receipt", str(folder / "receipt.json")))
        run = median(alternate([job], runs=runs, env=ledger_settings(folder), logs="speeds")[name])
        return read_measured(replace(run, report=json.loads((folder / "receipt.json").read_text())))


def read_measured(run: Run, *, temp_bytes: int = 0) -> Measured:
    """Return the figures of a run and of its receipt."""
    receipt = cast("Mapping[str, Any]", run.report)
    return Measured(
        objects=receipt["objects"]["listed"],
        messages=receipt["records"]["seen"],
        bytes=receipt["objects"]["bytes"],
        seconds=run.seconds,
        memory_bytes=int(run.peak_mib * 2**20),
        temp_bytes=temp_bytes,
        files=sum(table["files"] for table in receipt["tables"].values()),
        tables=len(receipt["tables"]),
    )


def count_objects_per_list(objects: int) -> float:
    """Return the objects per LIST: one LIST for the tenant, one per user, two per room (a day has two UTC folders)."""
    keys = [key.split("/") for key, _ in generate_objects(objects, seed=1)]
    users = {tuple(key[:3]) for key in keys}
    rooms = {tuple(key[:4]) for key in keys}
    return len(keys) / (1 + len(users) + 2 * len(rooms))


def measure_manifest(objects: int) -> float:
    """Return the bytes of the manifest for each object of a generated day."""
    etag = f'"{"0" * 32}"'
    now = int(datetime.now(UTC).timestamp() * 1_000_000)
    items = [SourceObject(key, len(body), etag, now) for key, body in generate_objects(objects, seed=1)]
    with TemporaryDirectory() as folder:
        return write_chunk(Path(folder), 0, items).stat().st_size / len(items)


@contextmanager
def empty_folder(name: str) -> Iterator[Path]:
    """Create an empty folder for the benchmark, and remove it afterwards."""
    folder = CACHE / "speeds" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def ledger_settings(folder: Path) -> dict[str, str]:
    """Return the settings for a new ledger, which knows no earlier run of the day."""
    return {"MAKOTO_LEDGER": str(folder / "ledger.sqlite")}


@contextmanager
def sample_bytes(folder: Path) -> Iterator[list[int]]:
    """Sample the bytes below a folder in a thread; unlinked files are not counted."""
    samples, done = [0], threading.Event()

    def sample() -> None:
        while not done.wait(SAMPLE_SECONDS):
            samples.append(count_bytes(folder))

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        done.set()
        thread.join()


def count_bytes(folder: Path) -> int:
    """Return the bytes of the files below a folder; a file that disappears meanwhile counts as zero."""
    total = 0
    for parent, _, names in os.walk(folder):  # unlike rglob, it treats a missing folder as empty
        for name in names:
            with suppress(OSError):
                total += (Path(parent) / name).stat().st_size
    return total


if __name__ == "__main__":
    main()
