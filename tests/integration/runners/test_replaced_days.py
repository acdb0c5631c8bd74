"""Test that a runner replaces a day that the other runner published from other input, and leaves nothing of it."""

import shutil
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from daily_batch.domain.contract import TABLES
from daily_batch.pipeline.runners.local import LocalRunner
from daily_batch.pipeline.runners.spark import SparkRunner
from daily_batch.synthetic import FaultRates, generate
from tests.support.assert_days_equal import assert_equal_receipts, assert_equal_tables
from tests.support.day_runs import DAY, read_tables, run_day_with

ADJACENT_DAY = date(2025, 8, 11)
EXPORTS = "acme/exports/messages"


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Generate inputs of two days: the original; with a deleted, a changed and a new file; without records."""
    root = tmp_path_factory.mktemp("inputs")
    for seed, (name, day) in enumerate((("first", DAY), ("other", DAY), ("adjacent", ADJACENT_DAY)), start=51):
        rates = FaultRates.rich()
        generate(messages=400, layout="export", seed=seed, out=root / name, day=day, rates=rates, files=4)
    shutil.copytree(root / "adjacent" / EXPORTS, root / "first" / EXPORTS, dirs_exist_ok=True)
    for name in ("corrected", "emptied"):
        shutil.copytree(root / "first" / EXPORTS, root / name / EXPORTS)
    folder = f"{EXPORTS}/{DAY:%Y/%m/%d}"
    deleted, overwritten, *_ = sorted((root / "corrected" / folder).iterdir())
    new = sorted((root / "other" / folder).iterdir())
    deleted.unlink()
    shutil.copy(new[0], overwritten)
    shutil.copy(new[1], deleted.with_name("a-late-part.jsonl.gz"))
    for path in (root / "emptied" / folder).iterdir():
        path.unlink()
    (root / "emptied" / folder / "part.jsonl").write_bytes(b"\n")
    return {name: root / name for name in ("first", "corrected", "emptied")}


@pytest.mark.parametrize("table_format", ["delta", "parquet"])
@pytest.mark.parametrize("first", ["local", "spark"])
def test_rerun_on_the_other_runner_replaces_only_the_complete_day(
    first: str, table_format: str, inputs: dict[str, Path], spark: Any, tmp_path: Path
) -> None:
    runners = {"local": LocalRunner(), "spark": SparkRunner(spark)}
    one = runners.pop(first)
    (other,) = runners.values()
    output = tmp_path / "out"
    for day in (ADJACENT_DAY, DAY):
        run_day_with(one, input=inputs["first"], output=output, day=day, table_format=table_format)
    adjacent = read_tables(output, day=ADJACENT_DAY, table_format=table_format)
    files = adjacent_day_files(output)
    assert files
    for runner, name in ((other, "corrected"), (one, "emptied")):
        arguments = {"input": inputs[name], "table_format": table_format}
        receipt = run_day_with(runner, output=output, allow_shrink="operator", **arguments)
        expected = run_day_with(runner, output=tmp_path / name, **arguments)
        assert_equal_receipts(receipt, expected)
        alone = read_tables(tmp_path / name, table_format=table_format)
        assert bool(alone["messages"]) == bool(alone["rejects"]) == (name == "corrected")
        assert_equal_tables(read_tables(output, table_format=table_format), alone)
        both = {table.name: alone[table.name] + adjacent[table.name] for table in TABLES}
        assert_equal_tables(read_tables(output, day=None, table_format=table_format), both)
        assert adjacent_day_files(output) == files


def adjacent_day_files(output: Path) -> dict[Path, tuple[int, bytes]]:
    """Return the data files of the day that must not change, with modification time and content."""
    paths = [*output.rglob(f"date={ADJACENT_DAY}/*"), *output.rglob(f"day={ADJACENT_DAY:%d}/*")]
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in paths}
