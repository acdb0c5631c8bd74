"""Measure a day of 100,000 rooms of which one has a million messages, beside days with smaller largest rooms.

All days have as many messages and rooms, so a run that does more than sort a huge room takes more CPU per message.
The local runner runs as in a function of 3,008 MB, Spark with a driver of 4 GiB on two cores.

    python -m bench.growth_rooms [--messages 2000000] [--rooms 100000] [--huge 0 250000 1000000] [--runs 3]
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

from bench.job import spark_job
from bench.measure import CACHE, Contender, Run, alternate, median, save
from bench.p3_local import AS_FUNCTION, local_job
from bench.skewed_day import SkewedDay, write_day

RUNNERS = {"local": local_job, "spark": spark_job}


def main(arguments: list[str] | None = None) -> None:
    """Run each day on both runners in turn, and check and print what they did."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.growth_rooms", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=2_000_000)
    parser.add_argument("--rooms", type=int, default=100_000, help="rooms besides the huge one")
    parser.add_argument(
        "--huge", type=int, nargs="+", default=(0, 250_000, 1_000_000), help="messages of the huge room"
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=tuple(RUNNERS), default=tuple(RUNNERS))
    options = parser.parse_args(arguments)
    print(f"rooms: {options.messages:,} messages in {options.rooms:,} rooms, {options.runs} runs each", flush=True)
    days: dict[str, SkewedDay] = {}
    contenders: list[Contender] = []
    for huge in options.huge:
        day = SkewedDay(messages=options.messages, huge=huge, rooms=options.rooms)
        source = str(write_day(day, CACHE))
        for runner in options.only:
            name = f"{runner}-{huge}"
            output = str(CACHE / "out" / "rooms" / name)
            contenders.append(replace(RUNNERS[runner](source=source, output=output, layout="export"), name=name))
            days[name] = day
    results = alternate(contenders, runs=options.runs, env=AS_FUNCTION, logs="rooms")
    figures = {}
    for name, runs in results.items():
        middle = median(runs)
        check(days[name], middle)
        cpu_us = middle.cpu_seconds / options.messages * 1e6
        print(f"  median {name:<14} {middle.describe()}  {cpu_us:6.1f} CPU us per message")
        figures[name] = {"cpu_us_per_message": cpu_us, **days[name].expected()}
    save(f"rooms-{options.messages}-{options.rooms}", results=results, figures=figures)


def check(day: SkewedDay, run: Run) -> None:
    """Raise if the run's receipt does not count what the day holds."""
    report: Any = run.report
    (receipt,) = report["receipts"]
    counted = {name: receipt["records"][name] for name in ("written", "duplicates", "superseded")}
    counted |= {name: receipt["tables"][name]["rows"] for name in ("turns", "rooms_daily")}
    if counted != day.expected():
        raise AssertionError(f"counted {counted}, expected {day.expected()}")


if __name__ == "__main__":
    main()
