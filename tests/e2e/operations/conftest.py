"""Fixtures that call the functions of both clouds in this process."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from azure_trigger.metrics_export import find_meter
from tests.local_cloud.azure.application_insights import Ingestion, serve_ingestion
from tests.support.operations.aws_functions import AwsFunctions
from tests.support.operations.azure_functions import AzureFunctions
from tests.support.operations.synthetic_night import Night


@pytest.fixture(scope="module")
def insights() -> Iterator[Ingestion]:
    """Serve the ingestion endpoint to which the Azure functions send their metrics."""
    find_meter.cache_clear()
    with serve_ingestion() as ingestion:
        yield ingestion
    find_meter.cache_clear()


@pytest.fixture
def night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Night:
    return Night(tmp_path, monkeypatch)


@pytest.fixture
def functions(night: Night, insights: Ingestion) -> Callable[[str], AwsFunctions | AzureFunctions]:
    """Return a factory of the functions of a cloud, by the cloud's name."""
    return lambda cloud: AwsFunctions(night) if cloud == "aws" else AzureFunctions(night, insights)
