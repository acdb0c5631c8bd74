"""P3, crossover: run exported days of growing size on the local runner and on Spark; find the crossover."""

from __future__ import annotations

import argparse
from itertools import pairwise
from math import exp, log

from bench.job import export_day, spark_job
from bench.measure import CACHE, alternate, median, save
from bench.p3_local import AS_FUNCTION, local_job

SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000)


def main(arguments: list[str] | None = None) -> None:
    """Run both on each size and print the size from which Spark is faster."""
    parser = argparse.ArgumentParser(prog="python -m bench.p3_crossover", description=__doc__)
    parser.add_argument("--messages", type=int, nargs="+", default=SIZES)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="the three smallest sizes, one run each")
    options = parser.parse_args(arguments)
    if options.quick:
        options.messages, options.runs = sorted(options.messages)[:3], 1
    print(f"P3: the local runner and Spark, {options.runs} runs each", flush=True)
    out = CACHE / "out" / "p3"
    contenders = [
        make(source=str(export_day(size)), output=str(out / name), layout="export", name=f"{name}-{size}")
        for size in options.messages
        for name, make in (("local", local_job), ("spark", spark_job))
    ]
    results = alternate(contenders, runs=options.runs, env=AS_FUNCTION, logs="p3-crossover")
    rows = []
    for size in options.messages:
        local, spark = (median(results[f"{name}-{size}"]) for name in ("local", "spark"))
        rows.append({"messages": size, "local_seconds": local.seconds, "spark_seconds": spark.seconds})
        memory = f"{local.peak_mib:6.0f} MiB and {spark.peak_mib:6.0f} MiB"
        print(f"  {size:>10,} messages  local {local.seconds:7.1f} s  Spark {spark.seconds:7.1f} s  {memory}")
    crossover = find_crossover([(row["messages"], row["local_seconds"], row["spark_seconds"]) for row in rows])
    print(f"  crossover at {crossover:,.0f} messages" if crossover else "  no crossover within these sizes")
    save("p3-crossover", results=results, figures={"sizes": rows, "meet_at": crossover})


def find_crossover(rows: list[tuple[float, float, float]]) -> float | None:
    """Return the size at which both take equally long, interpolated on a logarithmic scale, or None."""
    for (size, local_before, spark_before), (larger, local_after, spark_after) in pairwise(rows):
        before, after = spark_before - local_before, spark_after - local_after
        if before > 0 >= after:
            return exp(log(size) + (log(larger) - log(size)) * before / (before - after))
    return None


if __name__ == "__main__":
    main()
