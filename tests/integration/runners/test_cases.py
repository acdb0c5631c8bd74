"""Scenarios as folders: `input/` and `expected.json`, run by both runners, as Delta and as Parquet.

`expected.json` names the columns that the scenario is about; every row and reject is there, and no other. Every column
is compared with what the oracle says, and from run to run.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from daily_batch.domain.quality_rules import OF_FLAGS, RULES
from daily_batch.domain.receipt import Receipt
from daily_batch.pipeline.runners.local import LocalRunner
from daily_batch.pipeline.runners.spark import SparkRunner
from tests.oracle.compare import assert_agrees
from tests.oracle.day import Oracle, Stored
from tests.support.assert_days_equal import assert_equal_receipts, assert_equal_tables
from tests.support.day_runs import DAY, Tables, read_tables, run_day_with

CASES = Path(__file__).parents[2] / "data/cases"
# Every rule there is; none keeps a scenario from being published.
QUALITY: dict[str, object] = {
    **dict.fromkeys(RULES, 0),
    "max_late": {"limit": 0, "minutes": 60},
    "max_other_roles": {"limit": 0, "allowed": ["user", "assistant"]},
}
ORDER = ("source_key", "source_line", "room_id", "user_id", "message_id")


class Ran(NamedTuple):
    """What a run published, and its receipt."""

    tables: Tables
    receipt: Receipt


@pytest.fixture(scope="module", params=sorted(path.name for path in CASES.iterdir()))
def case(request: pytest.FixtureRequest) -> Path:
    return CASES / str(request.param)


@pytest.fixture(scope="module")
def runs(case: Path, spark: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Ran]:
    """The scenario's runs, by runner and format."""
    ran = {}
    for runner in (LocalRunner(), SparkRunner(spark)):
        for table_format in ("delta", "parquet"):
            output = tmp_path_factory.mktemp(case.name)
            asked = {"input": case / "input", "output": output, "table_format": table_format}
            receipt = run_day_with(runner, buckets=3, quality=QUALITY, **asked)
            ran[runner.name, table_format] = Ran(read_tables(output, table_format=table_format), receipt)
    return ran


@pytest.mark.parametrize("table_format", ["delta", "parquet"])
@pytest.mark.parametrize("runner", ["local", "spark"])
def test_scenario(case: Path, runs: dict[tuple[str, str], Ran], runner: str, table_format: str) -> None:
    expected = json.loads((case / "expected.json").read_text(encoding="utf-8"))
    found, receipt = runs[runner, table_format]
    assert (receipt.runner, receipt.format) == (runner, table_format)
    assert asdict(receipt.records) == expected["records"]
    assert {name: count for name, count in asdict(receipt.objects).items() if name != "bytes"} == expected["objects"]
    for table in ("rejects", "messages", "rooms_daily", "users_daily", "summary_daily"):
        if table in expected:
            assert_rows(found[table], expected[table])


def test_every_run_of_a_scenario_gives_equal_tables_and_what_the_oracle_says(
    case: Path, runs: dict[tuple[str, str], Ran]
) -> None:
    source = case / "input"
    paths = [path for path in source.rglob("*") if path.is_file()]
    objects = {str(path.relative_to(source)): Stored(path.read_bytes(), path.stat().st_mtime) for path in paths}
    first = runs["local", "delta"]
    assert_agrees(Oracle(day=DAY).expect(objects), first.tables, first.receipt, day=DAY)
    assert len(runs) == 4
    for other in runs.values():
        assert_equal_tables(other.tables, first.tables)
        assert_equal_receipts(other.receipt, first.receipt)


@pytest.mark.parametrize("table_format", ["delta", "parquet"])
@pytest.mark.parametrize("runner", ["local", "spark"])
def test_rules_measure_what_was_published(runs: dict[tuple[str, str], Ran], runner: str, table_format: str) -> None:
    tables, receipt = runs[runner, table_format]
    measured = {finding.rule: finding.measured for finding in receipt.quality}
    rows, objects, records = tables["messages"], receipt.objects, receipt.records
    assert measured.keys() == set(RULES)
    assert measured["min_messages"] == measured["max_messages"] == len(rows)
    assert measured["max_rejected"] == ratio(records.rejected, records.seen)
    assert measured["max_unreadable"] == ratio(objects.unreadable, objects.read + objects.unreadable)
    others = [row for row in rows if row["role"] not in ("user", "assistant")]
    assert measured["max_other_roles"] == ratio(len(others), len(rows))
    for rule, flag in OF_FLAGS.items():
        assert measured[rule] == ratio(sum(flag in row["flags"] for row in rows), len(rows)), rule
    assert (measured["max_late"] is None) == (receipt.layout == "export" or not objects.listed)


def ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def assert_rows(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    """The same rows, compared by the columns that each expected one names; both in the order of the keys they share."""
    keys = [name for name in ORDER if all(name in row for row in expected)]

    def place(row: Mapping[str, Any]) -> list[Any]:
        return [row[name] for name in keys]

    assert len(found) == len(expected)
    shown = sorted(({name: as_json(value) for name, value in row.items()} for row in found), key=place)
    wanted = sorted(expected, key=place)
    assert [{name: row[name] for name in like} for row, like in zip(shown, wanted, strict=True)] == wanted


def as_json(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value
