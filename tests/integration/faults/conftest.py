"""Run every input of these tests through the local runner, and in the long suite through Spark beside it."""

import pytest

from daily_batch.pipeline.runners.spark import SparkRunner
from tests.support import adversarial_day


@pytest.fixture(autouse=True, params=["local", pytest.param("local and spark", marks=pytest.mark.long)])
def runners(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each day on Spark as well, and assert equal tables and equal receipts."""
    if request.param != "local":
        monkeypatch.setattr(adversarial_day, "BESIDE", (SparkRunner(request.getfixturevalue("spark")),))
