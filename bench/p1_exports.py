"""P1: process an exported day of millions of messages to deduplicated, sorted Delta; compare with Spark and DuckDB."""

from __future__ import annotations

import argparse

from bench.job import export_day, python_baseline, spark_baseline, spark_job
from bench.measure import CACHE, alternate, median, save

# Messages -> targets: times the speed of plain Spark, and of DuckDB alone.
TARGETS = {3_000_000: (2.0, 0.45), 10_000_000: (2.3, 0.6)}


def main(arguments: list[str] | None = None) -> None:
    """Run the three contenders in turn and print medians and ratios."""
    parser = argparse.ArgumentParser(prog="python -m bench.p1_exports", description=__doc__)
    parser.add_argument("--messages", type=int, default=3_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--clean", action="store_true", help="a day without drift, faults or duplicates")
    parser.add_argument("--only", nargs="+", choices=("ours", "spark", "duckdb"), default=("ours", "spark", "duckdb"))
    options = parser.parse_args(arguments)
    print(f"P1: {options.messages:,} messages in 32 gzip files, 2 cores, {options.runs} runs each", flush=True)
    data, out = export_day(options.messages, clean=options.clean), CACHE / "out"
    exports = str(data / "acme" / "exports" / "messages" / "2025" / "08" / "12")
    contenders = (
        spark_job(source=str(data), output=str(out / "ours"), layout="export"),
        spark_baseline("spark", "baseline_spark.py", exports, str(out / "spark"), output=str(out / "spark")),
        python_baseline("duckdb", "baseline_duckdb.py", exports, str(out / "duckdb"), "2", output=str(out / "duckdb")),
    )
    chosen = [contender for contender in contenders if contender.name in options.only]
    results = alternate(chosen, runs=options.runs, env={}, logs="p1")
    seconds = {name: median(runs).seconds for name, runs in results.items()}
    figures: dict[str, object] = {"messages": options.messages, "median_seconds": seconds}
    targets = TARGETS.get(options.messages, TARGETS[3_000_000])
    for name, target in zip(("spark", "duckdb"), targets, strict=True):
        if {"ours", name} <= seconds.keys():
            ratio = figures[f"speed_against_{name}"] = seconds[name] / seconds["ours"]
            print(f"  {ratio:.2f} times the speed of {name} (target: at least {target})")
    for name, runs in results.items():
        middle = median(runs)
        rate = options.messages / middle.seconds
        print(f"  median {name:<8} {rate:10,.0f} messages/s  {middle.describe()}")
    save(f"p1-{options.messages}", results=results, figures=figures)


if __name__ == "__main__":
    main()
