"""Every input of these tests goes through both runners."""

from typing import TYPE_CHECKING

import pytest

from daily_batch.pipeline.runners.spark import SparkRunner
from tests.support import adversarial_day

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture(autouse=True)
def spark_beside(spark: "SparkSession", monkeypatch: pytest.MonkeyPatch) -> None:
    """Each day that a test runs, Spark runs as well: equal tables, equal receipts."""
    monkeypatch.setattr(adversarial_day, "BESIDE", (SparkRunner(spark),))
