"""A concurrent walk of a tree whose results stream through a bounded buffer."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

Node = TypeVar("Node")
Found = TypeVar("Found")
Visit = Callable[[Node, Callable[[Node], None]], Iterable[Found]]


def walk(roots: Iterable[Node], visit: Visit[Node, Found], *, workers: int) -> Iterator[Found]:
    """Yield what `visit(node, descend)` yields for every node, in no particular order.

    A visit calls `descend(child)` for each node below its own. The walk is depth-first and its buffer holds two
    results a worker, so memory does not grow with the tree. The first error of any visit is raised here,
    and no further node is begun.
    """
    crew = _Crew(roots, visit, workers=workers)
    try:
        yield from crew.results()
    finally:
        crew.stop()


class _Crew(Generic[Node, Found]):
    """The workers of one walk. Everything they share is guarded by one lock.

    Blocking calls in threads, because obstore's blocking calls cost less than its asyncio API.
    """

    def __init__(self, roots: Iterable[Node], visit: Visit[Node, Found], *, workers: int) -> None:
        self._visit = visit
        self._nodes = list(roots)
        self._found: deque[Found] = deque()
        self._room = 2 * workers
        self._running = workers
        self._busy = 0
        self._error: BaseException | None = None
        self._stopped = False
        lock = threading.Lock()
        self._work, self._space, self._ready = (threading.Condition(lock) for _ in range(3))
        # Daemons: a failed walk must not wait for calls that are still in their retries.
        for _ in range(workers):
            threading.Thread(target=self._run, name="manifest", daemon=True).start()

    def results(self) -> Iterator[Found]:
        """Yield results until the last worker has gone home; raise the first error."""
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._found or self._error or not self._running)
                if self._error:
                    raise self._error
                if not self._found:
                    return
                found = self._found.popleft()
                self._space.notify()
            yield found

    def stop(self, error: BaseException | None = None) -> None:
        """Begin no further node; wake everyone."""
        with self._work:
            self._stopped = True
            self._error = self._error or error
            for condition in (self._work, self._space, self._ready):
                condition.notify_all()

    def _run(self) -> None:
        try:
            while (node := self._take()) is not None:
                for found in self._visit(node, self._descend):
                    if not self._emit(found):
                        return
                self._finish()
        except BaseException as error:
            self.stop(error)
        finally:
            with self._ready:
                self._running -= 1
                self._ready.notify_all()

    def _take(self) -> Node | None:
        with self._work:
            self._work.wait_for(lambda: self._nodes or not self._busy or self._stopped)
            if self._stopped or not self._nodes:
                return None
            self._busy += 1
            return self._nodes.pop()

    def _descend(self, node: Node) -> None:
        with self._work:
            self._nodes.append(node)
            self._work.notify()

    def _finish(self) -> None:
        with self._work:
            self._busy -= 1
            if not self._busy and not self._nodes:
                self._work.notify_all()

    def _emit(self, found: Found) -> bool:
        with self._space:
            self._space.wait_for(lambda: len(self._found) < self._room or self._stopped)
            if self._stopped:
                return False
            self._found.append(found)
            self._ready.notify()
            return True
