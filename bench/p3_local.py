"""P3: process a day in a function of 3,008 MB without Spark; compare with DuckDB alone and with the guide's method.

The guide's method reads one GET or file at a time into a list of dicts, then writes Parquet with pandas.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from functools import partial

from bench.job import DAY, PYTHON, export_day, python_baseline, remove_output
from bench.measure import CACHE, Contender, Run, alternate, median, save
from bench.s3_server import BUCKET, running_server

EXPORTS = (100_000, 1_000_000)
OBJECTS = 100_000
GUIDE_OBJECTS = 5_000
FUNCTION_MIB = 3_008
TARGET_SPEED, TARGET_MEMORY = 10, 0.25
# Targets for a million exported messages: times the speed of DuckDB alone and of the guide's method.
TARGET_DUCKDB, TARGET_EXPORT_SPEED = 0.7, 5
EXPORT_PREFIX = "acme/exports/messages/2025/08/12"
# Lambda sets this variable to the function's memory size; the runner sizes its workers by it.
MEMORY = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"
AS_FUNCTION = {MEMORY: str(FUNCTION_MIB)}


def main(arguments: list[str] | None = None) -> None:
    """Run exports of each size, then objects behind the local S3 server, each with the guide's method."""
    parser = argparse.ArgumentParser(prog="python -m bench.p3_local", description=__doc__)
    parser.add_argument("--exports", type=int, nargs="*", default=EXPORTS, help="messages of each exported day")
    parser.add_argument("--objects", type=int, default=OBJECTS, help="number of objects; 0: none")
    parser.add_argument(
        "--guide-objects",
        type=int,
        default=GUIDE_OBJECTS,
        help="objects that the guide's method reads; the rest is extrapolated",
    )
    parser.add_argument("--function-mib", type=int, default=FUNCTION_MIB, help="reported memory of the function, MiB")
    parser.add_argument("--latency-ms", type=float, default=20.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a tenth of the size, one run")
    options = parser.parse_args(arguments)
    if options.quick:
        options.exports, options.runs = [size // 10 for size in options.exports], 1
        options.objects, options.guide_objects = options.objects // 10, options.guide_objects // 10
    results: dict[str, list[Run]] = {}
    figures: dict[str, object] = {"function_mib": options.function_mib}
    peaks: dict[int, float] = {}
    for size in options.exports:
        print(f"P3: an export of {size:,} messages, {options.runs} runs each", flush=True)
        found = run_export(size, runs=options.runs, memory_mib=options.function_mib)
        peaks[size] = median(found["guide"]).peak_mib
        figures[f"export-{size}"] = compare(found, messages=size, guide_messages=size, guide_peak_mib=peaks[size])
        results |= {f"export-{size}-{name}": runs for name, runs in found.items()}
    if options.objects:
        print(
            f"P3: {options.objects:,} objects, {options.latency_ms:g} ms per request, {options.runs} runs each",
            flush=True,
        )
        found = run_objects(options)
        figures[f"objects-{options.objects}"] = compare(
            found,
            messages=options.objects,
            guide_messages=min(options.guide_objects, options.objects),
            # Its list of dicts is the same for objects and for an export.
            guide_peak_mib=peaks.get(options.objects),
        )
        results |= {f"objects-{options.objects}-{name}": runs for name, runs in found.items()}
    save(f"p3-{options.function_mib}", results=results, figures=figures)


def run_export(size: int, *, runs: int, memory_mib: int) -> dict[str, list[Run]]:
    """Run ours, DuckDB alone and the guide's method on one exported day."""
    data, out = export_day(size), CACHE / "out" / "p3"
    exports = str(data / EXPORT_PREFIX)
    contenders = (
        local_job(source=str(data), output=str(out / "ours"), layout="export"),
        python_baseline("duckdb", "baseline_duckdb.py", exports, str(out / "duckdb"), "2", output=str(out / "duckdb")),
        python_baseline(
            "guide", "baseline_guide.py", str(data), EXPORT_PREFIX, str(out / "guide"), output=str(out / "guide")
        ),
    )
    return alternate(contenders, runs=runs, env={MEMORY: str(memory_mib)}, logs=f"p3-export-{size}")


def run_objects(options: argparse.Namespace) -> dict[str, list[Run]]:
    """Run ours on all objects with output to the server, and the guide's method on some with output to the disk."""
    guide_out = str(CACHE / "out" / "p3" / "guide")
    with running_server("--messages", str(options.objects), "--latency-ms", str(options.latency_ms)) as env:
        contenders = (
            local_job(source=f"s3://{BUCKET}", output=f"s3://{BUCKET}/lake", layout="messages"),
            python_baseline(
                *("guide", "baseline_guide.py", BUCKET, "acme/chat/", guide_out, str(options.guide_objects)),
                output=guide_out,
            ),
        )
        return alternate(
            contenders,
            runs=options.runs,
            env=env | {MEMORY: str(options.function_mib)},
            logs=f"p3-objects-{options.objects}",
        )


def local_job(*, source: str, output: str, layout: str, name: str = "ours") -> Contender:
    """Return the project's local runner as a contender, run through its public interface."""
    command = (
        *(PYTHON, "-m", "daily_batch", "run", "--runner", "local", "--tenant", "acme", "--date", DAY),
        *("--layout", layout, "--input", source, "--output", output, "--json"),
    )
    return Contender(name, command, partial(remove_output, output))


def compare(
    results: Mapping[str, list[Run]], *, messages: int, guide_messages: int, guide_peak_mib: float | None
) -> dict[str, object]:
    """Print and return the medians and their ratios; the guide's seconds are scaled to the same number of messages.

    Args:
        guide_peak_mib: Memory that the guide's method needed for as many messages, if it was measured.
    """
    ours, guide = median(results["ours"]), median(results["guide"])
    variable = float(str(guide.report["seconds"]))  # without the start-up
    guide_seconds = guide.seconds - variable + variable / guide_messages * messages
    note = "" if messages == guide_messages else f" (extrapolated from {guide.seconds:.1f} s for {guide_messages:,})"
    rate = f"{messages / ours.seconds:10,.0f} messages/s"
    print(f"  median ours   {ours.seconds:8.1f} s  {rate}  {ours.peak_mib:6.0f} MiB")
    print(f"  median guide  {guide_seconds:8.1f} s{note}  {guide.peak_mib:6.0f} MiB")
    speed = guide_seconds / ours.seconds
    target = TARGET_EXPORT_SPEED if "duckdb" in results else TARGET_SPEED
    print(f"  {speed:.2f} times the guide's speed (target with {max(EXPORTS):,} or with objects: at least {target})")
    against_duckdb = None
    if "duckdb" in results:
        duckdb = median(results["duckdb"])
        against_duckdb = duckdb.seconds / ours.seconds
        print(f"  median duckdb {duckdb.seconds:8.1f} s  {duckdb.peak_mib:6.0f} MiB, unbounded")
        print(f"  {against_duckdb:.2f} times the speed of DuckDB alone (target with {max(EXPORTS):,}: {TARGET_DUCKDB})")
    memory = ours.peak_mib / guide_peak_mib if guide_peak_mib else None
    if memory:
        print(
            f"  {memory:.2f} of the memory of the guide's method for as many messages (target: at most {TARGET_MEMORY})"
        )
    return {
        "seconds": ours.seconds,
        "peak_mib": ours.peak_mib,
        "guide_seconds": guide_seconds,
        "guide_messages": guide_messages,
        "guide_peak_mib": guide_peak_mib,
        "speed_against_guide": speed,
        "speed_against_duckdb": against_duckdb,
        "memory_against_guide": memory,
    }


if __name__ == "__main__":
    main()
