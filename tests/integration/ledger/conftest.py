"""The three metadata stores, a tenant for each test, and a ledger with a controllable clock and store."""

import uuid

import pytest

from daily_batch.ledger import Ledger
from tests.support.ledger_doubles import LEASE, Clock, FaultyStore
from tests.support.metadata_backends import Backend


@pytest.fixture
def tenant() -> str:
    """Return a tenant that no other test uses."""
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
