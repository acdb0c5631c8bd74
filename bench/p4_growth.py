"""P4: measure the cost per message as the day grows, and the cost per key of the manifest."""

from __future__ import annotations

import argparse
import json
import subprocess

from bench.job import PYTHON, export_day, spark_job
from bench.measure import CACHE, ROOT, alternate, median, save

SIZES = (1_000_000, 3_000_000, 10_000_000)
NEAR_EMPTY = 1_000
KEYS = (100_000, 1_000_000, 10_000_000)
TARGET_PER_TENFOLD = 1.05


def main(arguments: list[str] | None = None) -> None:
    """Run the job on days of growing size, then the manifest alone on growing listings."""
    parser = argparse.ArgumentParser(prog="python -m bench.p4_growth", description=__doc__)
    parser.add_argument("--messages", type=int, nargs="+", default=SIZES)
    parser.add_argument("--keys", type=int, nargs="+", default=KEYS)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args(arguments)
    print(
        f"P4: days of {', '.join(f'{size:,}' for size in options.messages)} messages, {options.runs} runs each",
        flush=True,
    )
    sizes = (NEAR_EMPTY, *options.messages)
    days = [
        spark_job(source=str(export_day(size)), output=str(CACHE / "out" / "p4"), layout="export", name=str(size))
        for size in sizes
    ]
    results = alternate(days, runs=options.runs, env={}, logs="p4")
    start = median(results[str(NEAR_EMPTY)]).seconds
    print(f"  a near-empty day ({NEAR_EMPTY:,} messages) takes {start:.1f} s")
    rows = []
    for size in options.messages:
        middle = median(results[str(size)])
        raw, net = middle.seconds / size * 1e6, (middle.seconds - start) / size * 1e6
        rows.append(
            {
                "messages": size,
                "seconds": middle.seconds,
                "us_raw": raw,
                "us_net": net,
                "cpu_us": middle.cpu_seconds / size * 1e6,
                "peak_mib": middle.peak_mib,
                "peak_mib_by_kind": middle.peak_mib_by_kind,
            }
        )
        print(
            f"  {size:>10,} messages  {raw:6.1f} us per message, {net:6.1f} without the start-up  {middle.describe()}"
        )
    print(f"  (target: a message costs at most {TARGET_PER_TENFOLD} times as much in a day ten times larger)")
    manifest = manifest_growth(options.keys, options.runs)
    save("p4", results=results, figures={"start_seconds": start, "messages": rows, "manifest": manifest})


def manifest_growth(keys: list[int], runs: int) -> object:
    """Run the manifest benchmark, each size in a fresh process."""
    print(f"  manifests of {', '.join(f'{count:,}' for count in keys)} keys …", flush=True)
    command = [PYTHON, "-m", "bench.growth_manifest", "--json", "--runs", str(runs), "--keys", *map(str, keys)]
    report = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    for row in report["results"]:
        figures = "  ".join(f"{name} {value:,.2f}" for name, value in row.items() if name != "keys")
        print(f"  {row['keys']:>12,.0f} keys  {figures}")
    return report


if __name__ == "__main__":
    main()
