"""Scenarios as folders: `input/` and `expected.json`, run by both runners, as Delta and as Parquet.

`expected.json` names the columns that the scenario is about; every row and reject is there, and no other.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from daily_batch.runners.local import LocalRunner
from daily_batch.runners.outcome import Runner
from day_runs import read_tables, run_day_with

CASES = Path(__file__).parents[1] / "cases"
ORDER = ("source_key", "source_line", "room_id", "user_id", "message_id")


@pytest.fixture(params=["local", "spark"])
def runner(request: pytest.FixtureRequest) -> Runner:
    if request.param == "local":
        return LocalRunner()
    from daily_batch.runners.spark import SparkRunner

    return SparkRunner(request.getfixturevalue("spark"))


@pytest.mark.parametrize("table_format", ["delta", "parquet"])
@pytest.mark.parametrize("case", sorted(path.name for path in CASES.iterdir()))
def test_scenario(case: str, table_format: str, runner: Runner, tmp_path: Path) -> None:
    expected = json.loads((CASES / case / "expected.json").read_text(encoding="utf-8"))
    receipt = run_day_with(runner, input=CASES / case / "input", output=tmp_path, table_format=table_format, buckets=3)
    assert asdict(receipt.records) == expected["records"]
    assert {name: count for name, count in asdict(receipt.objects).items() if name != "bytes"} == expected["objects"]
    found = read_tables(tmp_path, table_format=table_format)
    for table in ("rejects", "messages", "rooms_daily", "users_daily", "summary_daily"):
        if table in expected:
            assert_rows(found[table], expected[table])


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
