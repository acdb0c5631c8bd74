"""Run a tenant-day in this or another process, and read its tables as rows that can be compared."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from itertools import count
from pathlib import Path
from typing import Any

import deltalake
import pyarrow as pa
import pyarrow.dataset

from daily_batch.domain.contract import TABLES, Table
from daily_batch.domain.receipt import Receipt
from daily_batch.domain.request import Request
from daily_batch.domain.url import parse_url
from daily_batch.pipeline.discover.discover import open_storage
from daily_batch.pipeline.process_day import process_day
from daily_batch.pipeline.publish.publisher import DayPublisher
from daily_batch.pipeline.runners.base import Progress, Runner
from daily_batch.pipeline.runners.local import LocalRunner
from daily_batch.settings import load_settings
from daily_batch.storage.stores import delta_location
from daily_batch.telemetry import Telemetry
from tests.support.spark_session import ROOT

DAY = date(2025, 8, 12)
NOW = datetime(2025, 8, 12, 17, 0, tzinfo=UTC)  # 02:00 JST of the 13th, when the schedule runs
SAMPLES = ROOT / "samples"
# Columns that differ between two runs of the same day.
RUN_COLUMNS = ("run_id", "processed_at")

Row = dict[str, Any]
Tables = dict[str, list[Row]]

# Accept any share of rejected records and unreadable objects.
NO_LIMITS = {"max_reject_ratio": 1.0, "max_unreadable_ratio": 1.0}

_runs = count(1)


def silent(stage: str, done: int, total: int, unit: str) -> None:
    """Ignore progress."""


def run_day_with(
    runner: Runner,
    *,
    input: Path | str,  # noqa: A002 - the flag's name
    output: Path | str,
    tenant: str = "acme",
    day: date = DAY,
    layout: str = "auto",
    table_format: str = "delta",
    options: Mapping[str, str] | None = None,
    progress: Progress = silent,
    telemetry: Telemetry | None = None,
    allow_shrink: str = "",
    **settings: object,
) -> Receipt:
    """Run one tenant-day on a runner.

    Args:
        options: Storage options.
        settings: Settings by name (docs/settings.md). The limits on rejects and unreadable objects are off by default,
            because ratios mean nothing for a few records.
    """
    request = Request(
        tenant=tenant,
        day=day,
        input=parse_url(str(input)),
        output=parse_url(str(output)),
        layout=layout,  # type: ignore[arg-type]
        table_format=table_format,  # type: ignore[arg-type]
        allow_shrink=allow_shrink,
    )
    loaded = load_settings(flags={**NO_LIMITS, **settings, "storage_options": dict(options or {})}, environ={})
    run_id = f"run-{next(_runs):04d}"
    publisher = DayPublisher.snapshot(request, open_storage(request, loaded))
    return process_day(
        request, loaded, runner, publisher, run_id=run_id, now=NOW, progress=progress, telemetry=telemetry
    )


def run_local(**arguments: Any) -> Receipt:
    """Run one tenant-day on the local runner; see `run_day_with`."""
    return run_day_with(LocalRunner(), **arguments)


def read_tables(
    output: Path | str,
    *,
    tenant: str = "acme",
    table_format: str = "delta",
    day: date | None = DAY,
    options: Mapping[str, str] | None = None,
) -> Tables:
    """Return each table's rows in a fixed order, of one day or all, without the columns that differ between runs.

    Raises:
        AssertionError: A column that is never null has a null.
    """
    tables = {}
    for table in TABLES:
        rows = _read(f"{output}/{tenant}/analytics/{table.name}", table_format, day, options or {})
        assert find_nulls(rows, table) == [], table.name
        tables[table.name] = comparable(rows, table.names)
    return tables


def find_nulls(rows: Sequence[Row], table: Table) -> list[str]:
    """Return the columns that the contract says are never null, and that have a null or are absent in some row."""
    required = [column.name for column in table.columns if column.required]
    return [name for name in required if any(row.get(name) is None for row in rows)]


def comparable(rows: Sequence[Row], columns: Sequence[str]) -> list[Row]:
    """Return rows in a fixed order without RUN_COLUMNS; every other column must be present."""
    selected = [{name: row[name] for name in columns if name not in RUN_COLUMNS} for row in rows]
    return sorted(selected, key=repr)


def _read(location: str, table_format: str, day: date | None, options: Mapping[str, str]) -> list[Row]:
    if table_format == "delta":
        url, found_options = delta_location(parse_url(location), options)
        delta_options = dict(found_options)
        if not deltalake.DeltaTable.is_deltatable(url, delta_options):
            return []
        filters = [("date", "=", day)] if day else None
        table = deltalake.DeltaTable(url, storage_options=delta_options).to_pyarrow_table(filters=filters)
    else:
        folder = Path(location) / (f"year={day:%Y}/month={day:%m}/day={day:%d}" if day else "")
        if not folder.is_dir():
            return []
        table = pyarrow.dataset.dataset(folder, format="parquet").to_table()
    return _to_rows(table)


def _to_rows(table: pa.Table) -> list[Row]:
    rows: list[Row] = table.to_pylist()
    return rows


def published_state(output: Path | str, *, tenant: str = "acme") -> dict[str, bytes]:
    """Return the content by path of every file that a reader of the tables may open or list.

    Folders that begin with `_`, except for Delta logs, and Delta data files that no log names are left out.
    """
    root = Path(output) / tenant / "analytics"
    committed = {
        file
        for table in TABLES
        if deltalake.DeltaTable.is_deltatable(str(root / table.name))
        for file in map(_local_path, deltalake.DeltaTable(str(root / table.name)).file_uris())
    }
    contents = {}
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        is_log = "_delta_log" in parts
        if not path.is_file() or (not is_log and any(part.startswith("_") for part in parts)):
            continue
        if is_log or path in committed or not any(part.startswith("date=") for part in parts):
            contents[str(path.relative_to(root))] = path.read_bytes()
    return contents


def _local_path(uri: str) -> Path:
    return Path(uri.removeprefix("file://"))


def child_environment(**extra: str) -> dict[str, str]:
    """Return this environment without settings of the product, Spark and the clouds, and with `extra`."""
    dropped = ("MAKOTO_", "AWS_", "AZURE_", "PYSPARK_", "SPARK_")
    base = {name: value for name, value in os.environ.items() if not name.startswith(dropped) and name != "TENANT_ID"}
    return {**base, "PYTHONUNBUFFERED": "1", **extra}


def run_arguments(
    *,
    input: Path | str,  # noqa: A002 - the flag's name
    output: Path | str,
    tenant: str = "acme",
    day: date = DAY,
    table_format: str = "delta",
) -> list[str]:
    """Return the flags of a run, which makoto-batch and the Spark job share."""
    return [
        *("--tenant", tenant, "--date", day.isoformat(), "--format", table_format),
        *("--input", str(input), "--output", str(output)),
    ]


def makoto_batch(*arguments: str, timeout: float = 120, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "daily_batch", *arguments],
        cwd=ROOT,
        env=child_environment(**environment),
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def read_truth(folder: Path, tenant: str) -> dict[str, Any]:
    """Return the counts that a run of the generated day must report."""
    truth: dict[str, Any] = json.loads((folder / f"{tenant}-truth.json").read_text())
    return truth
