"""Two versions of a day for tests of what runs publish and how they fail."""

from pathlib import Path

import pytest

from daily_batch.synthetic import FaultRates, generate
from tests.support.day_runs import run_local


@pytest.fixture(scope="session")
def two_versions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Generate two versions of one day."""
    root = tmp_path_factory.mktemp("two-versions")
    for name, seed, messages in (("a", 1, 300), ("b", 2, 400)):
        rates = FaultRates.rich()
        generate(messages=messages, layout="export", seed=seed, out=root / name, rates=rates, files=4)
    return root / "a", root / "b"


@pytest.fixture
def published(two_versions: tuple[Path, Path], tmp_path: Path) -> Path:
    """Publish the first version; return the output."""
    run_local(input=two_versions[0], output=tmp_path / "published")
    return tmp_path / "published"
