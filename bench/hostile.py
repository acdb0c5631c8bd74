"""Hostile text through the whole map: seconds and memory of each shape, every one in a process of its own."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

from bench.measure import ROOT, machine, save_figures
from tests.support.recovery_shapes import BUILD

# Shapes and the map around them are those of the tests, which bound counts and memory but no seconds.
MEBIBYTES = 16
FIGURES = ("seconds", "cpu_seconds", "peak_mib", "rejects")
AIM_SECONDS, AIM_MIB = 60, 1_024


def main(arguments: list[str] | None = None) -> None:
    """Run each shape once and print its figures, a star behind those that miss the aim."""
    parser = argparse.ArgumentParser(prog="python -m bench.hostile", description=__doc__)
    parser.add_argument("--mib", type=float, default=MEBIBYTES, help="of text in each shape (default: %(default)s)")
    parser.add_argument(
        "--shapes", nargs="+", choices=list(BUILD), metavar="SHAPE", help=f"some of: {', '.join(BUILD)}"
    )
    options = parser.parse_args(arguments)
    print(
        f"Hostile text, {options.mib:g} MiB a shape:", ", ".join(f"{name} {value}" for name, value in machine().items())
    )
    print(f"{'':36} seconds      CPU     MiB    rejects  us of CPU a reject")
    figures = {}
    for shape in options.shapes or BUILD:
        told = figures[shape] = _run(shape, int(options.mib * 2**20))
        seconds, cpu, mib, rejects = (told[name] for name in FIGURES)
        each = f"{cpu / rejects * 1e6:19.1f}" if rejects > 1 else ""
        missed = " *" if seconds > AIM_SECONDS or mib > AIM_MIB else ""
        print(f"{shape:36} {seconds:7.1f} {cpu:8.1f} {mib:7.0f} {rejects:10,}{each}{missed}", flush=True)
    print(f"aim: at most {AIM_SECONDS} s and {AIM_MIB:,} MiB")
    save_figures("hostile", {"machine": machine(), "mib": options.mib, "shapes": figures})


def _run(shape: str, size: int) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.support.adversarial_map", str(size), shape]
    paths = {"PYTHONPATH": str(ROOT / "jobs")}
    told = json.loads(subprocess.run(command, cwd=ROOT, env=paths, stdout=subprocess.PIPE, check=True).stdout)
    return {name: told[name] for name in FIGURES}


if __name__ == "__main__":
    main()
