"""Run all benchmarks, one after the other: `make bench`."""

from __future__ import annotations

import argparse

from bench import kernel, p1_exports, p2_objects, p3_crossover, p3_local, p4_growth, p5_start
from bench.measure import machine


def main() -> None:
    """Run P1 to P5."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="a tenth of the size, one run each: checks that everything works"
    )
    options = parser.parse_args()
    print("Benchmarks and their baselines:", ", ".join(f"{name} {value}" for name, value in machine().items()))
    print(
        "about 7 minutes" if options.quick else "about two hours on two cores; run nothing else meanwhile", flush=True
    )
    quick = options.quick
    kernel.main(["--runs", "1"] if quick else [])
    p1_exports.main(["--messages", "300000", "--runs", "1"] if quick else [])
    if not quick:
        p1_exports.main(["--messages", "10000000"])
    p2_objects.main(["--messages", "10000", "--s3a-messages", "500", "--runs", "1"] if quick else [])
    p3_local.main(["--quick"] if quick else [])
    p3_crossover.main(["--quick"] if quick else [])
    p4_growth.main(
        ["--messages", "30000", "100000", "300000", "--keys", "10000", "100000", "--runs", "1"] if quick else []
    )
    p5_start.main(["--runs", "1"] if quick else [])


if __name__ == "__main__":
    main()
