"""P5: measure a function's start-up: the imports of each handler in a fresh interpreter.

python -m bench.p5_start --runs 5
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

from bench.measure import ROOT, machine, measure

# The first line of the guide's function.
GUIDE = "import boto3, pandas, pyarrow.parquet"
IMPORTS = {
    "interpreter alone": "",
    "dispatcher": "import lambda_trigger.dispatcher",
    "worker": "import lambda_trigger.worker",
    "watcher": "import lambda_trigger.watcher",
    "the guide's function": GUIDE,
}
REPORT_MEMORY = "import json, resource; print(json.dumps({'kib': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}))"


def main(arguments: list[str] | None = None) -> None:
    """Measure each import, and print seconds, memory, and seconds without the interpreter's start."""
    parser = argparse.ArgumentParser(prog="python -m bench.p5_start", description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args(arguments)
    print("P5, the start of a function:", ", ".join(f"{name} {value}" for name, value in machine().items()))
    results: dict[str, list[tuple[float, float]]] = {name: [] for name in IMPORTS}
    for number in range(options.runs + 1):
        for name, program in IMPORTS.items():
            run = measure(
                [sys.executable, "-c", f"{program}\n{REPORT_MEMORY}"],
                env={"PYTHONPATH": str(ROOT)},
                log=Path(ROOT / ".cache/bench/logs") / f"p5-{name.replace(' ', '-')}.log",
            )
            if number:  # the first run fills the file cache and compiles the modules
                results[name].append((run.seconds, float(str(run.report["kib"])) / 1024))
    base = statistics.median(seconds for seconds, _ in results["interpreter alone"])
    print(f"{'':22} seconds  of imports     MiB")
    for name, runs in results.items():
        seconds, mib = (statistics.median(values) for values in zip(*runs, strict=True))
        print(f"{name:22} {seconds:7.2f} {seconds - base:11.2f} {mib:7.0f}")


if __name__ == "__main__":
    main()
