"""A day of three objects, generated once and copied for each test that changes it."""

import shutil
from pathlib import Path

import pytest

from daily_batch.synthetic import generate
from tests.support.day_runs import DAY


@pytest.fixture(scope="session")
def generated_day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("generated")
    generate(messages=60, layout="export", seed=1, out=root, tenant="acme", day=DAY, files=3)
    return root


@pytest.fixture
def source(generated_day: Path, tmp_path: Path) -> Path:
    """Return a copy of the day, which a test may change."""
    return Path(shutil.copytree(generated_day, tmp_path / "in"))
