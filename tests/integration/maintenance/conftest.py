"""Published days, made once and copied for each test that changes them."""

import shutil
from pathlib import Path

import pytest

from tests.support.maintenance_days import Publish, Tenant, hostile_records, write_export


@pytest.fixture(scope="session")
def hostile_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of users whose ids try to break out of whatever they are put into."""
    return write_export(tmp_path_factory.mktemp("hostile"), hostile_records())


@pytest.fixture(scope="session")
def small_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of two users, of whom one's id begins as the other's."""
    return write_export(tmp_path_factory.mktemp("small"), hostile_records(("user_1", "user_10")))


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[object, ...], Path]:
    """Where what was published already lies."""
    return {}


@pytest.fixture
def publish(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, made: dict[tuple[object, ...], Path]) -> Publish:
    """Give a tenant of one's own whose day was run once for each number of buckets."""

    def give(
        source: Path, *, table_format: str = "delta", buckets: tuple[int, ...] = (1,), name: str = "out"
    ) -> Tenant:
        key = (source, table_format, buckets)
        if key not in made:
            made[key] = tmp_path_factory.mktemp("made")
            first = Tenant(made[key] / "out", table_format=table_format)
            for number in buckets:
                first.run(source, buckets=number)
        shutil.copytree(made[key] / "out", tmp_path / name)
        shutil.copy(made[key] / "out.sqlite", tmp_path / f"{name}.sqlite")
        return Tenant(tmp_path / name, table_format=table_format)

    return give
