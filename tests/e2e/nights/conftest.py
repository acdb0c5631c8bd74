"""Fixtures of the nights."""

import os

import pytest


@pytest.fixture
def smoke_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Poll jobs quickly, and remove settings and credentials of this machine."""
    monkeypatch.setattr("daily_batch.orchestration.spark_jobs.follow.POLL_SECONDS", 0.1)
    monkeypatch.setattr("daily_batch.orchestration.spark_jobs.follow.LOG_SECONDS", 2.0)
    for name in [each for each in os.environ if each.startswith(("MAKOTO_", "AWS_", "AZURE_"))]:
        monkeypatch.delenv(name)
