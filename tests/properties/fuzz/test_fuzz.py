"""Run some days of the mutator with every run of the suite; `python -m tests.properties.fuzz` runs more."""

from dataclasses import replace
from typing import Any

import pytest

from daily_batch.pipeline.runners.spark import SparkRunner
from tests.oracle.day import Stored
from tests.properties.fuzz.check import describe, fault_kind, find_fault, shrink
from tests.properties.fuzz.days import FuzzDay, make_day


def assert_no_fault(day: FuzzDay, *other_runners: SparkRunner) -> None:
    error = find_fault(day, other_runners)
    assert error is None, describe(day, error)


@pytest.mark.parametrize("number", range(3))
def test_export_of_mutated_records_matches_the_oracle(number: int) -> None:
    assert_no_fault(make_day(2025, number, "export", 500))


@pytest.mark.parametrize("number", range(2))
def test_mutated_message_objects_match_the_oracle(number: int) -> None:
    assert_no_fault(make_day(2025, number, "messages", 250))


@pytest.mark.long
@pytest.mark.parametrize("layout", ["export", "messages"])
def test_spark_reads_mutated_records_like_the_local_runner(spark: Any, layout: str) -> None:
    assert_no_fault(make_day(2025, 9, layout, 200), SparkRunner(spark))


def test_day_is_reproducible_from_its_seed_and_number() -> None:
    assert make_day(1, 2, "export", 300) == make_day(1, 2, "export", 300)
    assert make_day(1, 2, "export", 300) != make_day(1, 3, "export", 300)


def test_failing_day_is_shrunk() -> None:
    day = make_day(3, 0, "export", 200)
    key = sorted(day.objects)[-1]
    bad = replace(day, objects={**day.objects, key: Stored(b'{"a":1}\nsecret fault here\n{"b":2}\n', 1)})
    smallest = shrink(bad, lambda each: b"fault" in b"".join(item.body for item in each.objects.values()))
    assert [item.body for item in smallest.objects.values()] == [b"fault"]


def test_faults_are_alike_if_the_same_line_raised_them() -> None:
    day = replace(make_day(1, 0, "export", 20), settings={"timezone": "Nowhere"})
    fault = find_fault(day)
    assert fault is not None
    assert fault_kind(fault) == fault_kind(find_fault(day)) != fault_kind(None)
