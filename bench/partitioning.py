"""Measure layouts of the tables: a year by day, by month and unpartitioned; the files, and the questions in DuckDB."""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from deltalake import DeltaTable, WriterProperties, write_deltalake

from bench.measure import CACHE, machine, save_figures
from daily_batch import run_day
from daily_batch.domain.calendar import days_between
from daily_batch.domain.contract import TABLES
from daily_batch.pipeline.transform.write import ROW_GROUP
from daily_batch.settings import load_settings
from daily_batch.synthetic import FaultRates, generate
from tests.support.reading.page import blocks_below, questions

TENANT = "acme"
# The dates that the questions ask for lie in both ranges; the short one crosses the end of a month.
YEAR = (date(2025, 1, 1), date(2025, 12, 31))
QUICK = (date(2025, 7, 14), date(2025, 8, 18))
RERUN = date(2025, 8, 12)
# Column by which a layout is partitioned.
LAYOUTS: Mapping[str, str | None] = {"by day": "date", "by month": "month", "unpartitioned": None}
FIRST = 10
OUT = CACHE / "out" / "partitioning"


@dataclass
class Measured:
    """A layout's files, and what each run took: milliseconds to open all tables and for each question."""

    files: int
    bytes: int
    rerun_bytes: int
    opening: list[float] = field(default_factory=list)
    asking: dict[str, list[float]] = field(default_factory=dict)
    files_read: dict[str, int] = field(default_factory=dict)

    def total(self, headings: Sequence[str]) -> float:
        """Return the sum of the questions' medians."""
        return sum(statistics.median(self.asking[heading]) for heading in headings)


def main(arguments: list[str] | None = None) -> None:
    """Measure each tenant's layouts in turn, and print their figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.partitioning", description=__doc__)
    parser.add_argument("--messages", type=int, nargs="+", default=[50, 20_000], help="messages of a day, by tenant")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="36 days, a tenth of the large tenant, one run")
    options = parser.parse_args(arguments)
    first, last = QUICK if options.quick else YEAR
    if options.quick:
        options.messages, options.runs = [50, 2_000], 1
    days = tuple(days_between(first, last, max_days=366))
    print(f"partitioning: {len(days)} days, {options.runs} runs", flush=True)
    tenants = {f"{messages}": measure_tenant(messages, days, runs=options.runs) for messages in options.messages}
    figures = {"machine": machine(), "days": len(days), "messages_a_day": tenants}
    save_figures("partitioning-quick" if options.quick else "partitioning", figures)


def measure_tenant(messages: int, days: Sequence[date], *, runs: int) -> Mapping[str, object]:
    """Return the figures of each layout of a tenant's tables.

    Layouts take turns, each run with a DuckDB of its own. All must give the same answers.
    """
    tables = {"by day": make_days(messages, days)}
    tables |= {name: rewrite(tables["by day"], name, column) for name, column in LAYOUTS.items() if name != "by day"}
    measured = {name: _describe(folder, LAYOUTS[name]) for name, folder in tables.items()}
    headings = questions()
    for _ in range(runs):
        answers = [_ask(tables[name], headings, measured[name]) for name in LAYOUTS]
        if any(answer != answers[0] for answer in answers):
            wrong = [
                heading for heading in headings if any(answer[heading] != answers[0][heading] for answer in answers)
            ]
            sys.exit(f"the layouts answer differently: {wrong}")
    for name, layout in measured.items():
        print(f"  {messages:>6,} messages a day, {name:<13} {_summary(layout, headings)}", flush=True)
    return {name: _figures(layout, headings) for name, layout in measured.items()}


def make_days(messages: int, days: Sequence[date]) -> Path:
    """Generate and process each day as the product does, and return the folder of its tables."""
    print(f"  processing {len(days)} days of {messages:,} messages …", flush=True)
    shutil.rmtree(OUT, ignore_errors=True)
    # Every day has rejects, so that no layout has an empty table.
    rates = FaultRates(invalid_json=0.02)
    source, output = OUT / "in", OUT / "by-day"
    for seed, day in enumerate(days):
        generate(
            messages=messages, layout="export", seed=seed, out=source, tenant=TENANT, day=day, rates=rates, files=1
        )
        run_day(TENANT, day, input=source, output=output, runner="local")
        shutil.rmtree(source)
    return output / TENANT / "analytics"


def rewrite(tables: Path, name: str, column: str | None) -> Path:
    """Write all tables in another layout, compacted to files of the usual size: the best that the layout can be."""
    folder = OUT / name.replace(" ", "-")
    properties = WriterProperties(compression="ZSTD", compression_level=1, max_row_group_size=ROW_GROUP)
    size = load_settings(flags={}, environ={}).target_file_bytes
    month = ", strftime(date, '%Y-%m') AS month" if column else ""
    with closing(_connect()) as db:
        for table in TABLES:
            files = sorted(DeltaTable(str(tables / table.name)).file_uris())
            # In the order of days, and within a day as the product sorts.
            rows: Any = db.read_parquet(files, hive_partitioning=True).query("rows", f"SELECT *{month} FROM rows")
            write_deltalake(
                str(folder / table.name),
                rows.to_arrow_reader(ROW_GROUP),
                partition_by=[column] if column else None,
                target_file_size=size,
                writer_properties=properties,
            )
    return folder


def _connect() -> duckdb.DuckDBPyConnection:
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")
    return db


def _describe(folder: Path, column: str | None) -> Measured:
    """Count the files of all tables, and the bytes of those that hold a row of one day: its rerun rewrites them."""
    wanted = {"date": RERUN.isoformat(), "month": f"{RERUN:%Y-%m}"}
    found = Measured(0, 0, 0)
    for table in TABLES:
        actions = DeltaTable(str(folder / table.name)).get_add_actions(flatten=True)
        for file in pa.table(actions).to_pylist():
            low, high = (file.get(f"partition.{column}", file.get(f"{end}.date")) for end in ("min", "max"))
            day = wanted[column or "date"]
            found.files += 1
            found.bytes += file["size_bytes"]
            found.rerun_bytes += file["size_bytes"] if str(low) <= day <= str(high) else 0
    return found


def _ask(folder: Path, headings: Sequence[str], measured: Measured) -> Mapping[str, object]:
    """Open the tables as docs/reading.md does, ask each question, and return the answers."""
    answers = {}
    with closing(_connect()) as db:
        with _timed(measured.opening):
            for table in TABLES:
                files = DeltaTable(str(folder / table.name)).file_uris()
                db.read_parquet(files, hive_partitioning=True).create_view(table.name)
        for heading in headings:
            sql = blocks_below(heading)["DuckDB"].code
            with _timed(measured.asking.setdefault(heading, [])):
                rows = db.execute(sql).fetchall()
            # Files of one name in one message come in any order.
            answers[heading] = sorted(map(repr, rows))
            measured.files_read.setdefault(heading, _count_files_read(db, sql))
    return answers


@contextmanager
def _timed(into: list[float]) -> Iterator[None]:
    started = time.perf_counter()
    yield
    into.append((time.perf_counter() - started) * 1000)


def _count_files_read(db: duckdb.DuckDBPyConnection, sql: str) -> int:
    ((_, plan),) = db.execute(f"EXPLAIN ANALYZE {sql}").fetchall()
    return sum(map(int, re.findall(r"Total Files Read: (\d+)", plan)))


def _summary(layout: Measured, headings: Sequence[str]) -> str:
    size, rewritten = layout.bytes / 2**20, layout.rerun_bytes / 2**20
    opening, ten, all_of_them = (
        statistics.median(layout.opening),
        layout.total(headings[:FIRST]),
        layout.total(headings),
    )
    return (
        f"{layout.files:>5} files  {size:8.1f} MiB  a rerun rewrites {rewritten:7.2f} MiB"
        f"  open {opening:6.0f} ms  first ten {ten:7.0f} ms  all {all_of_them:7.0f} ms"
    )


def _figures(layout: Measured, headings: Sequence[str]) -> Mapping[str, object]:
    return {
        "files": layout.files,
        "bytes": layout.bytes,
        "rerun_bytes": layout.rerun_bytes,
        "open_ms": statistics.median(layout.opening),
        "first_ten_ms": layout.total(headings[:FIRST]),
        "all_ms": layout.total(headings),
        "questions": {
            heading: {"ms": statistics.median(layout.asking[heading]), "files_read": layout.files_read[heading]}
            for heading in headings
        },
    }


if __name__ == "__main__":
    main()
