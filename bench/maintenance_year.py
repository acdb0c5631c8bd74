"""Measure optimize, vacuum and erase on a year of days, by delta-rs and by delta-spark: seconds, CPU, memory, files."""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bench.measure import CACHE, machine, measure, save_figures
from daily_batch.domain.contract import TABLES
from tests.support.maintenance_days import Tenant
from tests.support.maintenance_year import PERSON, Kind, Year, make_old, make_year
from tests.support.spark_session import read_conf

OUT = CACHE / "out" / "maintenance-year"
COMMANDS: Mapping[str, Sequence[str]] = {
    "optimize": ("optimize",),
    "vacuum": ("vacuum", "--confirm"),
    "erase": ("erase", "--user", PERSON, "--confirm"),
}
# Every day is on Spark, or none.
ENGINES = {"delta-rs": {}, "delta-spark": {"MAKOTO_MAINTAIN_SPARK_BYTES": "1"}}


def main(arguments: list[str] | None = None) -> None:
    """Make each tenant's year once, and maintain a copy of it with each engine."""
    parser = argparse.ArgumentParser(prog="python -m bench.maintenance_year", description=__doc__)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--messages", type=int, nargs="+", default=[50, 2_000], help="messages of a day, by tenant")
    parser.add_argument("--large-day", type=int, default=1_000_000, help="messages of one day of the year")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="20 days, one of 20,000 messages; one run")
    options = parser.parse_args(arguments)
    if options.quick:
        options.days, options.messages, options.large_day, options.runs = 20, [50], 20_000, 1
    print(f"maintenance of {options.days} days, one of {options.large_day:,} messages, {options.runs} runs", flush=True)
    figures: dict[str, object] = {}
    for messages in options.messages:
        large = Kind(name="large", messages=options.large_day, buckets=8, person=True, characters=300)
        year = Year(days=options.days, messages=messages, large=large, large_days=(options.days // 2,))
        shutil.rmtree(OUT, ignore_errors=True)
        made = make_year(OUT / "made", year)
        for engine in options.engines:
            for run in range(options.runs):
                figures[f"{messages} {engine} {run}"] = _maintain(made, engine, messages=messages)
    shutil.rmtree(OUT)
    save_figures("maintenance-year-quick" if options.quick else "maintenance-year", {"machine": machine()} | figures)


def _maintain(made: Tenant, engine: str, *, messages: int) -> list[Mapping[str, object]]:
    """Run the commands one after the other on a copy; before the vacuum, all files become old."""
    tenant = replace(made, output=OUT / "copy")
    shutil.rmtree(tenant.output)
    shutil.copytree(made.output, tenant.output)
    measured: list[Mapping[str, object]] = []
    for command, arguments in COMMANDS.items():
        if command == "vacuum":
            make_old(tenant)
        before = _size(tenant)
        flags = [*arguments, "--tenant", "acme", "--output", str(tenant.output), "--json"]
        flags += ["--ledger", str(OUT / "ledger.sqlite")] if command == "erase" else []
        cpu = _cpu()
        env = {"PYTHONPATH": f"jobs{os.pathsep}.", **ENGINES[engine]}
        run = measure(_program(engine, flags), env=env, log=CACHE / "logs/maintenance-year" / f"{engine}-{command}.log")
        cpu, after = _cpu() - cpu, _size(tenant)
        print(
            f"  {messages:>6,} a day  {engine:<11} {command:<8} {run.seconds:7.1f} s  {cpu:7.1f} s CPU"
            f"  {run.peak_mib:6.0f} MiB  {before[0]:>6,} to {after[0]:>6,} files"
            f"  {before[1] / 2**20:7.1f} to {after[1] / 2**20:7.1f} MiB",
            flush=True,
        )
        figures = {"seconds": run.seconds, "cpu": cpu, "peak_mib": run.peak_mib, "before": before, "after": after}
        measured.append({"command": command, **figures})
    (OUT / "ledger.sqlite").unlink()
    return measured


def _program(engine: str, flags: Sequence[str]) -> list[str]:
    if engine == "delta-rs":
        return [sys.executable, "-m", "daily_batch", *flags]
    conf = {**read_conf(), "spark.master": "local[2]", "spark.driver.memory": "4g"}
    options = [word for name, value in conf.items() for word in ("--conf", f"{name}={value}")]
    return [str(Path(sys.executable).with_name("spark-submit")), *options, "jobs/maintain_tables.py", *flags]


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _size(tenant: Tenant) -> tuple[int, int]:
    """Return the number of data files of all tables, live or not, and their bytes."""
    sizes = [path.stat().st_size for table in TABLES for path in (tenant.root / table.name).glob("date=*/*.parquet")]
    return len(sizes), sum(sizes)


if __name__ == "__main__":
    main()
