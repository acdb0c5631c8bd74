"""Run every input of these tests through both runners."""

from typing import TYPE_CHECKING

import pytest

from daily_batch.pipeline.runners.spark import SparkRunner
from tests.support import adversarial_day

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture(autouse=True)
def run_on_spark_too(spark: "SparkSession", monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each day on Spark as well, and assert equal tables and equal receipts."""
    monkeypatch.setattr(adversarial_day, "BESIDE", (SparkRunner(spark),))
