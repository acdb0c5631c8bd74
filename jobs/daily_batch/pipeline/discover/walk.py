"""Walk a tree concurrently, and stream the results through a bounded buffer."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

Node = TypeVar("Node")
Result = TypeVar("Result")
Visit = Callable[[Node, Callable[[Node], None]], Iterable[Result]]


def walk(roots: Iterable[Node], visit: Visit[Node, Result], *, workers: int) -> Iterator[Result]:
    """Yield what `visit(node, descend)` yields for every node, in no particular order.

    A visit calls `descend(child)` for each child of its node. The walk is depth-first and its buffer holds two results
    per worker, so memory does not grow with the tree. The first error of any visit is raised here, and no further node
    is visited.
    """
    pool = _WalkPool(roots, visit, workers=workers)
    try:
        yield from pool.results()
    finally:
        pool.stop()


class _WalkPool(Generic[Node, Result]):
    """The worker threads of one walk. One lock guards everything that they share.

    Threads with blocking calls, because obstore's blocking calls cost less than its asyncio API.
    """

    def __init__(self, roots: Iterable[Node], visit: Visit[Node, Result], *, workers: int) -> None:
        self._visit = visit
        self._nodes = list(roots)
        self._results: deque[Result] = deque()
        self._capacity = 2 * workers
        self._running = workers
        self._visiting = 0
        self._error: BaseException | None = None
        self._stopped = False
        lock = threading.Lock()
        self._node_added, self._result_taken, self._result_added = (threading.Condition(lock) for _ in range(3))
        # Daemon threads: a failed walk must not wait for calls that are still retrying.
        for _ in range(workers):
            threading.Thread(target=self._run, name="manifest", daemon=True).start()

    def results(self) -> Iterator[Result]:
        """Yield results until the last worker has ended, or raise the first error."""
        while True:
            with self._result_added:
                self._result_added.wait_for(lambda: self._results or self._error or not self._running)
                if self._error:
                    raise self._error
                if not self._results:
                    return
                result = self._results.popleft()
                self._result_taken.notify()
            yield result

    def stop(self, error: BaseException | None = None) -> None:
        """Stop visiting nodes, and wake all waiting threads."""
        with self._node_added:
            self._stopped = True
            self._error = self._error or error
            for condition in (self._node_added, self._result_taken, self._result_added):
                condition.notify_all()

    def _run(self) -> None:
        try:
            while (node := self._next_node()) is not None:
                for result in self._visit(node, self._descend):
                    if not self._emit(result):
                        return
                self._finish()
        except BaseException as error:
            self.stop(error)
        finally:
            with self._result_added:
                self._running -= 1
                self._result_added.notify_all()

    def _next_node(self) -> Node | None:
        with self._node_added:
            self._node_added.wait_for(lambda: self._nodes or not self._visiting or self._stopped)
            if self._stopped or not self._nodes:
                return None
            self._visiting += 1
            return self._nodes.pop()

    def _descend(self, node: Node) -> None:
        with self._node_added:
            self._nodes.append(node)
            self._node_added.notify()

    def _finish(self) -> None:
        with self._node_added:
            self._visiting -= 1
            if not self._visiting and not self._nodes:
                self._node_added.notify_all()

    def _emit(self, result: Result) -> bool:
        with self._result_taken:
            self._result_taken.wait_for(lambda: len(self._results) < self._capacity or self._stopped)
            if self._stopped:
                return False
            self._results.append(result)
            self._result_added.notify()
            return True
