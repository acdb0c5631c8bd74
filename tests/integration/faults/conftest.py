"""Run every input of these tests on the local runner, and in the long suite on Spark as well."""

import pytest

from daily_batch.pipeline.runners.spark import SparkRunner
from tests.support import adversarial_day


@pytest.fixture(autouse=True, params=["local", pytest.param("local and spark", marks=pytest.mark.long)])
def extra_runners(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each day on Spark as well; `run_objects` asserts that tables and receipts are equal."""
    if request.param != "local":
        monkeypatch.setattr(adversarial_day, "EXTRA_RUNNERS", (SparkRunner(request.getfixturevalue("spark")),))
