"""Test scenarios, each a folder with `input/` and `expected.json`, on both runners and in both table formats.

`expected.json` holds every row and reject with the columns that matter to the scenario. All columns are compared with
the oracle and between runs.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from daily_batch.domain.quality_rules import OF_FLAGS, RULES
from daily_batch.domain.receipt import Receipt
from daily_batch.pipeline.runners.base import Runner
from daily_batch.pipeline.runners.local import LocalRunner
from daily_batch.pipeline.runners.spark import SparkRunner
from tests.oracle.compare import assert_agrees
from tests.oracle.day import Oracle, Stored
from tests.support.assert_days_equal import assert_equal_receipts, assert_equal_tables
from tests.support.day_runs import DAY, Tables, read_tables, run_day_with

CASES = Path(__file__).parents[2] / "data/cases"
# Every quality rule, with limits that only warn.
QUALITY: dict[str, object] = {
    **dict.fromkeys(RULES, 0),
    "max_late": {"limit": 0, "minutes": 60},
    "max_other_roles": {"limit": 0, "allowed": ["user", "assistant"]},
}
ORDER = ("source_key", "source_line", "room_id", "turn", "user_id", "message_id")


class CompletedRun(NamedTuple):
    """The tables that a run published, and its receipt."""

    tables: Tables
    receipt: Receipt


@pytest.fixture(scope="module", params=sorted(path.name for path in CASES.iterdir()))
def case(request: pytest.FixtureRequest) -> Path:
    return CASES / str(request.param)


@pytest.fixture(scope="module", params=["local", pytest.param("local and spark", marks=pytest.mark.long)])
def runs(
    case: Path, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], CompletedRun]:
    """Run the scenario in each format, and in the long suite on each runner."""
    runners: list[Runner] = [LocalRunner()]
    if request.param != "local":
        runners.append(SparkRunner(request.getfixturevalue("spark")))
    runs = {}
    for runner in runners:
        for table_format in ("delta", "parquet"):
            output = tmp_path_factory.mktemp(case.name)
            arguments = {"input": case / "input", "output": output, "table_format": table_format}
            receipt = run_day_with(runner, buckets=3, quality=QUALITY, **arguments)
            runs[runner.name, table_format] = CompletedRun(read_tables(output, table_format=table_format), receipt)
    return runs


def test_every_run_publishes_the_expected_rows(case: Path, runs: dict[tuple[str, str], CompletedRun]) -> None:
    expected = json.loads((case / "expected.json").read_text(encoding="utf-8"))
    for (runner, table_format), (tables, receipt) in runs.items():
        assert (receipt.runner, receipt.format) == (runner, table_format)
        assert asdict(receipt.records) == expected["records"]
        objects = {name: count for name, count in asdict(receipt.objects).items() if name != "bytes"}
        assert objects == expected["objects"]
        if "unknown_fields" in expected:
            assert list(receipt.unknown_fields.items()) == list(expected["unknown_fields"].items())
            assert receipt.other_unknown_fields == expected["other_unknown_fields"]
        for table, rows in tables.items():
            if table in expected:
                assert_rows(rows, expected[table])


def test_every_run_agrees_with_the_oracle(case: Path, runs: dict[tuple[str, str], CompletedRun]) -> None:
    source = case / "input"
    paths = [path for path in source.rglob("*") if path.is_file()]
    objects = {str(path.relative_to(source)): Stored(path.read_bytes(), path.stat().st_mtime) for path in paths}
    first = runs["local", "delta"]
    assert_agrees(Oracle(day=DAY).expect(objects), first.tables, first.receipt, day=DAY)
    assert len(runs) in (2, 4)
    for other in runs.values():
        assert_equal_tables(other.tables, first.tables)
        assert_equal_receipts(other.receipt, first.receipt)


def test_quality_rules_measure_the_published_day(runs: dict[tuple[str, str], CompletedRun]) -> None:
    for tables, receipt in runs.values():
        measured = {result.rule: result.measured for result in receipt.quality}
        rows, objects, records = tables["messages"], receipt.objects, receipt.records
        assert measured.keys() == set(RULES)
        assert measured["min_messages"] == measured["max_messages"] == len(rows)
        assert measured["max_rejected"] == ratio(records.rejected, records.seen)
        assert measured["max_unreadable"] == ratio(objects.unreadable, objects.read + objects.unreadable)
        names = {name for row in rows for name in json.loads(row["extras"] or "{}")}
        plain = [name for name in names if re.fullmatch(r"[a-zA-Z_]\w{0,63}", name, re.ASCII)]
        assert measured["max_unknown_fields"] == len(plain) + (len(plain) < len(names))
        other_roles = [row for row in rows if row["role"] not in ("user", "assistant")]
        assert measured["max_other_roles"] == ratio(len(other_roles), len(rows))
        for rule, flag in OF_FLAGS.items():
            assert measured[rule] == ratio(sum(flag in row["flags"] for row in rows), len(rows)), rule
        assert (measured["max_late"] is None) == (receipt.layout == "export" or not objects.listed)


def ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def assert_rows(actual: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    """Assert equal rows in the columns that each expected row names; order does not matter."""
    keys = [name for name in ORDER if all(name in row for row in expected)]

    def sort_key(row: Mapping[str, Any]) -> list[Any]:
        return [row[name] for name in keys]

    assert len(actual) == len(expected)
    actual = sorted(({name: as_json(value) for name, value in row.items()} for row in actual), key=sort_key)
    expected = sorted(expected, key=sort_key)
    assert [{name: row[name] for name in wanted} for row, wanted in zip(actual, expected, strict=True)] == expected


def as_json(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value
