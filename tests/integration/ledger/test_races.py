"""One of several processes that race for a transition wins, in every metadata store."""

from collections.abc import Iterator
from functools import partial

import pytest

from daily_batch.ledger import Ledger
from tests.support.ledger_doubles import BEGIN, DAY, ELSEWHERE, LEASE, Clock
from tests.support.metadata_backends import Backend
from tests.support.racing_transitions import (
    Arena,
    RoundResult,
    acquire,
    acquire_failed,
    complete,
    hand_over,
    open_arena,
    renew,
    seize,
)

ROUNDS = 10


@pytest.fixture(scope="module")
def arena() -> Iterator[Arena]:
    with open_arena() as arena:
        yield arena


def final_token(backend: Backend, tenant: str) -> int:
    entry = Ledger(store=backend.connect(), clock=Clock(), lease=LEASE).find(tenant, DAY)
    assert entry is not None
    return entry.token


def assert_one_winner_each(rounds: list[list[RoundResult]]) -> None:
    assert len(rounds) == ROUNDS
    for results in rounds:
        assert sorted(len(each.tokens) for each in results) == [0, 0, 0, 0, 0, 1]
        assert [each.still_held for each in results] == [each.tokens != [] for each in results]


def all_tokens(rounds: list[list[RoundResult]]) -> list[int]:
    return sorted(token for results in rounds for each in results for token in each.tokens)


def test_an_unknown_day_is_acquired_by_one(arena: Arena, backend: Backend, tenant: str) -> None:
    tenants = [f"{tenant}-{number}" for number in range(ROUNDS)]
    rounds = arena.race(backend.connect, tenants, acquire)
    assert_one_winner_each(rounds)
    assert [final_token(backend, each) for each in tenants] == [1] * ROUNDS


def test_an_expired_lease_is_replaced_by_one(arena: Arena, backend: Backend, tenant: str) -> None:
    early = Ledger(store=backend.connect(), clock=Clock(BEGIN - LEASE), lease=LEASE)
    early.acquire(tenant, DAY, owner=ELSEWHERE, run_id="early")
    rounds = arena.race(backend.connect, [tenant] * ROUNDS, acquire)
    assert_one_winner_each(rounds)
    assert all_tokens(rounds) == list(range(2, ROUNDS + 2))
    assert final_token(backend, tenant) == ROUNDS + 1


def test_a_failed_day_is_acquired_by_one(arena: Arena, backend: Backend, tenant: str) -> None:
    ledger = Ledger(store=backend.connect(), clock=Clock(), lease=LEASE)
    ledger.fail(ledger.acquire(tenant, DAY, owner=ELSEWHERE, run_id="early"), "denied")
    rounds = arena.race(backend.connect, [tenant] * ROUNDS, acquire_failed, end=True)
    assert_one_winner_each(rounds)
    assert all_tokens(rounds) == list(range(2, ROUNDS + 2))
    assert final_token(backend, tenant) == ROUNDS + 1


@pytest.mark.parametrize("change", [complete, renew, hand_over])
def test_a_holder_s_change_succeeds_before_its_lease_is_replaced_or_never(
    arena: Arena, backend: Backend, tenant: str, change: object
) -> None:
    rounds = arena.race(backend.connect, [tenant] * ROUNDS, partial(seize, change=change))
    assert len(rounds) == ROUNDS
    for number, results in enumerate(rounds):
        seized = [each.tokens[0] for each in results[1:]]
        # The last to acquire it holds it; the first holder never does, although its change may have come in time.
        assert [each.still_held for each in results] == [False, *(token == max(seized) for token in seized)]
        if change is not renew:
            assert {each.last_mark == f"round-{number}" for each in results} == {results[0].changed}
    # Each acquisition, the first holder's and the others', raised the token by one.
    assert all_tokens(rounds) == list(range(1, 6 * ROUNDS + 1))
    assert final_token(backend, tenant) == 6 * ROUNDS
