"""Measure the map on adversarial text: seconds and memory of each shape, each in its own process."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

from bench.measure import ROOT, machine, save_figures
from tests.support.recovery_shapes import BUILD

# The shapes and the map program are those of the tests, which bound counts and memory but not seconds.
MEBIBYTES = 16
FIGURES = ("seconds", "cpu_seconds", "peak_mib", "rejects")
TARGET_SECONDS, TARGET_MIB = 60, 1_024


def main(arguments: list[str] | None = None) -> None:
    """Run each shape once and print its figures, with a star if it misses the target."""
    parser = argparse.ArgumentParser(prog="python -m bench.hostile", description=__doc__)
    parser.add_argument(
        "--mib", type=float, default=MEBIBYTES, help="size of each shape's text, MiB (default: %(default)s)"
    )
    parser.add_argument(
        "--shapes", nargs="+", choices=list(BUILD), metavar="SHAPE", help=f"some of: {', '.join(BUILD)}"
    )
    options = parser.parse_args(arguments)
    print(
        f"Adversarial text, {options.mib:g} MiB per shape:",
        ", ".join(f"{name} {value}" for name, value in machine().items()),
    )
    print(f"{'':36} seconds      CPU     MiB    rejects  CPU us per reject")
    figures = {}
    for shape in options.shapes or BUILD:
        report = figures[shape] = _run(shape, int(options.mib * 2**20))
        seconds, cpu, mib, rejects = (report[name] for name in FIGURES)
        per_reject = f"{cpu / rejects * 1e6:19.1f}" if rejects > 1 else ""
        missed = " *" if seconds > TARGET_SECONDS or mib > TARGET_MIB else ""
        print(f"{shape:36} {seconds:7.1f} {cpu:8.1f} {mib:7.0f} {rejects:10,}{per_reject}{missed}", flush=True)
    print(f"target: at most {TARGET_SECONDS} s and {TARGET_MIB:,} MiB")
    save_figures("hostile", {"machine": machine(), "mib": options.mib, "shapes": figures})


def _run(shape: str, size: int) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.support.adversarial_map", str(size), shape]
    paths = {"PYTHONPATH": str(ROOT / "jobs")}
    report = json.loads(subprocess.run(command, cwd=ROOT, env=paths, stdout=subprocess.PIPE, check=True).stdout)
    return {name: report[name] for name in FIGURES}


if __name__ == "__main__":
    main()
