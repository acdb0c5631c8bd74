"""Build the contenders' commands, as a user runs them, and the days that they process."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from bench.measure import CACHE, ROOT, Contender
from tests.support.spark_session import read_conf

DAY = "2025-08-12"
CORES = "local[2]"
DRIVER_MEMORY = "4g"
PYTHON = str(Path(sys.executable))
SUBMIT = str(ROOT / ".venv" / "bin" / "spark-submit")
# The baselines have the job's own Delta, from the jars that `make setup` has fetched: no run resolves anything.
DELTA = {name: read_conf()[name] for name in ("spark.jars", "spark.sql.extensions", "spark.sql.catalog.spark_catalog")}


def export_day(messages: int, *, clean: bool = False, files: int = 32, seed: int = 1) -> Path:
    """Return the folder of a generated export, which is written once and reused: the generator is deterministic.

    The day has the generator's default rates of drift and faults, unless `clean`. Only records with a duplicate key are
    omitted, because one of them makes baseline A fail with COLUMN_ALREADY_EXISTS.
    """
    from daily_batch.synthetic import FaultRates, generate

    folder = CACHE / f"export-{messages}-{files}-{seed}{'-clean' if clean else ''}"
    finished = folder / "made"
    if not finished.exists():
        print(f"  generating {messages:,} messages in {files} gzip files …", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        generate(
            messages=messages,
            layout="export",
            seed=seed,
            out=folder / "data",
            rates=FaultRates.none() if clean else FaultRates(duplicate_key=0.0),
            files=files,
            workers=os.cpu_count() or 1,
        )
        finished.touch()
    return folder / "data"


def spark_job(*, source: str, output: str, layout: str, name: str = "ours") -> Contender:
    """Return the project's Spark job as a contender, run through its public interface."""
    command = (
        *(SUBMIT, "--properties-file", "conf/spark/local.conf", "--master", CORES, "--driver-memory", DRIVER_MEMORY),
        *("jobs/daily_messages.py", "--tenant", "acme", "--date", DAY, "--layout", layout),
        *("--input", source, "--output", output, "--json"),
    )
    return Contender(name, command, partial(remove_output, output))


def spark_baseline(
    name: str, script: str, *arguments: str, output: str, jars: str = "", conf: Mapping[str, str] | None = None
) -> Contender:
    """Return a baseline run by spark-submit: the same cores and memory, otherwise Spark's and Delta's defaults.

    Args:
        jars: A pattern of further jars on this machine.
        conf: Further settings of Spark.
    """
    settings = {**DELTA, **(conf or {}), "spark.jars": ",".join(filter(None, (DELTA["spark.jars"], jars)))}
    command = (
        *(SUBMIT, "--master", CORES, "--driver-memory", DRIVER_MEMORY),
        *(word for key, value in settings.items() for word in ("--conf", f"{key}={value}")),
        *(f"bench/{script}", *arguments),
    )
    return Contender(name, command, partial(remove_output, output))


def python_baseline(name: str, script: str, *arguments: str, output: str) -> Contender:
    """Return a baseline that runs as one Python process."""
    return Contender(name, (PYTHON, f"bench/{script}", *arguments), partial(remove_output, output))


def remove_output(output: str) -> None:
    """Remove an earlier run's output and flush the disk before the next run is timed."""
    if "://" not in output:
        shutil.rmtree(output, ignore_errors=True)
    os.sync()
