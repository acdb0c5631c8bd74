"""Run every input of these tests through both runners."""

from typing import TYPE_CHECKING

import pytest

import hostile_day
from daily_batch.pipeline.runners.spark import SparkRunner

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture(autouse=True)
def run_on_spark_too(spark: "SparkSession", monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each day on Spark as well, and assert equal tables and equal receipts."""
    monkeypatch.setattr(hostile_day, "BESIDE", (SparkRunner(spark),))
