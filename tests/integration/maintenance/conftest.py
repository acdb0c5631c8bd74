"""Published days, which are generated once and copied for each test that changes them."""

import shutil
from pathlib import Path

import pytest

from tests.support.maintenance_days import Publish, Tenant, hostile_records, write_export


@pytest.fixture(scope="session")
def hostile_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write an export of users whose ids try to escape from quotes, paths and patterns."""
    return write_export(tmp_path_factory.mktemp("hostile"), hostile_records())


@pytest.fixture(scope="session")
def small_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write an export of two users, one of whose ids is a prefix of the other's."""
    return write_export(tmp_path_factory.mktemp("small"), hostile_records(("user_1", "user_10")))


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[object, ...], Path]:
    """Cache the published outputs by source, format and buckets."""
    return {}


@pytest.fixture
def publish(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, published: dict[tuple[object, ...], Path]
) -> Publish:
    """Copy a tenant's output, whose day was run once for each number of buckets."""

    def copy_tenant(
        source: Path, *, table_format: str = "delta", buckets: tuple[int, ...] = (1,), name: str = "out"
    ) -> Tenant:
        key = (source, table_format, buckets)
        if key not in published:
            published[key] = tmp_path_factory.mktemp("published")
            tenant = Tenant(published[key] / "out", table_format=table_format)
            for number in buckets:
                tenant.run(source, buckets=number)
        shutil.copytree(published[key] / "out", tmp_path / name)
        shutil.copy(published[key] / "out.sqlite", tmp_path / f"{name}.sqlite")
        return Tenant(tmp_path / name, table_format=table_format)

    return copy_tenant
