"""The Azure Functions app, indexed once for all tests, since a process can load only one."""

import logging
from pathlib import Path

import pytest

from tests.local_cloud.azure.functions.worker import FunctionsWorker, take_app
from tests.support.functions_app import APP, FunctionsApp


@pytest.fixture(scope="session")
def worker() -> FunctionsWorker:
    return take_app(APP)


@pytest.fixture
def app(
    worker: FunctionsWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> FunctionsApp:
    monkeypatch.setenv("MAKOTO_INPUT", str(tmp_path / "in"))
    monkeypatch.setenv("MAKOTO_OUTPUT", str(tmp_path / "out"))
    monkeypatch.setenv("TENANT_ID", "acme,globex")
    caplog.set_level(logging.INFO, logger="makoto-daily-batch")
    return FunctionsApp(worker, tmp_path, caplog)
