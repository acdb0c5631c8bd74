"""Both clouds' functions. The Azure Functions app is indexed once for all tests: a process can load only one."""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.local_cloud.azure.functions.worker import FunctionsWorker, take_app
from tests.support.adversarial_events import SECRET
from tests.support.functions_app import APP, FunctionsApp
from tests.support.lambda_handlers import Lambda


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


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lambda]:
    for name, value in {
        "MAKOTO_INPUT": str(tmp_path / "in"),
        "MAKOTO_OUTPUT": str(tmp_path / "out"),
        "TENANT_ID": "acme",
        "AWS_DEFAULT_REGION": "ap-northeast-1",
        "POWERTOOLS_SERVICE_NAME": "makoto",
        "POWERTOOLS_METRICS_NAMESPACE": "Makoto",
    }.items():
        monkeypatch.setenv(name, value)
    for name in [name for name in sys.modules if name.partition(".")[0] == "lambda_trigger"]:
        monkeypatch.delitem(sys.modules, name)
    client = Lambda()
    monkeypatch.setattr(client.load("dispatcher"), "send_tasks", lambda settings, tasks: client.queue.extend(tasks))
    yield client
    assert SECRET not in client.log.getvalue()
