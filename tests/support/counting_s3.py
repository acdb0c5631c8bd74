"""The benchmarks' S3 server in a thread of this process: objects of any age, and counts of requests by kind."""

import asyncio
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.s3_bucket import Bucket
from bench.s3_protocol import Request, Service
from bench.s3_server import Connection, Delay, read_folder

NAME = "year"
READER = "reader-of-the-test"
_DATA = re.compile(r"/(?:date=|year=)")


@dataclass
class CountingService(Service):
    """The server's requests: `counts` by method and what they are for, such as `GET log` or `LIST data`."""

    counts: Counter[str] = field(default_factory=Counter)
    # Called at the request of this number, before it has an effect.
    strike_at: int = 0
    strike: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        super().__init__()

    @property
    def total(self) -> int:
        return self.counts.total()

    def handle(self, request: Request) -> bytes:
        # A reader of the test marks its requests, and is not counted.
        if READER not in request.headers.get("user-agent", ""):
            self.counts[_kind(request)] += 1
            if self.total == self.strike_at:
                self.strike()
        return super().handle(request)

    def load(self, folder: Path, *, modified: float) -> None:
        """Replace the bucket's objects by the files of a folder, with one time of modification."""
        self.buckets[NAME] = Bucket()
        self.buckets[NAME].fill(read_folder(folder), now=modified)

    def save(self, folder: Path) -> None:
        """Write the bucket's objects to a folder."""
        for key, stored in list(self.buckets[NAME].objects.items()):
            path = folder / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(stored.body)


def _kind(request: Request) -> str:
    path, _, query = request.target.partition("?")
    if request.method == "GET" and "list-type" in query:
        return "LIST"
    if request.method == "POST" and "delete" in query:
        return "DELETE"
    place = "log" if "_delta_log" in path else "data" if _DATA.search(path.replace("%3D", "=")) else "other"
    return f"{request.method} {place}"


@contextmanager
def counting_s3(latency: float = 0.0) -> Iterator[tuple[CountingService, str]]:
    """Serve, with seconds of latency before each response; yield the service and its address."""
    loop, service = asyncio.new_event_loop(), CountingService()
    delay = Delay(latency, loop)
    start = loop.create_server(lambda: Connection(service.handle, delay), "127.0.0.1", 0, backlog=1024)
    server = loop.run_until_complete(start)
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield service, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.run_until_complete(server.wait_closed())
        loop.close()
