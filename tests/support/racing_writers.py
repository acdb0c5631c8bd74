"""Race processes that repeatedly write one item at the same time."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from threading import Barrier
from typing import Any

from daily_batch.metadata import MetadataStore, VersionConflictError
from daily_batch.metadata.store import Item

WAIT_SECONDS = 120
_barrier: Barrier


def race(connect: Callable[[], MetadataStore], pk: str, sk: str, *, writers: int, rounds: int) -> list[list[int]]:
    """Return the rounds that each writer won. Before each round, all read the same state of the item."""
    spawn = multiprocessing.get_context("spawn")
    run_writer = partial(_write, connect, pk, sk, rounds)
    with ProcessPoolExecutor(writers, spawn, initializer=_set_barrier, initargs=(spawn.Barrier(writers),)) as pool:
        return list(pool.map(run_writer, range(writers)))


def _set_barrier(barrier: Any) -> None:
    global _barrier  # a pool passes a barrier to its processes only at their start
    _barrier = barrier


def _write(connect: Callable[[], MetadataStore], pk: str, sk: str, rounds: int, writer: int) -> list[int]:
    store, won = connect(), []
    for number in range(rounds):
        stored = store.get(pk, sk)
        _barrier.wait(WAIT_SECONDS)
        item: Item = {"PK": pk, "SK": sk, "round": number, "writer": writer}
        try:
            store.put(item, expected=stored.version if stored else None)
        except VersionConflictError:
            pass
        else:
            won.append(number)
        _barrier.wait(WAIT_SECONDS)
    return won
