"""The concurrent walk is complete, bounded in memory, and ends at the first error."""

import threading
from collections.abc import Callable, Iterator

import pytest

from daily_batch.pipeline.discover.walk import walk

Node = tuple[int, ...]


def make_tree_visit(depth: int, width: int) -> Callable[[Node, Callable[[Node], None]], Iterator[Node]]:
    """Return a visit of a tree with `width ** depth` leaves; each node is its own result."""

    def visit(node: Node, descend: Callable[[Node], None]) -> Iterator[Node]:
        yield node
        if len(node) < depth:
            for child in range(width):
                descend((*node, child))

    return visit


def live_workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "manifest"]


@pytest.mark.parametrize("workers", [1, 2, 32])
def test_every_node_is_visited_once(workers: int) -> None:
    nodes = list(walk([(0,), (1,)], make_tree_visit(4, 6), workers=workers))
    assert len(nodes) == len(set(nodes)) == 2 * (1 + 6 + 36 + 216)


def test_no_roots_give_nothing() -> None:
    assert list(walk([], make_tree_visit(2, 2), workers=4)) == []


def test_slow_consumer_blocks_the_workers() -> None:
    produced: list[int] = []
    full = threading.Event()

    def visit(node: int, descend: Callable[[int], None]) -> Iterator[int]:
        for number in range(1_000):
            produced.append(number)
            if len(produced) == 3 + 2 * 3 + 1:  # one per worker, a full buffer, and the one that was consumed
                full.set()
            yield number

    results = walk([0, 1, 2], visit, workers=3)
    next(results)
    assert full.wait(10)
    assert len(produced) <= 10
    results.close()


def test_first_error_is_raised_and_ends_the_walk() -> None:
    visited: list[int] = []

    def visit(node: int, descend: Callable[[int], None]) -> Iterator[int]:
        visited.append(node)
        if node == 99_990:
            raise ConnectionError("down")
        yield node

    with pytest.raises(ConnectionError, match="down"):
        list(walk(range(100_000), visit, workers=4))
    assert len(visited) < 100_000


def test_workers_end_when_the_consumer_stops_early() -> None:
    results = walk([(0,)], make_tree_visit(6, 6), workers=4)
    next(results)
    results.close()
    for thread in live_workers():
        thread.join(10)
    assert live_workers() == []


def test_siblings_are_visited_concurrently() -> None:
    barrier = threading.Barrier(4, timeout=10)

    def visit(node: int, descend: Callable[[int], None]) -> Iterator[int]:
        barrier.wait()
        yield node

    assert sorted(walk(range(4), visit, workers=4)) == [0, 1, 2, 3]
