"""The three metadata stores, a tenant for each test, and a ledger whose clock and store the test can turn."""

import uuid
from pathlib import Path

import pytest
from ledger_days import LEASE, Clock, FaultyStore

from daily_batch.ledger import Ledger
from metadata.metadata_backends import Backend, cosmos_backend, dynamodb_backend, sqlite_backend


@pytest.fixture(params=["sqlite", "dynamodb", "cosmos"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    if request.param == "sqlite":
        return sqlite_backend(tmp_path / "ledger.sqlite")
    if request.param == "dynamodb":
        return dynamodb_backend(request.getfixturevalue("dynamodb_table"))
    return cosmos_backend(request.getfixturevalue("cosmos_account"))


@pytest.fixture
def tenant() -> str:
    """A tenant that no other test uses."""
    return f"tenant-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(backend: Backend) -> FaultyStore:
    return FaultyStore(backend.connect())


@pytest.fixture
def ledger(store: FaultyStore, clock: Clock) -> Ledger:
    return Ledger(store=store, clock=clock, lease=LEASE)
